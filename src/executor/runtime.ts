// Finds an OCI runtime that works on this machine (OCI runtime spec, runtime.md; the command line is the one that
// runc set and crun and youki follow).
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, mkdir, realpath, rm, stat, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { readFileSync } from "node:fs";
import { rememberFact } from "../content/facts.ts";
import type { Owner } from "../content/lease.ts";
import type { StateRoot } from "../content/root.ts";
import { ownerCgroup, removeCgroups } from "../content/cgroups.ts";
import { BakeError } from "../diagnostic/error.ts";
import { isInitialNamespace, isPrivileged, readIdMap } from "../system/privilege.ts";
import { COVERED } from "./cover.ts";
import { probeConfig } from "./probeconfig.ts";

export interface Runtime {
  /** Such as "crun 1.8.1". */
  readonly label: string;
  readonly file: string;
  /** Leading arguments of the file; a subcommand follows. */
  readonly args: readonly string[];
  /** Whether it makes a cgroup for each container. */
  readonly hasCgroups: boolean;
}

export interface FindRuntimeOptions {
  readonly root: StateRoot;
  readonly owner: Owner;
  /** Name or path of the runtime; the first of the known ones that works when absent. */
  readonly runtime?: string | undefined;
  /** Where to look for names: a list as in PATH. */
  readonly searchPath: string;
}

/** Quickest first: a trivial container takes crun 5 ms, runc 20 to 30 ms. */
const KNOWN = ["crun", "runc", "youki"] as const;

/** Debian keeps runc there, which is not on the PATH of ordinary users. */
const FURTHER_FOLDERS = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"];

/** Ways to call a runtime, best first: cgroups guard the devices of the machine. */
const ways: Readonly<Record<string, readonly Way[]>> = {
  crun: [
    { prefix: [], flags: ["--cgroup-manager=cgroupfs"], hasCgroups: true },
    { prefix: COVERED, flags: ["--cgroup-manager=cgroupfs"], hasCgroups: true },
    { prefix: [], flags: ["--cgroup-manager=disabled"], hasCgroups: false },
    { prefix: COVERED, flags: ["--cgroup-manager=disabled"], hasCgroups: false },
  ],
};
const plainWay: readonly Way[] = [{ prefix: [], flags: [], hasCgroups: true }];
/** In a user namespace runc gets along without a cgroup of a given name, as long as nobody asks for one. */
const noCgroups: Way = { prefix: [], flags: [], hasCgroups: false };

interface Way {
  readonly prefix: readonly string[];
  readonly flags: readonly string[];
  readonly hasCgroups: boolean;
}

/** The runtime without cgroups of its own making; undefined when it cannot be told to leave them. */
export function withoutCgroups({ file, args }: Runtime): Pick<Runtime, "file" | "args"> | undefined {
  const [managed, disabled] = ["--cgroup-manager=cgroupfs", "--cgroup-manager=disabled"];
  return args.includes(managed)
    ? { file, args: args.map(word => (word === managed ? disabled : word)) }
    : undefined;
}

/** The path of its program. */
export function binaryOf({ file, args }: Runtime): string {
  return args.find(word => word.startsWith("/")) ?? file;
}

const PROBE_TIMEOUT_MS = 10_000;

const RIGHTS_HINT =
  'they need namespaces and mounts: "bake doctor" tells what this machine grants, and what changes that';

/**
 * The first runtime and way of calling it that starts a container here. The answer is remembered until the runtime or
 * the running kernel changes.
 * @throws BakeError "runtime-missing" when there is none, saying what each one answered
 */
export async function findRuntime(options: FindRuntimeOptions): Promise<Runtime> {
  const binaries = await findBinaries(options);
  if (!isPrivileged())
    throw new BakeError("runtime-missing", "cannot run commands: containers are refused to this user", {
      hint: RIGHTS_HINT,
    });
  const stats = await Promise.all(binaries.map(async path => `${path} ${(await stat(path)).mtimeMs}`));
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const ids = readIdMap("uid").map(({ inside, outside, count }) => `${inside} ${outside} ${count}`);
  const key = ["runtime 4", boot, String(process.getuid?.()), ...ids, ...stats].join("\n");
  return await rememberFact(options.root, options.owner, key, decodeRuntime, () =>
    tryAll(binaries, options.owner),
  );
}

