// Bundles the command line into dist/cli.js and the text it starts, dist/program-ID.js, and the public LLB API into dist/llb/ with its types.
// `--quick` leaves the types out (set-up uses it: nothing that runs needs them); `--out=DIR` writes elsewhere than dist
// (a bundle of one's own, for tests with LLBAKE_TEST_PROGRAM=DIR/cli.js while dist is in use).
import { createHash } from "node:crypto";
import { spawnSync } from "node:child_process";
import { chmod, mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
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

// The program is a CommonJS script, whose modules and built-ins are loaded when first needed. It is read by start.ts as
// a string: Node then need not look through all of it before it may begin, and start.ts can give it to the engine
// together with the code compiled in an earlier run.
const program = {
  ...shared,
  entryPoints: ["src/cli/main.ts"],
  format: "cjs",
  supported: { "dynamic-import": false },
  // A third less to read at each start: `--print` over bare node x1.46 instead of x1.59.
  minifyIdentifiers: true,
};
const start = id => ({
  ...shared,
  entryPoints: ["src/cli/start.ts"],
  format: "cjs",
  define: { PROGRAM_ID: JSON.stringify(id) },
});
/** A program that a `bake` may be about to read is not of an older build than this. */
const KEPT_MS = 3600_000;
const llb = { ...shared, entryPoints: ["src/llb/mod.ts"], format: "esm" };

try {
  const [text, api] = await Promise.all([bundle(program), bundle(llb)]);
  // The package is of ES modules; the program is not.
  await write("package.json", '{ "type": "commonjs" }\n');
  await write("llb/package.json", '{ "type": "module" }\n');
  await write("llb/mod.js", api);
  const script = asciiOnly(`(function(require,process){${text}\n})`);
  const id = createHash("sha256").update(script).digest("hex").slice(0, 16);
  await write(`program-${id}.js`, script);
  await write("cli.js", await bundle(start(id)), 0o755);
  await removeOlder(`program-${id}.js`);
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

/** One character beyond Latin-1 would double what the engine has to read. What is left of them is in regular expressions. */
function asciiOnly(text) {
  return text.replace(/[^\x00-\x7f]/g, char => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

async function removeOlder(present) {
  for (const name of await readdir(resolve(root, out))) {
    if (!/^program-.*\.js$/.test(name) || name === present) continue;
    const path = resolve(root, out, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
    if (mtimeMs + KEPT_MS < Date.now()) await rm(path, { force: true });
  }
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
