// The lists of `--list targets` and `--list variables`, as data, JSON and tables.
import { sortLikeGo } from "./unstablesort.ts";
import { compareUtf8, goJson } from "../oci/json.ts";
import type { BakeDocument } from "./load.ts";

export interface ListedTarget {
  readonly name: string;
  readonly description?: string;
  readonly group?: true;
}

export interface ListedVariable {
  readonly name: string;
  readonly description?: string;
  readonly type?: string;
  /** Absent when null. */
  readonly value?: string;
}

/** Groups and targets by name; names with a leading underscore are for internal use and hidden. */
export function listTargets(document: BakeDocument): readonly ListedTarget[] {
  const listed: ListedTarget[] = document.targets.map(({ name, fields }) => ({
    name,
    ...(fields.description && { description: fields.description }),
  }));
  for (const { name, description, targets } of document.groups) {
    const members = [...new Set(targets ?? [])].sort(compareUtf8).join(", ");
    const text = description === "" ? members : members === "" ? description : `${description} (${members})`;
    listed.push({ name, ...(text !== "" && { description: text }), group: true });
  }
  return sortLikeGo(listed, (a, b) => compareUtf8(a.name, b.name)).filter(
    ({ name }) => !name.startsWith("_"),
  );
}

export function listVariables(document: BakeDocument): readonly ListedVariable[] {
  return document.variables
    .map(({ name, description, type, value }) => ({
      name,
      ...(description !== "" && { description }),
      ...(type !== undefined && { type }),
      ...(value !== undefined && { value }),
    }))
    .sort((a, b) => compareUtf8(a.name, b.name));
}

/** JSON of a list; no targets print as null, no variables as [], but as null when there are only Compose files. */
export function printListJson(
  list: readonly (ListedTarget | ListedVariable)[],
  kind: "targets" | "variables",
  { composeOnly }: Pick<BakeDocument, "composeOnly">,
): string {
  if (list.length === 0) return kind === "targets" || composeOnly ? "null\n" : "[]\n";
  return `${goJson(list, "  ")}\n`;
}

export function printTargetTable(list: readonly ListedTarget[]): string {
  return table([["TARGET", "DESCRIPTION"], ...list.map(({ name, description = "" }) => [name, description])]);
}

export function printVariableTable(list: readonly ListedVariable[]): string {
  const rows = list.map(({ name, type = "", value, description = "" }) => [
    name,
    type,
    value ?? "<null>",
    description,
  ]);
  return table([["VARIABLE", "TYPE", "VALUE", "DESCRIPTION"], ...rows]);
}

function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  return rows
    .map(
      row =>
        `${row
          .map((cell, i) => cell.padEnd((widths[i] ?? 0) + 3))
          .join("")
          .trimEnd()}\n`,
    )
    .join("");
}
