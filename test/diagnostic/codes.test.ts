// docs/errors.md is made from the table of codes: this test compares the two. `UPDATE=1` rewrites the page.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Code, codes, exitCodes } from "../../src/diagnostic/codes.ts";
import { projectRoot, readSources } from "../rig/sourcetree.ts";

test("docs/errors.md lists the codes as they are", () => {
  const path = join(projectRoot, "docs", "errors.md");
  if (process.env["UPDATE"]) writeFileSync(path, page());
  assert.equal(
    readFileSync(path, "utf8"),
    page(),
    "run UPDATE=1 node scripts/test.mjs test/diagnostic/codes.test.ts",
  );
});

test("every code is one that some part of the program reports", () => {
  const text = readSources("src")
    .filter(({ path }) => path !== "src/diagnostic/codes.ts")
    .map(file => file.text)
    .join("\n");
  const unused = Object.keys(codes).filter(code => !text.includes(`"${code}"`));
  assert.deepEqual(unused, []);
});

function page(): string {
  const rows = (Object.keys(codes) as Code[])
    .sort()
    .map(code => [`\`${code}\``, String(codes[code].exit), codes[code].text]);
  const lines = [
    "# Problems and exit codes",
    "",
    "Every problem llbake reports is of one of these kinds, which decides the exit code. `--debug` shows where in the program it came up.",
    "",
    ...table(["Code", "Exit", "Meaning"], rows),
    "",
    `Exit codes: ${exitCodes.ok} everything was built, ${exitCodes.failure} the build failed, ${exitCodes.usage} the command line or an input file is wrong, ${exitCodes.interrupted} the user stopped the build.`,
    "",
  ];
  return lines.join("\n");
}

/** A Markdown table with aligned columns, the form the formatter leaves alone. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const widths = head.map((title, column) =>
    Math.max(...[head, ...rows].map(row => (row[column] ?? title).length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  return [line(head), line(widths.map(width => "-".repeat(width))), ...rows.map(line)];
}
