// Bundles the command line into the one file dist/cli.js, and the public LLB API into dist/llb/ with its types.
// `--quick` leaves the types out (set-up uses it: nothing that runs needs them); `--out=DIR` writes elsewhere than dist
// (a bundle of one's own, for tests with LLBAKE_TEST_PROGRAM=DIR/cli.js while dist is in use).
import { createHash } from "node:crypto";
import { spawnSync } from "node:child_process";
import { chmod, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const quick = process.argv.includes("--quick");
const out = process.argv.find(word => word.startsWith("--out="))?.slice("--out=".length) ?? "dist";

/** @type {import("esbuild").BuildOptions} */
const shared = {
  absWorkingDir: root,
  bundle: true,
  write: false,
  platform: "node",
  target: "node20",
  // Native code: resolved from node_modules when it is first needed.
  external: ["koffi"],
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "none",
  logLevel: "warning",
};

// The program is a CommonJS script, whose modules and built-ins are loaded when first needed. It is carried by start.ts
// as a string: Node then need not read through all of it before it may begin, and start.ts can give it to the engine
// together with the code compiled in an earlier run.
const program = {
  ...shared,
  entryPoints: ["src/cli/main.ts"],
  format: "cjs",
  supported: { "dynamic-import": false },
  // A third less to read at each start: `--print` over bare node x1.46 instead of x1.59.
  minifyIdentifiers: true,
};
const start = text => ({
  ...shared,
  entryPoints: ["src/cli/start.ts"],
  format: "cjs",
  define: {
    PROGRAM_TEXT: JSON.stringify(text),
    PROGRAM_ID: JSON.stringify(createHash("sha256").update(text).digest("hex").slice(0, 16)),
  },
});
const llb = { ...shared, entryPoints: ["src/llb/mod.ts"], format: "esm" };

try {
  const [text, api] = await Promise.all([bundle(program), bundle(llb)]);
  // The package is of ES modules; the program is not.
  await write("package.json", '{ "type": "commonjs" }\n');
  await write("llb/package.json", '{ "type": "module" }\n');
  await write("llb/mod.js", api);
  await write("cli.js", await bundle(start(`(function(require,process){${text}\n})`)), 0o755);
} catch (error) {
  // esbuild has printed what is wrong and where.
  if (error.errors === undefined) throw error;
  process.exit(1);
}
if (!quick) emitTypes();

async function bundle(options) {
  const result = await build(options);
  return result.outputFiles[0].text;
}

/** Writes a file beside its place and renames it, so that a `bake` running meanwhile never reads half of it. */
async function write(name, contents, mode = 0o644) {
  const path = resolve(root, out, name);
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}`);
  await mkdir(dirname(path), { recursive: true });
  try {
    await writeFile(temporary, contents);
    await chmod(temporary, mode);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

function emitTypes() {
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const args = [tsc, "-p", join(root, "scripts", "types.tsconfig.json")];
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) process.exit(1);
}
