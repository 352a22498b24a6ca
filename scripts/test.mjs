// Runs the tests: `node scripts/test.mjs [path ...] [--concurrency N]`. Paths are files or folders; default is test/.
// Failures are printed in full, then the runner's own summary, then every skipped test with its reason.
import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { availableParallelism, constants, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { concurrency: { type: "string" }, reporter: { type: "string" }, only: { type: "boolean" } },
});
/** A file that takes longer hangs; the suite has ten minutes altogether. */
const TIMEOUT_MS = 180_000;
const concurrency = values.concurrency ?? String(Math.max(1, Math.min(4, availableParallelism())));
const reporter = values.reporter ?? pathToFileURL(join(root, "scripts", "reporter.mjs")).href;

const files = await collect(
  positionals.length === 0 ? [join(root, "test")] : positionals.map(path => resolve(path)),
);
if (files.length === 0) {
  console.error(`error: no test files (*.test.ts) in ${positionals.join(" ")}`);
  process.exit(1);
}

// The end-to-end tests run dist/cli.js, which must be that of these sources.
const { status } = spawnSync(process.execPath, [join(root, "scripts", "setup.mjs")], { stdio: "inherit" });
if (status !== 0)
  console.error("warning: dist/ could not be brought up to date; the end-to-end tests will tell");

const stateRoot = await mkdtemp(join(tmpdir(), "llbake-test-"));
const child = spawn(
  process.execPath,
  [
    ...[
      "--import",
      "tsx",
      "--test",
      `--test-concurrency=${concurrency}`,
      `--test-reporter=${reporter}`,
      `--test-timeout=${TIMEOUT_MS}`,
    ],
    ...(values.only ? ["--test-only"] : []),
    ...files,
  ],
  { cwd: root, stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, LLBAKE_ROOT: stateRoot } },
);
// The runner gets the terminal's Ctrl-C itself; staying alive here lets the folder be removed afterwards.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    if (signal !== "SIGINT") child.kill(signal);
  });
}
const code = await new Promise((settle, fail) => {
  child.once("error", fail);
  child.once("exit", (status, signal) => settle(status ?? 128 + constants.signals[signal]));
});
// A folder with something mounted below it is left alone: removing it would reach into what is mounted.
if ((await readFile("/proc/self/mountinfo", "utf8").catch(() => "")).includes(` ${stateRoot}/`)) {
  console.error(`error: the tests left mounts below ${stateRoot}`);
  process.exit(code || 1);
}
await rm(stateRoot, { recursive: true, force: true, maxRetries: 3 }).catch(error => {
  console.error(`warning: could not remove ${stateRoot}: ${error.message}`);
});
process.exitCode = code;

async function collect(paths) {
  const found = new Set();
  for (const path of paths) {
    const info = await stat(path).catch(() => undefined);
    if (info === undefined) {
      console.error(`error: there is no "${path}"`);
      process.exit(1);
    }
    if (!info.isDirectory()) found.add(path);
    else for (const file of await testsIn(path)) found.add(file);
  }
  return [...found].sort();
}

async function testsIn(folder) {
  const found = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && entry.name !== "golden") found.push(...(await testsIn(path)));
    else if (entry.isFile() && entry.name.endsWith(".test.ts")) found.push(path);
  }
  return found;
}
