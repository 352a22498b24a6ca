// Each folder of test/golden/bake holds bake files, perhaps args.json ({targets, overrides, env, vars}), and what
// comes out: expected.json (the text of --print) or expected.diag (the rendered problems). UPDATE=1 rewrites them.
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { discoverBakeFiles } from "../../src/bakefile/discover.ts";
import { renderDiagnostics } from "../../src/diagnostic/render.ts";
import { runBake, type RunOptions } from "./fixture.ts";

const folder = join(import.meta.dirname, "../golden/bake");
const update = process.env["UPDATE"] === "1";

for (const name of readdirSync(folder).sort()) {
  test(`golden ${name}`, () => {
    const at = (file: string): string => join(folder, name, file);
    const names = discoverBakeFiles(new Set(readdirSync(join(folder, name))));
    const files = Object.fromEntries(names.map(file => [file, readFileSync(at(file), "utf8")]));
    const args = existsSync(at("args.json"))
      ? (JSON.parse(readFileSync(at("args.json"), "utf8")) as RunOptions)
      : {};
    const readFile = (path: string): string | undefined =>
      existsSync(at(path)) ? readFileSync(at(path), "utf8") : undefined;
    const { printed, diagnostics } = runBake(files, { readFile, ...args });
    const results = {
      "expected.json": printed,
      "expected.diag": diagnostics.length === 0 ? undefined : renderDiagnostics(diagnostics),
    };
    for (const [file, text] of Object.entries(results)) {
      if (update) {
        if (text === undefined) rmSync(at(file), { force: true });
        else writeFileSync(at(file), text);
      }
      assert.equal(text, existsSync(at(file)) ? readFileSync(at(file), "utf8") : undefined, file);
    }
  });
}
