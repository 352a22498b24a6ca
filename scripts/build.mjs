// Bundles the command line into dist/cli.js and the public LLB API into dist/llb.js with its types.
// `--quick` leaves the types out (set-up uses it: nothing that runs needs them).
import { spawnSync } from "node:child_process";
import { chmod, mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const quick = process.argv.includes("--quick");

/** @type {import("esbuild").BuildOptions} */
const shared = {
  absWorkingDir: root,
  bundle: true,
  write: false,
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

const bundles = [
  { entry: "src/cli/main.ts", file: "cli.js", banner: requireBanner, mode: 0o755 },
  { entry: "src/llb/mod.ts", file: "llb.js", banner: "", mode: 0o644 },
];

await mkdir(join(root, "dist"), { recursive: true });
try {
  await Promise.all(bundles.map(bundle));
} catch (error) {
  // esbuild has printed what is wrong and where.
  if (error.errors === undefined) throw error;
  process.exit(1);
}
if (!quick) emitTypes();

/** Builds one file beside its place and renames it, so that a `bake` running meanwhile never reads half of it. */
async function bundle({ entry, file, banner, mode }) {
  if (!(await exists(join(root, entry)))) {
    console.error(`build: skipped dist/${file}: there is no ${entry}`);
    return;
  }
  const result = await build({
    ...shared,
    entryPoints: [entry],
    outfile: `dist/${file}`,
    banner: { js: banner },
  });
  const temporary = join(root, "dist", `.${file}.${process.pid}`);
  try {
    await writeFile(temporary, result.outputFiles[0].contents);
    await chmod(temporary, mode);
    await rename(temporary, join(root, "dist", file));
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

async function exists(path) {
  return stat(path).then(
    () => true,
    () => false,
  );
}
