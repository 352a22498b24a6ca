// `bake doctor`: what this machine can do, and the command that mends what it cannot.
import { availableParallelism } from "node:os";
import { exitCodes } from "../diagnostic/codes.ts";
import { BakeError } from "../diagnostic/error.ts";
import { isPrivileged } from "../system/privilege.ts";
import type { DefineCommand } from "./command.ts";
import { type EngineFlags, rootPath } from "./engine.ts";
import type { Environment } from "./environment.ts";
import { hostPlatform } from "./hostplatform.ts";
import { improvementOf } from "./improvement.ts";
import { isOutside, tryWays, userName } from "./namespace.ts";
import { findExecutable, runCommand } from "./process.ts";
import { takeRights } from "./rights.ts";

type Finding =
  | { readonly state: "ok"; readonly text: string }
  /** Builds work, but less well. */
  | { readonly state: "note"; readonly text: string; readonly fix?: string }
  | { readonly state: "missing"; readonly text: string; readonly fix: string };

interface Check {
  readonly name: string;
  /** Looked at as the user is; the others with the rights that builds have. */
  readonly asUser?: boolean;
  readonly look: (flags: EngineFlags, environment: Environment, signal: AbortSignal) => Promise<Finding>;
}

const RUNTIMES = ["crun", "runc", "youki"];
const MIN_NODE = [20, 20] as const;

const checks: readonly Check[] = [
  { name: "system", asUser: true, look: checkSystem },
  { name: "node", asUser: true, look: checkNode },
  { name: "native calls", asUser: true, look: checkKoffi },
  { name: "user", asUser: true, look: checkUser },
  { name: "runtime", look: checkRuntime },
  { name: "state folder", look: checkState },
  { name: "overlay", look: checkOverlay },
  { name: "network", look: checkNetwork },
  { name: "emulation", look: checkEmulation },
];

export const defineDoctor: DefineCommand = (command, { environment, signal }, done) => {
  command
    .description(
      "Check what this machine can do, and say how to fix what it cannot. Ends with 1 when something needed is missing.",
    )
    .option("--root <dir>", "folder for the cache and other state")
    .option("--oci-runtime <path>", "OCI runtime to use")
    .action(async (flags: EngineFlags) => {
      let missing = 0;
      for (const { name, asUser = false, look } of checks) {
        // Started anew with more rights: what comes first has been told.
        if (asUser && environment.entered !== undefined) continue;
        if (!asUser && missing === 0) await takeRights(environment, rootPath(flags, environment));
        const finding = await look(flags, environment, signal);
        const mark = finding.state === "ok" ? "ok  " : finding.state === "note" ? "note" : "FAIL";
        environment.stdout.write(`${mark}  ${name.padEnd(13)} ${finding.text}\n`);
        if (finding.state !== "ok" && finding.fix !== undefined)
          environment.stdout.write(`${" ".repeat(20)}fix: ${finding.fix}\n`);
        if (finding.state === "missing") missing++;
      }
      done(missing === 0 ? exitCodes.ok : exitCodes.failure);
    });
};

async function checkSystem(_flags: EngineFlags, { machine }: Environment): Promise<Finding> {
  if (machine.os !== "linux")
    return {
      state: "missing",
      text: `${machine.os}: steps run in Linux containers`,
      fix: "run bake on Linux, or in a Linux virtual machine",
    };
  return { state: "ok", text: `linux/${machine.arch}, ${availableParallelism()} processors` };
}

async function checkNode(_flags: EngineFlags, { machine }: Environment): Promise<Finding> {
  const [major = 0, minor = 0] = machine.node.split(".").map(Number);
  const enough = major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1]);
  if (!enough)
    return {
      state: "missing",
      text: `${machine.node} is too old`,
      fix: `install Node ${MIN_NODE.join(".")} or newer`,
    };
  return { state: "ok", text: machine.node };
}

/** The rung of the ladder (docs/rootless.md), and what the next one takes. */
async function checkUser(_flags: EngineFlags, environment: Environment): Promise<Finding> {
  const name = userName();
  if (!isOutside(environment)) return { state: "ok", text: name };
  const trials = await tryWays();
  const rung = trials.find(({ problem }) => problem === undefined)?.way.kind ?? "none";
  const saidOf = (kind: string): string | undefined => trials.find(({ way }) => way.kind === kind)?.problem;
  const { problem, fix } = improvementOf(rung, environment, {
    ranges: saidOf("ranges"),
    single: saidOf("single"),
  }) ?? { problem: "", fix: "" };
  switch (rung) {
    case "ranges":
    case "identity":
      return { state: "ok", text: `${name}: steps run in a user namespace, with ids for all owners` };
    case "single":
      return {
        state: "note",
        text: `${name}: steps run in a user namespace with one id, root's: they can neither run as others nor give files to them; ${problem}`,
        fix,
      };
    case "none":
      return { state: "missing", text: `${name}: RUN and overlays are refused; ${problem}`, fix };
  }
}

