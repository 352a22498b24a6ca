// Holds the small rules of the house that no compiler checks: words, names, sizes, and files nobody uses.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import ts from "typescript";
import { version } from "../src/cli/version.ts";
import { filesBelow, projectRoot, readSources, walkSyntax } from "./rig/sourcetree.ts";

/** Beyond this a file is more than one thing. */
const MAX_LINES = 700;
/** From here on the question is asked. */
const LONG_LINES = 500;

/** A word, and what to do instead. */
const bannedWords: readonly (readonly [RegExp, string])[] = [
  [/\b(?:TODO|FIXME|XXX|HACK)\b/, "do it now or write it down in an issue"],
  [/@ts-(?:ignore|nocheck|expect-error)/, "make the types say it"],
  [/\bconsole\.log\(/, "only the command line speaks to the user, through its output"],
];
const bannedNames =
  /(?:^|\/)(?:utils?|helpers?|managers?|common|misc|shared|index)(?:\.ts)?(?:\/|$)|(?:Utils?|Helpers?|Manager)\.ts$/i;

const code = readSources("src", "test", "bench", "examples");
const texts = [
  ...code.map(file => file.path),
  ...filesBelow("docs"),
  ...filesBelow("scripts"),
  ...filesBelow("examples"),
]
  .concat(["README.md", "CHANGELOG.md", "package.json", "eslint.config.js", "bake.hcl"])
  .filter(path => /\.(ts|mjs|js|md|json|hcl)$/.test(path) && existsSync(join(projectRoot, path)));

test("no file holds a word that stands for unfinished or unchecked work", () => {
  const wrong: string[] = [];
  for (const file of code.filter(({ path }) => path !== "test/tidy.test.ts")) {
    for (const [index, line] of file.text.split("\n").entries()) {
      for (const [word, instead] of bannedWords) {
        if (!word.test(line) || (word.source.includes("console") && !file.path.startsWith("src/"))) continue;
        wrong.push(`${file.path}:${index + 1}: ${line.trim()} (${instead})`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

test("types are not talked out of", () => {
  const wrong: string[] = [];
  for (const file of code) {
    walkSyntax(file, (node, at) => {
      if (node.kind === ts.SyntaxKind.AnyKeyword) wrong.push(`${at()}: any (say \`unknown\` and check)`);
      const isDouble = ts.isAsExpression(node) && ts.isAsExpression(node.expression);
      if (isDouble && file.path.startsWith("src/")) wrong.push(`${at()}: ${node.getText()} (write a check)`);
    });
  }
  assert.deepEqual(wrong, []);
});

test("no file or folder is named after nothing in particular", () => {
  const wrong = code.map(file => file.path).filter(path => bannedNames.test(path));
  assert.deepEqual(wrong, [], "name it by the concept it holds");
});

test("every file is about one thing", t => {
  const long = code
    .map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 }))
    .filter(({ lines }) => lines > LONG_LINES)
    .sort((a, b) => b.lines - a.lines);
  for (const { path, lines } of long) t.diagnostic(`${path} has ${lines} lines: which noun is hiding?`);
  const tooLong = long
    .filter(({ lines }) => lines > MAX_LINES)
    .map(({ path, lines }) => `${path}: ${lines} lines`);
  assert.deepEqual(tooLong, []);
});

test("every file opens with what it is", () => {
  const wrong = code.filter(
    ({ path, text }) => path.startsWith("src/") && !/^(?:#!.*\n)?(?:\/\/ |\/\*\*)/.test(text),
  );
  assert.deepEqual(
    wrong.map(file => file.path),
    [],
  );
});

test("every source file is reachable from an entry", () => {
  const byPath = new Map(code.map(file => [file.path, file]));
  const reached = new Set<string>();
  const visit = (path: string): void => {
    const file = byPath.get(path);
    if (file === undefined || reached.has(path)) return;
    reached.add(path);
    for (const target of file.imports) if (target.kind === "file") visit(target.path);
  };
  // start.ts carries the program, whose entry is main.ts, as text.
  for (const entry of ["src/cli/start.ts", "src/cli/main.ts", "src/llb/mod.ts"]) {
    assert.ok(byPath.has(entry), `the entry ${entry} is missing`);
    visit(entry);
  }
  const dead = [...byPath.keys()].filter(path => path.startsWith("src/") && !reached.has(path));
  assert.deepEqual(dead, [], "nothing that ships uses these files");
});

test("every dependency is used", () => {
  const { dependencies } = JSON.parse(readFileSync(join(projectRoot, "package.json"), "utf8")) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  const used = new Set(
    code
      .filter(file => file.path.startsWith("src/"))
      .flatMap(file => file.imports)
      .flatMap(target => (target.kind === "package" ? [target.name.split("/")[0]] : [])),
  );
  assert.deepEqual(
    Object.keys(dependencies).filter(name => !used.has(name)),
    [],
  );
});

test("every example has a README", () => {
  const folders = readdirSync(join(projectRoot, "examples"), { withFileTypes: true }).filter(entry =>
    entry.isDirectory(),
  );
  const without = folders
    .map(({ name }) => name)
    .filter(name => !existsSync(join(projectRoot, "examples", name, "README.md")));
  assert.deepEqual(without, []);
});

test("every relative link in the documentation leads somewhere", () => {
  const wrong: string[] = [];
  for (const path of texts.filter(name => name.endsWith(".md"))) {
    const text = readFileSync(join(projectRoot, path), "utf8");
    for (const [, target] of text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)/g)) {
      if (!existsSync(join(projectRoot, path, "..", target ?? ""))) wrong.push(`${path}: ${target ?? ""}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("the program and its documents name the version of the package", () => {
  const read = (path: string): string => readFileSync(join(projectRoot, path), "utf8");
  const manifest = JSON.parse(read("package.json")) as { readonly version: string };
  assert.equal(version, manifest.version);
  assert.match(read("bake.hcl"), new RegExp(`default += "${manifest.version.replaceAll(".", "\\.")}"`));
});

test("the lock file names no registry", () => {
  const lock = readFileSync(join(projectRoot, "package-lock.json"), "utf8");
  assert.equal(
    lock.includes('"resolved"'),
    false,
    "run npm install with omit-lockfile-registry-resolved=true",
  );
});
