// Holds the shape that docs/architecture.md describes: which module may import which, which modules are pure, and
// that imports never run in a circle. A failure names the file and what to do about it.
import assert from "node:assert/strict";
import { test } from "node:test";
import ts from "typescript";
import { type ImportOf, moduleOf, readSources, type SourceFile, walkSyntax } from "./rig/sourcetree.ts";

/**
 * What each module may import, in the order of the layers. A module that is not in a row is out of reach for it:
 * before adding one, see "Never" in docs/architecture.md.
 */
const allowed = {
  diagnostic: [],
  oci: ["diagnostic"],
  pattern: ["diagnostic"],
  system: [],
  progress: ["diagnostic"],
  bakefile: ["diagnostic", "oci", "pattern"],
  llb: ["diagnostic", "oci"],
  frontend: ["diagnostic", "oci", "pattern", "llb"],
  solver: ["diagnostic", "oci", "progress"],
  content: ["diagnostic", "oci", "system"],
  layer: ["diagnostic", "oci", "pattern", "system"],
  registry: ["diagnostic", "oci", "content"],
  session: ["diagnostic", "oci", "registry"],
  snapshot: ["diagnostic", "oci", "system", "content", "layer"],
  executor: ["diagnostic", "oci", "system", "content", "layer", "snapshot"],
  source: [
    "diagnostic",
    "oci",
    "pattern",
    "progress",
    "llb",
    "solver",
    "content",
    "layer",
    "registry",
    "session",
    "snapshot",
  ],
  worker: ["diagnostic", "oci", "content", "layer", "registry", "session", "snapshot", "executor", "source"],
  op: [
    ...[
      "diagnostic",
      "oci",
      "pattern",
      "system",
      "progress",
      "llb",
      "solver",
      "content",
      "layer",
      "session",
      "snapshot",
    ],
    ...["executor", "source", "worker"],
  ],
  cache: ["diagnostic", "oci", "progress", "solver", "content", "layer", "registry", "session", "snapshot"],
  exporter: [
    "diagnostic",
    "oci",
    "system",
    "progress",
    "content",
    "layer",
    "registry",
    "session",
    "snapshot",
  ],
  engine: [
    ...[
      "diagnostic",
      "oci",
      "system",
      "progress",
      "llb",
      "frontend",
      "solver",
      "content",
      "layer",
      "registry",
      "session",
    ],
    ...["snapshot", "executor", "source", "worker", "op", "cache", "exporter"],
  ],
  build: [
    ...["diagnostic", "oci", "pattern", "progress", "bakefile", "llb", "layer", "session", "exporter"],
    "engine",
  ],
  watch: ["diagnostic", "pattern", "progress", "bakefile", "session", "engine", "build"],
  cli: [
    ...["diagnostic", "oci", "pattern", "system", "progress", "bakefile", "llb", "frontend", "content"],
    ...[
      "registry",
      "session",
      "snapshot",
      "executor",
      "source",
      "worker",
      "cache",
      "exporter",
      "engine",
      "build",
      "watch",
    ],
  ],
} as const satisfies Readonly<Record<string, readonly string[]>>;

/** Modules without effects: the same input always gives the same output. */
const pure = ["diagnostic", "oci", "pattern", "bakefile", "llb", "frontend", "solver"];
/** Built-ins that compute and nothing else. */
const pureBuiltins = ["node:crypto", "node:path/posix", "node:util", "node:buffer"];
/** Names by which the clock, the machine and the network are reached. */
const impureGlobals = [
  "process",
  "fetch",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "performance",
  "require",
];
const impureMembers = ["Date.now", "Math.random", "crypto.randomUUID"];

const sources = readSources("src");
const inModules = (modules: readonly string[]): readonly SourceFile[] =>
  sources.filter(file => modules.includes(moduleOf(file.path) ?? ""));

test("the allow-list itself only looks to the left", () => {
  const order = Object.keys(allowed);
  for (const [module, targets] of Object.entries(allowed)) {
    const right = targets.filter(target => order.indexOf(target) >= order.indexOf(module));
    assert.deepEqual(right, [], `the row of "${module}" names modules that are not to its left`);
  }
});

