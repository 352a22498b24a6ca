// `--list`: the targets or variables of a bake file, as a table or JSON.
import { parseCsvFields } from "../bakefile/csv.ts";
import {
  listTargets,
  listVariables,
  printListJson,
  printTargetTable,
  printVariableTable,
} from "../bakefile/list.ts";
import type { BakeDocument } from "../bakefile/load.ts";
import { BakeError } from "../diagnostic/error.ts";

export interface ListRequest {
  readonly kind: "targets" | "variables";
  readonly format: "table" | "json";
}

/** Reads `targets`, `variables` or `type=…,format=table|json`. @throws BakeError "usage" */
export function parseListRequest(text: string): ListRequest {
  let kind = "";
  let format = "table";
  for (const field of parseCsvFields(text)) {
    const equals = field.indexOf("=");
    const key = equals < 0 ? "type" : field.slice(0, equals).trim().toLowerCase();
    const value = field.slice(equals + 1);
    if (key === "type") kind = value;
    else if (key === "format") format = value;
    else
      throw new BakeError("usage", `unknown option "${key}" of --list`, {
        hint: "type and format are known",
      });
  }
  if (kind !== "targets" && kind !== "variables")
    throw new BakeError("usage", `cannot list "${kind}"`, { hint: "targets or variables" });
  if (format !== "table" && format !== "json")
    throw new BakeError("usage", `unknown list format "${format}"`, { hint: "table or json" });
  return { kind, format };
}

export function printList({ kind, format }: ListRequest, document: BakeDocument): string {
  if (kind === "targets") {
    const list = listTargets(document);
    return format === "json" ? printListJson(list, kind, document) : printTargetTable(list);
  }
  const list = listVariables(document);
  return format === "json" ? printListJson(list, kind, document) : printVariableTable(list);
}
