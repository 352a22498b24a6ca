// schemas/llb.proto and the tables in code describe the same messages. Method: read the text with a small parser and
// compare it with every table that an op or a definition reaches.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { definitionMessage } from "../../src/llb/definitionmessage.ts";
import { protoName, type AnyMessage, type FieldShape } from "../../src/llb/message.ts";
import { opMessage } from "../../src/llb/ops.ts";

test("schemas/llb.proto and the message tables agree on every message, field and enum", async () => {
  const proto = await readFile(new URL("../../schemas/llb.proto", import.meta.url), "utf8");
  assert.deepEqual(blocksOf(proto), blocksOfTables([definitionMessage, opMessage]));
});

/** `message Name` or `enum Name` to its rows; members of a oneof are prefixed by its name. */
function blocksOf(proto: string): Map<string, string[]> {
  const blocks = new Map<string, string[]>();
  let rows: string[] = [];
  let oneof = "";
  for (const line of proto.split("\n").map(text => text.replace(/\/\/.*/, "").trim())) {
    const open = /^(message|enum|oneof) (\w+) \{$/.exec(line);
    if (open?.[1] === "oneof") oneof = `${open[2] ?? ""}: `;
    else if (open !== null) blocks.set(`${open[1] ?? ""} ${open[2] ?? ""}`, (rows = []));
    else if (line === "}") oneof = "";
    else if (line !== "" && !/^(syntax|package)\b/.test(line)) rows.push(oneof + line);
  }
  return new Map([...blocks].map(([name, found]) => [name, found.sort()] as const).sort(byName));
}

function blocksOfTables(roots: readonly AnyMessage[]): Map<string, string[]> {
  const blocks = new Map<string, string[]>();
  const visit = (message: AnyMessage): void => {
    const name = `message ${message.name}`;
    if (blocks.has(name)) return;
    const rows: string[] = [];
    blocks.set(name, rows);
    for (const [key, field] of Object.entries(message.fields)) {
      if (field.kind === "oneof") {
        for (const [member, shape] of Object.entries(field.members))
          rows.push(`${key}: ${rowOf(member, shape)}`);
      } else rows.push(rowOf(key, field));
    }
    rows.sort();
  };
  const typeOf = (field: FieldShape): string => {
    if (field.kind === "bigint") return "int64";
    if (field.kind === "message") {
      visit(field.message());
      return field.message().name;
    }
    if (field.kind === "enum") {
      blocks.set(
        `enum ${field.type}`,
        field.constants.map((constant, index) => `${constant} = ${index};`).sort(),
      );
      return field.type;
    }
    return field.kind;
  };
  const rowOf = (key: string, field: FieldShape): string => {
    const name = protoName(key, field);
    if (field.kind === "oneof") return "";
    if (field.kind === "map") return `map<string, ${typeOf(field.value)}> ${name} = ${field.number};`;
    if (field.kind !== "list") return `${typeOf(field)} ${name} = ${field.number};`;
    return field.of.kind === "list" || field.of.kind === "oneof"
      ? ""
      : `repeated ${typeOf(field.of)} ${name} = ${field.of.number};`;
  };
  for (const root of roots) visit(root);
  return new Map([...blocks].sort(byName));
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}
