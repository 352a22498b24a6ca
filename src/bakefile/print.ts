// The text of `--print`: the resolved targets as JSON, byte for byte as buildx prints it.
import { compareUtf8, goJson, sortedRecord } from "../oci/json.ts";
import { attributeTable, fields, printField } from "./attributes.ts";
import type { ResolvedBake, ResolvedTarget } from "./resolve.ts";

/** Ends with a line break. */
export function printBake(resolved: ResolvedBake): string {
  const group: Record<string, unknown> = {};
  for (const name of [...resolved.groups.keys()].sort(compareUtf8)) {
    const found = resolved.groups.get(name);
    if (found !== undefined)
      group[name] = {
        ...(found.description !== "" && { description: found.description }),
        targets: found.targets,
      };
  }
  const target: Record<string, unknown> = {};
  for (const name of [...resolved.targets.keys()].sort(compareUtf8)) {
    const found = resolved.targets.get(name);
    if (found !== undefined) target[name] = printTarget(found);
  }
  const out = {
    ...(Object.keys(group).length > 0 && { group: sortedRecord(group) }),
    target: sortedRecord(target),
  };
  return `${goJson(out, "  ")}\n`;
}

function printTarget(target: ResolvedTarget): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const field of fields) {
    const printed = printField(target, field);
    if (printed !== undefined) out[attributeTable[field].name] = printed;
  }
  return out;
}
