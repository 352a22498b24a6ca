// Runs the tests: `node scripts/test.mjs [path ...] [--concurrency N] [--user NAME]`. Paths are files or folders; default
// is test/. Failures are printed in full, then the runner's own summary, then every skipped test with its reason. As root
// and without paths a part of the end-to-end tests is run once more, by an ordinary user. `--user` runs everything as
// that user, who is made when missing.
import { spawn, spawnSync } from "node:child_process";
import { chown, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { availableParallelism, constants, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    concurrency: { type: "string" },
    reporter: { type: "string" },
    only: { type: "boolean" },
    user: { type: "string" },
  },
});
// Tests compare modes, and let other users run what they make: files are made as is usual.
process.umask(0o022);
/** A file that takes longer hangs: the longest takes 40 s on two processors, and 95 s when others keep them busy. */
const TIMEOUT_MS = 300_000;
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

/** What an ordinary user runs once more: steps and their mounts, files of others, outputs, interruptions. */
const AS_USER = [
  ...["dockerfile", "images", "interrupt", "cache", "messages"],
  ...["run", "cachemount", "shell", "steplogs"],
].map(name => join(root, "test", "e2e", `${name}.test.ts`));

const isRoot = process.getuid() === 0;
let code = 0;
if (values.user === undefined) code = await runTests(files, undefined);
if (values.user !== undefined || (isRoot && positionals.length === 0 && code < 128)) {
  const user = findUser(values.user ?? "llbake-test");
  if (typeof user === "string") {
    console.log(`\nskipped: the tests of an ordinary user: ${user}`);
    if (values.user !== undefined) code = 1;
  } else {
    console.log(`\nas the ordinary user ${user.name}:`);
    code = (await runTests(values.user === undefined ? AS_USER : files, user)) || code;
  }
}
process.exitCode = code;

/** Runs files with a state directory of their own; gives the exit code. */
async function runTests(paths, user) {
  const stateRoot = await mkdtemp(join(tmpdir(), "llbake-test-"));
  const env = { ...process.env, LLBAKE_ROOT: join(stateRoot, "state") };
  if (user !== undefined) {
    await chown(stateRoot, user.uid, user.gid);
    Object.assign(env, { HOME: stateRoot, USER: user.name, LOGNAME: user.name });
    // What is root's to read is not this one's.
    for (const name of Object.keys(env))
      if (/^(?:XDG_.*|DOCKER_CONFIG|REGISTRY_AUTH_FILE)$/.test(name)) delete env[name];
  }
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
      ...paths,
    ],
    {
      cwd: root,
      stdio: ["ignore", "inherit", "inherit"],
      env,
      ...(isRoot && user && { uid: user.uid, gid: user.gid }),
    },
  );
  // The runner gets the terminal's Ctrl-C itself; staying alive here lets the folder be removed afterwards.
  const passOn = signal => {
    if (signal !== "SIGINT") child.kill(signal);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, passOn);
  const status = await new Promise((settle, fail) => {
    child.once("error", fail);
    child.once("exit", (exitCode, signal) => settle(exitCode ?? 128 + constants.signals[signal]));
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.off(signal, passOn);
  // A folder with something mounted below it is left alone: removing it would reach into what is mounted.
  if ((await readFile("/proc/self/mountinfo", "utf8").catch(() => "")).includes(` ${stateRoot}/`)) {
    console.error(`error: the tests left mounts below ${stateRoot}`);
    return status || 1;
  }
  await rm(stateRoot, { recursive: true, force: true, maxRetries: 3 }).catch(error => {
    console.error(`warning: could not remove ${stateRoot}: ${error.message}`);
  });
  return status;
}

/** A user who can read the sources and run Node, made when missing; or why there is none. */
function findUser(name) {
  const ask = flag => spawnSync("id", [flag, name], { encoding: "utf8" });
  if (ask("-u").status !== 0) {
    if (!isRoot) return `there is no user "${name}", and only root can make one`;
    const made = spawnSync("useradd", ["--no-create-home", "--shell", "/bin/sh", name], { encoding: "utf8" });
    if (made.status !== 0)
      return `user "${name}" cannot be made: ${made.error?.message ?? made.stderr.trim()}`;
  }
  const user = { name, uid: Number(ask("-u").stdout), gid: Number(ask("-g").stdout) };
  if (!isRoot && user.uid !== process.getuid()) return `only root can run the tests as "${name}"`;
  const program = join(root, "dist", "cli.js");
  const sees = spawnSync(process.execPath, [program, "--version"], {
    cwd: "/",
    env: { ...process.env, HOME: "/nonexistent" },
    ...(isRoot && { uid: user.uid, gid: user.gid }),
  });
  if (sees.status !== 0) return `"${name}" may not run ${program} with ${process.execPath}`;
  // The tests give files to others.
  const trial = spawnSync("unshare", ["--user", "--map-root-user", "--map-auto", "--mount", "true"], {
    encoding: "utf8",
    ...(isRoot && { uid: user.uid, gid: user.gid }),
  });
  if (trial.status === 0) return user;
  return `"${name}" has no user namespace with ids of others: ${trial.error?.message ?? trial.stderr.trim()}`;
}

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
