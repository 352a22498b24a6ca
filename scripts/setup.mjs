// Makes a clone ready to run: distribution packages, node_modules, dist. Needs nothing but Node and does nothing when
// nothing is missing, so `npm run demo` and `npm test` call it first every time. `--tests` adds what only the tests use.
import { spawn, spawnSync } from "node:child_process";
import {
  accessSync,
  constants,
  openSync,
  readFileSync,
  readSync,
  closeSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { fetchForeignBusybox } from "./foreignbusybox.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const forTests = process.argv.includes("--tests");
/** Tests of steps in virtual machines: some 40 MB more, and half a minute of tests. */
const forVm = process.argv.includes("--vm");

/** What the distribution has to provide. `present` looks for the thing itself: any way of installing it will do. */
const needs = [
  {
    what: "an OCI runtime (crun, runc or youki)",
    why: "steps run in it",
    present: () => ["crun", "runc", "youki"].some(onPath),
    packages: ["crun", "runc"],
  },
  {
    what: "runc",
    why: "the tests run steps in it as well",
    forTests: true,
    present: () => onPath("runc"),
    packages: ["runc"],
  },
  {
    what: "a static busybox",
    why: "the demo and the examples use it as their base",
    present: () => ["/bin/busybox", "/usr/bin/busybox"].some(isStatic),
    packages: ["busybox-static"],
  },
  {
    what: "newuidmap",
    why: "an ordinary user runs tests as well",
    forTests: true,
    present: () => onPath("newuidmap"),
    packages: ["uidmap"],
  },
  {
    what: "docker-registry",
    why: "the tests push to it",
    forTests: true,
    present: () => ["docker-registry", "registry"].some(onPath),
    packages: ["docker-registry"],
  },
  {
    what: "skopeo",
    why: "the tests read images with it",
    forTests: true,
    present: () => onPath("skopeo"),
    packages: ["skopeo"],
  },
  {
    what: "QEMU's user mode",
    why: "the tests run steps of other platforms with it",
    forTests: true,
    present: () => onPath("qemu-aarch64-static"),
    packages: ["qemu-user-static"],
  },
  {
    what: "QEMU",
    why: "steps run in virtual machines of it",
    forVm: true,
    present: () => onPath("qemu-system-x86_64"),
    packages: ["qemu-system-x86"],
  },
];

checkNode();
await installPackages(
  needs.filter(need => (forTests || !need.forTests) && (forVm || !need.forVm) && !need.present()),
);
if (forTests && process.platform === "linux") {
  const problem = fetchForeignBusybox(root, say);
  if (problem !== undefined) warn(`steps of other platforms are not tested: ${problem}`);
}
if (forVm && process.platform === "linux") {
  const problem = (await import("./vmkernel.mjs")).fetchKernel(root, say);
  if (problem !== undefined) warn(`steps in virtual machines are not tested: ${problem}`);
}
await installModules();
await buildBundles();

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    fail(
      `llbake needs Node 20.19 or newer; this is ${process.versions.node}. See https://nodejs.org/en/download`,
    );
  }
}

// -- distribution packages

async function installPackages(missing) {
  if (missing.length === 0) return;
  const byHand = `apt-get install --no-install-recommends ${missing.map(need => need.packages[0]).join(" ")}`;
  if (process.platform !== "linux") {
    warn(`building images needs Linux; on ${process.platform} only reading bake files works`);
    return;
  }
  if (!isDebian() || !onPath("apt-get")) {
    for (const need of missing)
      warn(`${need.what} is missing (${need.why}); install it with your package manager`);
    return;
  }
  if (process.getuid() !== 0) {
    for (const need of missing) warn(`${need.what} is missing (${need.why})`);
    warn(`to install by hand: sudo apt-get update && sudo ${byHand}`);
    return;
  }
  const denied = forbidServices();
  try {
    if (!hasPackageLists()) await updateLists();
    for (const need of missing) await installNeed(need);
  } finally {
    if (denied !== undefined) rmSync(denied, { force: true });
  }
}

/** Tries the packages of a need in order; another package list may help when the first attempt fails. */
async function installNeed(need) {
  let reason = "";
  for (const attempt of [1, 2]) {
    for (const name of need.packages) {
      say(`installing ${name} (${need.why})`);
      const { status, output } = await apt(["install", "-y", "--no-install-recommends", name]);
      if (status === 0 && need.present()) return disableService(name);
      reason = lastError(output);
    }
    if (attempt === 1) await updateLists();
  }
  warn(`could not install ${need.what}: ${reason}`);
  warn(`to install by hand: apt-get update && apt-get install --no-install-recommends ${need.packages[0]}`);
}

async function updateLists() {
  say("updating the package lists");
  const { status, output } = await apt(["update"]);
  if (status !== 0) warn(`apt-get update failed: ${lastError(output)}`);
}

function apt(args) {
  const settings = [
    "Acquire::Retries=3",
    "DPkg::Lock::Timeout=120",
    "Dpkg::Use-Pty=0",
    // Without it apt-get calls lists that it could not fetch a success.
    "APT::Update::Error-Mode=any",
  ];
  const options = ["-q", ...settings.flatMap(setting => ["-o", setting])];
  return run("apt-get", [...options, ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    quiet: true,
  });
}

/** Package lists that are there and not older than a week: mirrors keep superseded versions for a while only. */
function hasPackageLists() {
  const week = 7 * 24 * 3600_000;
  const folder = "/var/lib/apt/lists";
  return list(folder).some(
    name => /_Packages(\.\w+)?$/.test(name) && Date.now() - modified(join(folder, name)) < week,
  );
}

