// docs/cli.md shows what --help shows. UPDATE=1 rewrites it.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { readEnvironment } from "../../src/cli/environment.ts";
import { buildCommand, commands } from "../../src/cli/program.ts";
import { version } from "../../src/cli/version.ts";
import { projectRoot } from "../rig/sourcetree.ts";

const path = join(projectRoot, "docs", "cli.md");
const context = { environment: readEnvironment(), signal: new AbortController().signal };

async function withHelp(document: string): Promise<string> {
  let out = document;
  for (const name of Object.keys(commands)) {
    const title = `bake ${name}`.trim();
    const command = await buildCommand(name, context, () => undefined);
    const help = command
      .configureHelp({ ...command.configureHelp(), helpWidth: 110 })
      .helpInformation()
      .trimEnd();
    const block = new RegExp(`<!-- help: ${title} -->[^]*?<!-- end -->`);
    assert.match(out, block, `docs/cli.md has no block for "${title}"`);
    out = out.replace(block, () => `<!-- help: ${title} -->\n\n\`\`\`\n${help}\n\`\`\`\n\n<!-- end -->`);
  }
  return out;
}

test("the reference shows the help of every command", async () => {
  const document = await readFile(path, "utf8");
  const current = await withHelp(document);
  if (process.env["UPDATE"] === "1") await writeFile(path, current);
  else
    assert.equal(
      document,
      current,
      "UPDATE=1 node --import tsx --test test/cli/docs.test.ts brings it up to date",
    );
});

test("the version is that of the package", async () => {
  const manifest = JSON.parse(await readFile(join(projectRoot, "package.json"), "utf8")) as {
    readonly version: string;
  };
  assert.equal(version, manifest.version);
});