async function checkKoffi(): Promise<Finding> {
  try {
    const { loadLibc } = await import("../content/libc.ts");
    await loadLibc();
    return { state: "ok", text: "koffi loads" };
  } catch (thrown) {
    return {
      state: "missing",
      text: BakeError.from(thrown).message,
      fix: "npm install koffi, with optional dependencies",
    };
  }
}

async function checkRuntime(
  { ociRuntime }: EngineFlags,
  { env, cwd }: Environment,
  signal: AbortSignal,
): Promise<Finding> {
  const wanted = ociRuntime ?? env["LLBAKE_OCI_RUNTIME"];
  const names = wanted === undefined ? RUNTIMES : [wanted];
  for (const name of names) {
    const path = findExecutable(name, { cwd, path: env["PATH"] ?? "" });
    if (path === undefined) continue;
    const { exitCode, stdout, stderr } = await runCommand(path, ["--version"], { signal });
    const [first = ""] = stdout.toString().split("\n");
    if (exitCode === 0) return { state: "ok", text: `${first} (${path})` };
    return {
      state: "missing",
      text: `${path} does not run: ${stderr.trim()}`,
      fix: "reinstall it, or name another with --oci-runtime",
    };
  }
  return {
    state: "missing",
    text: `none of ${names.join(", ")} is on PATH`,
    fix: "apt-get install crun (or runc)",
  };
}

async function checkState(flags: EngineFlags, environment: Environment): Promise<Finding> {
  const path = rootPath(flags, environment);
  try {
    const { openStateRoot } = await import("../content/root.ts");
    await openStateRoot(path);
    return { state: "ok", text: path };
  } catch (thrown) {
    const { message, diagnostics } = BakeError.from(thrown);
    return {
      state: "missing",
      text: message,
      fix: diagnostics[0]?.hint ?? "choose another with --root or LLBAKE_ROOT",
    };
  }
}

async function checkOverlay(flags: EngineFlags, environment: Environment): Promise<Finding> {
  try {
    const [{ openStateRoot }, { openOwner }, { openSnapshots }] = await Promise.all([
      import("../content/root.ts"),
      import("../content/lease.ts"),
      import("../snapshot/open.ts"),
    ]);
    await using owner = await openOwner(await openStateRoot(rootPath(flags, environment)));
    const root = await openStateRoot(rootPath(flags, environment));
    const { overlayProblem } = await openSnapshots(root, owner, { anew: true });
    if (overlayProblem === undefined) return { state: "ok", text: "mounts work in the state folder" };
    return {
      state: "note",
      text: `snapshots are copied: ${overlayProblem}`,
      fix: isPrivileged()
        ? "put --root on ext4 or xfs, and not in another overlay (in a user namespace overlays need Linux 5.11)"
        : "see the line of the user",
    };
  } catch (thrown) {
    return { state: "note", text: `not tried: ${BakeError.from(thrown).message}` };
  }
}

/** Tries to give a step a network of its own. */
async function checkNetwork(
  flags: EngineFlags,
  environment: Environment,
  signal: AbortSignal,
): Promise<Finding> {
  try {
    const [{ openStateRoot }, { openOwner }, { createNetworks, networkRemedy }, { toolsIn }] =
      await Promise.all([
        import("../content/root.ts"),
        import("../content/lease.ts"),
        import("../executor/network.ts"),
        import("../executor/networkrungs.ts"),
      ]);
    await using owner = await openOwner(await openStateRoot(rootPath(flags, environment)));
    const networks = createNetworks({ owner, tools: toolsIn(environment.env["PATH"] ?? "") });
    let problem = "";
    const { way } = await networks.take("default", { signal, onNote: note => (problem = note.message) });
    if (way !== undefined) return { state: "ok", text: `steps have networks of their own, by ${way}` };
    return { state: "note", text: problem, fix: networkRemedy() };
  } catch (thrown) {
    return { state: "note", text: `not tried: ${BakeError.from(thrown).message}` };
  }
}

async function checkEmulation(flags: EngineFlags, environment: Environment): Promise<Finding> {
  const [{ openStateRoot }, { openOwner }, { inspectEmulation }, { emulationFinding }] = await Promise.all([
    import("../content/root.ts"),
    import("../content/lease.ts"),
    import("../executor/emulation.ts"),
    import("./emulationfinding.ts"),
  ]);
  try {
    await using owner = await openOwner(await openStateRoot(rootPath(flags, environment)));
    const searchPath = environment.env["PATH"] ?? "";
    return emulationFinding(await inspectEmulation({ owner, native: hostPlatform(environment), searchPath }));
  } catch (thrown) {
    return { state: "note", text: `not tried: ${BakeError.from(thrown).message}` };
  }
}