test("every source file belongs to a module of the allow-list", () => {
  const strays = sources.map(file => file.path).filter(path => !((moduleOf(path) ?? "") in allowed));
  assert.deepEqual(strays, []);
});

test("a module imports only the modules its row allows", () => {
  const rows: Readonly<Record<string, readonly string[]>> = allowed;
  const wrong = edges().filter(({ from, to }) => {
    const [module, target] = [moduleOf(from) ?? "", moduleOf(to)];
    return target !== module && !(rows[module] ?? []).includes(target ?? "");
  });
  assert.deepEqual(
    wrong.map(({ from, to }) => `${from} imports ${to}`),
    [],
  );
});

test("only the command line imports renderers; other modules know progress by its events", () => {
  const wrong = edges().filter(
    ({ from, to }) =>
      !/^src\/(cli|progress)\//.test(from) &&
      to.startsWith("src/progress/") &&
      to !== "src/progress/event.ts",
  );
  assert.deepEqual(
    wrong.map(({ from, to }) => `${from} imports ${to}`),
    [],
  );
});

test("imports never run in a circle", () => {
  assert.deepEqual(findCycles(), []);
});

test("pure modules import no built-in that reaches the machine, and no package that does", () => {
  const pureModules = inModules(pure);
  const packages = new Set(["zod", "zod/mini", "p-queue", "yaml"]);
  const wrong = pureModules.flatMap(file =>
    packagesOf(file.imports)
      .filter(name => !pureBuiltins.includes(name) && !packages.has(name))
      .map(name => `${file.path} imports ${name}`),
  );
  assert.deepEqual(wrong, []);
});

test("pure modules read no clock, environment, chance or network", () => {
  const wrong: string[] = [];
  for (const file of inModules(pure)) {
    walkSyntax(file, (node, at) => {
      if (
        ts.isPropertyAccessExpression(node) &&
        impureMembers.includes(`${node.expression.getText()}.${node.name.text}`)
      ) {
        wrong.push(`${at()}: ${node.getText()}`);
      }
      if (
        ts.isNewExpression(node) &&
        node.expression.getText() === "Date" &&
        (node.arguments?.length ?? 0) === 0
      ) {
        wrong.push(`${at()}: new Date()`);
      }
      if (
        ts.isIdentifier(node) &&
        impureGlobals.includes(node.text) &&
        isFreeName(node) &&
        !isShadowed(node)
      ) {
        wrong.push(`${at()}: ${node.text}`);
      }
    });
  }
  assert.deepEqual(wrong, []);
});

test("only the command line reads environment, arguments, terminal and working directory", () => {
  const wrong: string[] = [];
  for (const file of sources.filter(({ path }) => moduleOf(path) !== "cli")) {
    walkSyntax(file, (node, at) => {
      if (!ts.isPropertyAccessExpression(node) || !ts.isIdentifier(node.expression)) return;
      if (isShadowed(node.expression)) return;
      if (/^process\.(env|argv|cwd|stdin|stdout|stderr|exit|exitCode)$/.test(node.getText())) {
        wrong.push(`${at()}: ${node.getText()}`);
      }
    });
  }
  assert.deepEqual(wrong, []);
});

test("no file passes on everything of another", () => {
  const wrong: string[] = [];
  for (const file of sources) {
    walkSyntax(file, (node, at) => {
      if (!ts.isExportDeclaration(node) || node.moduleSpecifier === undefined) return;
      const isDoor = file.path === "src/llb/mod.ts" && node.exportClause !== undefined;
      if (!isDoor) wrong.push(`${at()}: ${node.getText()}`);
    });
  }
  assert.deepEqual(
    wrong,
    [],
    "import the file that defines the thing; src/llb/mod.ts is the only public door",
  );
});

