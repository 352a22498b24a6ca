// An independent HCL parser reads every HCL file of this repository to the same blocks and values, as far as it
// can express them: it leaves expressions as text, so plain values are compared.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { parseHcl } from "../../src/bakefile/hcl/parse.ts";
import { formatNumber } from "../../src/bakefile/hcl/number.ts";
import type { Body, Expression } from "../../src/bakefile/hcl/ast.ts";

const root = join(import.meta.dirname, "../..");
const oracle = createRequire(import.meta.url)("hcl2-parser") as {
  parseToObject: (text: string) => readonly unknown[];
};

function hclFiles(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap(entry => {
    const path = join(folder, entry.name);
    if (entry.isDirectory())
      return /^(node_modules|dist|out|\.|docker$)/.test(entry.name) ? [] : hclFiles(path);
    return entry.name.endsWith(".hcl") ? [path] : [];
  });
}

/** Plain values of a tree; undefined for what the other parser leaves as text. */
function plain(expression: Expression): unknown {
  switch (expression.kind) {
    case "literal":
      switch (expression.value.kind) {
        case "string":
          return /[$%]\{/.test(expression.value.value) ? undefined : expression.value.value;
        case "bool":
          return expression.value.value;
        case "number":
          return Number(formatNumber(expression.value.value));
        default:
          return expression.value.kind === "null" ? null : undefined;
      }
    case "tuple":
      return expression.items.map(plain);
    case "object":
      return Object.fromEntries(
        expression.entries.map(({ key, value }) => [String(plain(key)), plain(value)]),
      );
    default:
      return undefined;
  }
}

function compare(ours: unknown, theirs: unknown, where: string): void {
  if (ours === undefined) return;
  if (Array.isArray(ours)) {
    assert.ok(Array.isArray(theirs) && theirs.length === ours.length, where);
    ours.forEach((item, i) => compare(item, (theirs as unknown[])[i], `${where}[${i}]`));
  } else if (typeof ours === "object" && ours !== null) {
    for (const [key, value] of Object.entries(ours))
      compare(value, (theirs as Record<string, unknown>)[key], `${where}.${key}`);
  } else assert.deepEqual(theirs, ours, where);
}

/** The other parser gives blocks as `{type: {label: [bodies]}}` in order of the file. */
function compareBody(body: Body, theirs: Record<string, unknown>, where: string): number {
  let count = 0;
  for (const { name, expression } of body.attributes) {
    compare(plain(expression), theirs[name], `${where}.${name}`);
    count++;
  }
  const seen = new Map<string, number>();
  for (const block of body.blocks) {
    let found: unknown = theirs[block.type];
    for (const label of block.labels) found = (found as Record<string, unknown>)[label.text];
    const key = [block.type, ...block.labels.map(label => label.text)].join(".");
    const index = seen.get(key) ?? 0;
    seen.set(key, index + 1);
    assert.ok(Array.isArray(found), `${where}.${key}`);
    count += compareBody(block.body, found[index] as Record<string, unknown>, `${where}.${key}`);
  }
  return count;
}

for (const path of hclFiles(".")) {
  test(`${path} reads the same`, t => {
    const text = readFileSync(join(root, path), "utf8");
    const [theirs, failure] = oracle.parseToObject(text);
    const { value, diagnostics } = parseHcl({ name: path, text });
    if (theirs === null || theirs === undefined || failure) {
      if (diagnostics.length > 0) return;
      t.skip("the other parser cannot read this file");
      return;
    }
    assert.deepEqual(diagnostics, []);
    assert.ok(value);
    assert.ok(compareBody(value, theirs as Record<string, unknown>, path) >= 0);
  });
}