async function findBinaries({ runtime, searchPath }: FindRuntimeOptions): Promise<readonly string[]> {
  const folders = [...searchPath.split(delimiter).filter(Boolean), ...FURTHER_FOLDERS];
  const found: string[] = [];
  for (const name of runtime === undefined ? KNOWN : [runtime]) {
    const candidates = name.includes("/") ? [name] : folders.map(folder => join(folder, name));
    const path = await firstExecutable(candidates);
    if (path !== undefined) found.push(path);
  }
  if (found.length > 0) return found;
  throw new BakeError(
    "runtime-missing",
    runtime === undefined
      ? "no OCI runtime found: looked for crun, runc and youki"
      : `OCI runtime "${runtime}" not found`,
    { hint: 'install one, such as with "apt-get install crun" or "dnf install crun"' },
  );
}

async function firstExecutable(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    try {
      await access(path, constants.X_OK);
      if ((await stat(path)).isFile()) return await realpath(path);
    } catch {
      // The next one.
    }
  }
  return undefined;
}

async function tryAll(binaries: readonly string[], owner: Owner): Promise<Runtime> {
  const answers: string[] = [];
  for (const binary of binaries) {
    const version = await call(binary, ["--version"]);
    const name = /^(\S+) version (\S+)/m.exec(version.output);
    const label = name ? `${name[1]} ${name[2]}` : binary;
    const known = (name?.[1] !== undefined ? ways[name[1]] : undefined) ?? plainWay;
    for (const way of isInitialNamespace() ? known : [...known, noCgroups]) {
      const command = commandOf(way, binary);
      const problem = await probe(command, way.hasCgroups, owner);
      if (problem === undefined) return { label, ...command, hasCgroups: way.hasCgroups };
      answers.push(`${[binary, ...way.flags].join(" ")}: ${problem}`);
    }
  }
  throw new BakeError(
    "runtime-missing",
    `no OCI runtime works here:\n${answers.map(line => `  ${line}`).join("\n")}`,
    {
      hint: RIGHTS_HINT,
    },
  );
}

/**
 * Runs a program that does not exist in an empty root: a runtime that complains of just that has done all the rest.
 * Returns what else it complained of.
 */
async function probe(
  command: Pick<Runtime, "file" | "args">,
  hasCgroups: boolean,
  owner: Owner,
): Promise<string | undefined> {
  const bundle = owner.newPath("bundles");
  const cgroup = join(ownerCgroup(owner.name), "probe");
  await mkdir(join(bundle, "rootfs"), { recursive: true });
  try {
    await writeFile(join(bundle, "empty"), "");
    const cgroupsPath = hasCgroups ? `/${cgroup}` : undefined;
    const config = probeConfig(bundle, { program: "/llbake-probe", cgroupsPath });
    await writeFile(join(bundle, "config.json"), JSON.stringify(config));
    const { output } = await call(command.file, [
      ...command.args,
      "--root",
      join(owner.path, "runtime"),
      "run",
      "--bundle",
      bundle,
      `${owner.name}-probe`,
    ]);
    if (/llbake-probe/.test(output) && /no such file|not found/i.test(output)) return undefined;
    return output.trim().split("\n").at(-1) ?? "no answer";
  } finally {
    await rm(bundle, { recursive: true, force: true });
    if (hasCgroups) await removeCgroups(ownerCgroup(owner.name));
  }
}

function commandOf(way: Way, binary: string): Pick<Runtime, "file" | "args"> {
  const [first, ...rest] = way.prefix;
  return first === undefined
    ? { file: binary, args: way.flags }
    : { file: first, args: [...rest, binary, ...way.flags] };
}

async function call(file: string, args: readonly string[]): Promise<{ readonly output: string }> {
  return await new Promise(resolve => {
    const child = execFile(
      file,
      args,
      { timeout: PROBE_TIMEOUT_MS, killSignal: "SIGKILL" },
      (error, stdout, stderr) => {
        resolve({ output: `${stdout}${stderr}` || (error?.message ?? "") });
      },
    );
    child.stdin?.end();
  });
}

function decodeRuntime(value: unknown): Runtime | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { label, file, args, hasCgroups } = value as Readonly<Record<string, unknown>>;
  const isList = Array.isArray(args) && args.every((part): part is string => typeof part === "string");
  if (typeof label !== "string" || typeof file !== "string" || !isList || typeof hasCgroups !== "boolean")
    return undefined;
  return { label, file, args, hasCgroups };
}
