// Bundles the command line into dist/cli.js with its pieces in dist/cli/, and the public LLB API into dist/llb.js with
// its types in dist/types/.
// `--quick` leaves the types out (set-up uses it: nothing that runs needs them).
import { spawnSync } from "node:child_process";
import { chmod, mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const quick = process.argv.includes("--quick");

/** @type {import("esbuild").BuildOptions} */
const shared = {
  absWorkingDir: root,
  bundle: true,
  write: false,
  outdir: "dist",
  platform: "node",
  target: "node20",
  format: "esm",
  // Native code: resolved from node_modules when it is first needed.
  external: ["koffi"],
  minifySyntax: true,
  minifyWhitespace: true,
  keepNames: true,
  legalComments: "none",
  logLevel: "warning",
};

// CommonJS dependencies call require(), which an ES module does not have.
const requireBanner = `import{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);`;

// A command loads only the pieces it needs: in one file, `bake --version` would load every built-in the program knows.
const cli = {
  ...shared,
  entryPoints: { cli: "src/cli/start.ts" },
  splitting: true,
  chunkNames: "cli/[name]-[hash]",
  banner: { js: requireBanner },
};
const llb = { ...shared, entryPoints: { llb: "src/llb/mod.ts" } };

/** How long pieces of earlier builds are kept for programs that began with them and have not loaded all. */
const KEPT_MS = 10 * 60_000;

try {
  const results = await Promise.all([build(cli), build(llb)]);
  const files = results.flatMap(result => result.outputFiles);
  // Entries come last: whoever starts meanwhile finds every piece of what it starts.
  const isEntry = file => dirname(file.path) === join(root, "dist");
  for (const file of [...files.filter(file => !isEntry(file)), ...files.filter(isEntry)]) await write(file);
  await removeOld(new Set(files.map(file => file.path)));
} catch (error) {
  // esbuild has printed what is wrong and where.
  if (error.errors === undefined) throw error;
  process.exit(1);
}
if (!quick) emitTypes();

/** Writes a file beside its place and renames it, so that nobody reads half of it. */
async function write({ path, contents }) {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}`);
  await mkdir(dirname(path), { recursive: true });
  try {
    await writeFile(temporary, contents);
    await chmod(temporary, basename(path) === "cli.js" ? 0o755 : 0o644);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function removeOld(current) {
  const folder = join(root, "dist", "cli");
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (current.has(path)) continue;
    const info = await stat(path).catch(() => undefined);
    if (info !== undefined && Date.now() - info.mtimeMs > KEPT_MS) await rm(path, { force: true });
  }
}

function emitTypes() {
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const args = [tsc, "-p", join(root, "scripts", "types.tsconfig.json")];
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) process.exit(1);
}