/** Keeps packages from starting their services while they are installed; returns the file to remove afterwards. */
function forbidServices() {
  const policy = "/usr/sbin/policy-rc.d";
  try {
    writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755, flag: "wx" });
    return policy;
  } catch {
    return undefined;
  }
}

/** The tests start a registry of their own: the packaged service must not come up at the next boot. */
function disableService(name) {
  if (name === "docker-registry" && onPath("systemctl"))
    spawnSync("systemctl", ["disable", name], { stdio: "ignore" });
}

function isDebian() {
  return /^(?:ID|ID_LIKE)=.*\b(?:debian|ubuntu)\b/m.test(read("/etc/os-release"));
}

// -- node_modules

async function installModules() {
  const lock = modified(join(root, "package-lock.json"));
  // npm writes this file last, so an interrupted installation has none.
  if (modified(join(root, "node_modules", ".package-lock.json")) >= lock) return;
  say("installing node modules (npm ci)");
  const [command, first] = process.env.npm_execpath?.endsWith(".js")
    ? [process.execPath, [process.env.npm_execpath]]
    : ["npm", []];
  // No dependency needs its install script: the native ones come as prebuilt packages.
  const args = [
    ...first,
    "ci",
    "--include=dev",
    "--include=optional",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
  ];
  const { status, output } = await run(command, args, { env: withoutNpmSettings(process.env), quiet: true });
  if (status !== 0) {
    process.stderr.write(output);
    fail(`npm ci failed: ${lastError(output)}`);
  }
}

/** A script's npm hands its own flags down; `npm run --silent` or `--prefix` must not change the installation. */
function withoutNpmSettings(env) {
  const ours =
    /^npm_(config_(global|prefix|local_prefix|omit|include|production|dry_run|package_lock)|lifecycle_|package_|command$)/i;
  return Object.fromEntries(Object.entries(env).filter(([name]) => !ours.test(name) && name !== "NODE_ENV"));
}

// -- dist

async function buildBundles() {
  const built = modified(join(root, "dist", "cli.js"));
  if (built > 0 && built >= newestSource()) return;
  say("building dist/");
  const { status, output } = await run(process.execPath, [join(root, "scripts", "build.mjs"), "--quick"], {
    quiet: true,
  });
  if (status !== 0) {
    process.stderr.write(output);
    fail("the build failed");
  }
}

function newestSource() {
  const files = ["package.json", "package-lock.json", "scripts/build.mjs"].map(name => join(root, name));
  return Math.max(...files.map(modified), newestIn(join(root, "src")), newestIn(join(root, "schemas")));
}

/** The newest time in a tree; folders count too, since a removed file changes only its folder. */
function newestIn(folder) {
  let newest = modified(folder);
  for (const entry of list(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    newest = Math.max(newest, entry.isDirectory() ? newestIn(path) : modified(path));
  }
  return newest;
}

// -- small pieces

/** Runs a program; with `quiet` its output is kept for the message of a failure instead of being shown. */
function run(command, args, { env = process.env, quiet }) {
  return new Promise(settle => {
    const child = spawn(command, args, {
      cwd: root,
      env,
      stdio: ["ignore", quiet ? "pipe" : "inherit", quiet ? "pipe" : "inherit"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding("utf8").on("data", text => (output += text));
    child.once("error", error => settle({ status: 127, output: `${output}${command}: ${error.message}\n` }));
    child.once("close", status => settle({ status: status ?? 1, output }));
  });
}

/** The line of a program's output that says what went wrong: apt's or npm's own error line, else the last line. */
function lastError(output) {
  const lines = output
    .split("\n")
    .map(line => line.trim())
    .filter(line => line !== "");
  // npm's first lines are fields (code, errno, ...); the sentence follows them.
  const sentence =
    /^npm (?:ERR!|error) (?!code|errno|syscall|path|dest|signal|network|at |A complete log|\W)(\S.*)/;
  const ofNpm = lines.map(line => sentence.exec(line)?.[1]).find(text => text !== undefined);
  return lines.findLast(line => line.startsWith("E:")) ?? ofNpm ?? lines.at(-1) ?? "no output";
}

/** Administrator folders count: a runtime in /usr/sbin is found whatever PATH an ordinary user has. */
function onPath(name) {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  return folders.some(folder => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return folder !== "";
    } catch {
      return false;
    }
  });
}

/** Whether a file is an ELF program that asks for no dynamic loader (no PT_INTERP among its program headers). */
function isStatic(path) {
  let file;
  try {
    file = openSync(path, "r");
    const head = Buffer.alloc(4096);
    if (readSync(file, head, 0, head.length, 0) < 64 || head.readUInt32BE(0) !== 0x7f454c46) return false;
    const wide = head[4] === 2;
    const little = head[5] === 1;
    const u16 = at => (little ? head.readUInt16LE(at) : head.readUInt16BE(at));
    const u32 = at => (little ? head.readUInt32LE(at) : head.readUInt32BE(at));
    const table = wide ? Number(little ? head.readBigUInt64LE(32) : head.readBigUInt64BE(32)) : u32(28);
    const [size, count] = [u16(wide ? 54 : 42), u16(wide ? 56 : 44)];
    const PT_INTERP = 3;
    for (let i = 0; i < count; i++) if (u32(table + i * size) === PT_INTERP) return false;
    return true;
  } catch {
    return false;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function list(folder, options) {
  try {
    return readdirSync(folder, options);
  } catch {
    return [];
  }
}

/** Milliseconds since the epoch; 0 when the file is missing. */
function modified(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function say(text) {
  console.error(`setup: ${text}`);
}

function warn(text) {
  console.error(`setup: warning: ${text}`);
}

function fail(text) {
  console.error(`setup: error: ${text}`);
  process.exit(1);
}