test("the command line loads the rest of the program only when a command needs it", () => {
  // Whatever `bake --version` loads is paid by every run: the entry reaches the machine through import() alone.
  const eager = new Set<string>();
  const visit = (path: string): void => {
    const file = sources.find(source => source.path === path);
    if (file === undefined || eager.has(path)) return;
    eager.add(path);
    for (const target of staticImports(file)) visit(target);
  };
  visit("src/cli/main.ts");
  assert.ok(eager.size > 0, "the entry src/cli/main.ts is missing");
  const heavy = [...eager].filter(path =>
    ["executor", "snapshot", "registry", "op", "engine", "watch"].includes(moduleOf(path) ?? ""),
  );
  assert.deepEqual(heavy, []);
});

interface ImportEdge {
  readonly from: string;
  readonly to: string;
}

function edges(): readonly ImportEdge[] {
  return sources.flatMap(file =>
    file.imports.flatMap(target => (target.kind === "file" ? [{ from: file.path, to: target.path }] : [])),
  );
}

function packagesOf(imports: readonly ImportOf[]): readonly string[] {
  return imports.flatMap(target => (target.kind === "package" ? [target.name] : []));
}

/** Files imported by value at load time: no types, no `import()`. */
function staticImports(file: SourceFile): readonly string[] {
  const found: string[] = [];
  walkSyntax(file, node => {
    if (!ts.isImportDeclaration(node) || node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword)
      return;
    const specifier = (node.moduleSpecifier as ts.StringLiteral).text;
    if (!specifier.startsWith(".")) return;
    found.push(new URL(specifier, `file:///${file.path}`).pathname.slice(1));
  });
  return found;
}

/** Groups of files that reach each other (Tarjan's strongly connected components of more than one file). */
function findCycles(): readonly (readonly string[])[] {
  const all = edges();
  const targets = new Map(sources.map(({ path }) => [path, all.filter(edge => edge.from === path)]));
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const cycles: string[][] = [];
  const visit = (path: string): void => {
    index.set(path, index.size);
    low.set(path, index.size - 1);
    stack.push(path);
    for (const { to } of targets.get(path) ?? []) {
      if (!index.has(to)) visit(to);
      if (stack.includes(to)) low.set(path, Math.min(low.get(path) ?? 0, low.get(to) ?? 0));
    }
    if (low.get(path) !== index.get(path)) return;
    const group = stack.splice(stack.indexOf(path)).sort();
    if (group.length > 1) cycles.push(group);
  };
  for (const { path } of sources) if (!index.has(path)) visit(path);
  return cycles;
}

/** Whether an identifier stands for a variable rather than a property, label or declaration of that name. */
function isFreeName(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isPropertyAssignment(parent) || ts.isPropertySignature(parent) || ts.isMethodSignature(parent))
    return parent.name !== node;
  if (ts.isParameter(parent) || ts.isVariableDeclaration(parent) || ts.isBindingElement(parent))
    return parent.initializer === node;
  return !ts.isTypeNode(parent) && !ts.isFunctionDeclaration(parent) && !ts.isMethodDeclaration(parent);
}

/** Whether a function around the name, or the file, declares it as something of its own. */
function isShadowed(name: ts.Identifier): boolean {
  const declares = (node: ts.Node): boolean => {
    if (ts.isParameter(node) || ts.isVariableDeclaration(node) || ts.isBindingElement(node)) {
      if (node.name.getText() === name.text) return true;
      if (!ts.isIdentifier(node.name)) return node.name.elements.some(element => declares(element));
    }
    return ts.isImportSpecifier(node) && node.name.text === name.text;
  };
  for (let scope: ts.Node = name.parent; !ts.isSourceFile(scope); scope = scope.parent) {
    if (ts.isFunctionLike(scope) && scope.parameters.some(declares)) return true;
    if (ts.isBlock(scope) && scope.statements.some(statement => variablesOf(statement).some(declares)))
      return true;
  }
  return false;
}

function variablesOf(statement: ts.Statement): readonly ts.VariableDeclaration[] {
  return ts.isVariableStatement(statement) ? statement.declarationList.declarations : [];
}
