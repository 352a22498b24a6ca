// The exec op: a command in a container. Its root and mounts are prepared from the inputs, the command runs under the
// OCI runtime, and what it may keep is committed.
import path from "node:path";
import { fullDiskHint, isNearlyFull } from "../content/fulldisk.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { ContainerEdits } from "../executor/devices.ts";
import type { Executor, ProcessSpec } from "../executor/executor.ts";
import type { PathSelector } from "../layer/contenthash.ts";
import type { ExecMeta, ExecOp, Mount } from "../llb/op/exec.ts";
import { SKIP_OUTPUT } from "../llb/op/op.ts";
import { digestOf } from "../oci/digest.ts";
import { formatPlatform } from "../oci/platform.ts";
import type { KeptStep } from "../session/session.ts";
import type { Ref } from "../snapshot/ref.ts";
import type { CacheMap, ContentKey, InputKeying, KeyPart, OpContext } from "../solver/op.ts";
import type { BoundVertex, OpBinding, OpDeps } from "./binding.ts";
import type { Worker } from "../worker/worker.ts";
import { mountsOfPlatform } from "./cachename.ts";
import { openMounts, type OpenMounts } from "./execmounts.ts";
import { createHeld, type Held } from "./held.ts";
import { createKeptStep } from "./keptstep.ts";
import { openStepOutput } from "./stepoutput.ts";
import { contentKeying, wholeTree } from "./tree.ts";

/**
 * Of commands, by input: what the directories read in place held when they had been copied for the command. However long
 * that takes, and whatever is edited meanwhile and taken back: this is what the result was made of.
 */
const givens = new WeakMap<BoundVertex<"exec">, Map<number, ContentKey>>();

export const execBinding: OpBinding<"exec"> = {
  cacheMap: (vertex, { worker }): Promise<CacheMap<Ref>> =>
    Promise.resolve({
      parts: keyParts(vertex),
      inputs: vertex.op.inputs.map((_, input): InputKeying<Ref> => {
        const { contentKey, ...keying } = inputKeying(vertex, input, worker);
        if (contentKey === undefined) return keying;
        return {
          ...keying,
          contentKey: async (ref, context) => {
            const given = givens.get(vertex)?.get(input);
            givens.get(vertex)?.delete(input);
            return given ?? (await contentKey(ref, context));
          },
        };
      }),
    }),

  async exec(vertex, inputs, deps, context) {
    const { digest, op } = vertex;
    const { worker, session } = deps;
    await using held = createHeld();
    const { executor, command, mounts } = await prepare(vertex, inputs, held, deps, context);
    givens.set(vertex, await givenNow(vertex, inputs, deps, context));
    const text = shownCommand(command.args);
    const output = openStepOutput({ digest, command: text, secrets: mounts.secrets }, worker, context);
    let log: string | undefined;
    const limit = createTimeLimit(worker.stepTimeoutMs, context.signal);
    const { exitCode, outOfMemory } = await executor
      .run(command, mounts.root, {
        signal: limit.signal,
        onOutput: (stream, data) => output.take(stream, data),
        onNote: ({ message, hint }) =>
          context.emit({
            type: "warning",
            diagnostic: { severity: "warning", code: "not-supported", message, hint },
          }),
      })
      .finally(() => (log = output.end()))
      .catch((error: unknown) => {
        throw limit.isOver() ? tookTooLong(command.args, worker.stepTimeoutMs ?? 0, log) : error;
      });
    const { validExitCodes } = op.spec.meta ?? { validExitCodes: [] };
    const valid = validExitCodes.length === 0 ? [0] : validExitCodes;
    if (valid.includes(exitCode)) return await mounts.commit();
    if (session.keepFailed !== undefined) {
      const kept = createKeptStep(executor, command, { text, root: mounts.root, held: held.pass() });
      if (!session.keepFailed(kept)) await kept[Symbol.asyncDispose]();
    }
    throw outOfMemory === undefined
      ? commandFailed(command.args, exitCode, [
          ...(command.emulation?.way === "mounted" ? [MOUNTED_HINT] : []),
          // Before what it wrote is removed.
          ...(isNearlyFull(worker.root.path) ? [fullDiskHint(worker.root.path)] : []),
          ...(log === undefined ? [] : [`all of its output is in ${log}`]),
        ])
      : ranOutOfMemory(command.args, outOfMemory.limitBytes, log);
  },
};

function inputKeying(
  { op, inPlaceInputs }: BoundVertex<"exec">,
  input: number,
  worker: Worker,
): InputKeying<Ref> {
  const mounts = op.spec.mounts.filter(mount => mount.input === input && holdsTree(mount));
  const selectors = mounts.map((mount): PathSelector => {
    return { path: path.posix.join("/", mount.selector), wildcard: false, followSymlink: true };
  });
  if (mounts.every(contentDecides)) return contentKeying(worker, selectors);
  if (inPlaceInputs[input] === true) return contentKeying(worker, wholeTree);
  return { selector: JSON.stringify(selectors.map(selector => selector.path)) };
}

/** What directories read in place hold, by input. */
async function givenNow(
  vertex: BoundVertex<"exec">,
  inputs: readonly Ref[],
  { worker }: OpDeps,
  context: OpContext,
): Promise<Map<number, ContentKey>> {
  const keys = new Map<number, ContentKey>();
  for (const [input, ref] of inputs.entries()) {
    if (vertex.inPlaceInputs[input] !== true) continue;
    const key = inputKeying(vertex, input, worker).contentKey?.(ref, context);
    // What vanished meanwhile is not what the key says.
    const read = await key?.catch((): ContentKey => ({ digest: digestOf("unreadable") }));
    if (read !== undefined) keys.set(input, read);
  }
  context.signal.throwIfAborted();
  return keys;
}

/** The container of a step as it is before its command has run. */
export async function openExec(
  vertex: BoundVertex<"exec">,
  inputs: readonly Ref[],
  deps: OpDeps,
  context: OpContext,
): Promise<KeptStep> {
  await using held = createHeld();
  const { executor, command, mounts } = await prepare(vertex, inputs, held, deps, context);
  const text = shownCommand(command.args);
  return createKeptStep(executor, command, { text, root: mounts.root, held: held.pass() });
}

/** Everything the command of a step needs; `held` gives it back. */
async function prepare(
  { digest, op, platform, resources }: BoundVertex<"exec">,
  inputs: readonly Ref[],
  held: Held,
  deps: OpDeps,
  context: OpContext,
): Promise<{ readonly executor: Executor; readonly command: ProcessSpec; readonly mounts: OpenMounts }> {
  const { worker } = deps;
  const { meta } = op.spec;
  if (meta === undefined) throw new BakeError("llb-invalid", "an exec op has no command");
  const executor = await worker.executor();
  const spec = { ...op.spec, mounts: mountsOfPlatform(op.spec.mounts, platform, worker.platform) };
  const { mountPoints } = executor;
  const mounts = await openMounts(digest, spec, inputs, held, { ...deps, mountPoints }, context);
  const program = {
    args: meta.args,
    env: [...meta.env, ...proxyVariables(meta), ...mounts.env],
    cwd: meta.cwd === "" ? "/" : meta.cwd,
  };
  const { emulation, isForeign } = await executor.emulation(platform, program, mounts.root);
  if (isForeign) context.emit({ type: "emulated", id: digest, platform: formatPlatform(platform) });
  const command: ProcessSpec = {
    ...program,
    user: meta.user,
    ...(meta.hostname !== "" && { hostname: meta.hostname }),
    extraHosts: meta.extraHosts,
    ulimits: meta.ulimits,
    ...(resources && { resources }),
    network: op.spec.network === "sandbox" ? "default" : op.spec.network,
    insecure: op.spec.security === "insecure",
    ...(meta.cgroupParent !== "" && { cgroupParent: meta.cgroupParent }),
    ...(op.spec.cdiDevices.length > 0 && { edits: await openDevices(op.spec, worker) }),
    emulation,
  };
  return { executor, command, mounts };
}

async function openDevices({ cdiDevices }: ExecOp, { deviceFolders }: Worker): Promise<ContainerEdits> {
  const { findDevices } = await import("../executor/devicespecs.ts");
  return await findDevices(cdiDevices, deviceFolders);
}

const PROXY_VARIABLES = [
  ["httpProxy", "HTTP_PROXY"],
  ["httpsProxy", "HTTPS_PROXY"],
  ["ftpProxy", "FTP_PROXY"],
  ["noProxy", "NO_PROXY"],
  ["allProxy", "ALL_PROXY"],
] as const;

/** Proxies by their names in upper and lower case, for programs look for either. */
function proxyVariables({ proxyEnv }: ExecMeta): readonly string[] {
  if (proxyEnv === undefined) return [];
  return PROXY_VARIABLES.flatMap(([field, name]) => {
    const value = proxyEnv[field];
    return value === "" ? [] : [`${name}=${value}`, `${name.toLowerCase()}=${value}`];
  });
}

/** Everything about the command that decides its result, besides its inputs. Proxies and host addresses do not. */
function keyParts({ op, platform }: BoundVertex<"exec">): readonly KeyPart[] {
  const { meta, mounts, network, security, secretEnv, cdiDevices } = op.spec;
  const part = (label: string, value: unknown, shown?: string): KeyPart => ({
    label,
    value: JSON.stringify(value, (_key, field: unknown) =>
      typeof field === "bigint" ? field.toString() : field,
    ),
    ...(shown !== undefined && { shown }),
  });
  return [
    part("command", meta?.args ?? [], shownCommand(meta?.args ?? [])),
    // Build arguments are among them. Their order is that of the parts.
    ...(meta?.env ?? []).map(entry =>
      part(`variable ${JSON.stringify(entry.slice(0, Math.max(entry.indexOf("="), 0)))}`, entry),
    ),
    part("working directory", meta?.cwd ?? "", meta?.cwd ?? ""),
    part("user", meta?.user ?? "", meta?.user ?? ""),
    part("platform", formatPlatform(platform), formatPlatform(platform)),
    part("network", network, network),
    part("security", security, security),
    part("host name", [meta?.hostname, meta?.extraHosts.map(({ host }) => host)]),
    part("limits", [meta?.ulimits, meta?.cgroupParent, meta?.validExitCodes]),
    // Which secret is asked for matters, its value must not be known here.
    ...mounts.map(mount => part(mountLabel(mount), mountKey(mount))),
    ...secretEnv.map(secret => part(`secret ${JSON.stringify(secret.id)}`, secret)),
    ...(cdiDevices.length > 0 ? [part("devices", cdiDevices)] : []),
  ];
}

function mountLabel({ type, dest, secret, ssh }: Mount): string {
  if (type === "secret") return `secret ${JSON.stringify(secret?.id ?? "")}`;
  if (type === "ssh") return `ssh agent ${JSON.stringify(ssh?.id ?? "")}`;
  return `mount ${JSON.stringify(dest)}`;
}

/** A mount without its selector (keyed with the input) and without names of caches, which are not part of the result. */
function mountKey({ selector: _selector, cache, ...mount }: Mount): unknown {
  return { ...mount, ...(cache && { cache: true }) };
}

function holdsTree({ type }: Mount): boolean {
  return type === "bind" || type === "cache";
}

/**
 * Whether a mount's content may stand for its definition: only where the command cannot carry unseen files of it into a
 * result. The root is never keyed by content: hashing it would cost more than it saves.
 */
function contentDecides({ dest, output, selector, contentCache }: Mount): boolean {
  const safe = output === SKIP_OUTPUT || path.posix.join("/", selector) === "/";
  if (contentCache === "on" && !safe)
    throw new BakeError(
      "llb-invalid",
      `the mount at "${dest}" cannot be cached by content: its result is kept`,
    );
  if (contentCache !== "default") return contentCache === "on";
  return safe && dest !== "/";
}

interface TimeLimit {
  /** Aborts with `outer`, or when the time is over. */
  readonly signal: AbortSignal;
  /** Whether it was the time. */
  isOver(): boolean;
}

function createTimeLimit(timeoutMs: number | undefined, outer: AbortSignal): TimeLimit {
  if (timeoutMs === undefined) return { signal: outer, isOver: () => false };
  const over = AbortSignal.timeout(timeoutMs);
  return { signal: AbortSignal.any([outer, over]), isOver: () => over.aborted && !outer.aborted };
}

function tookTooLong(args: readonly string[], timeoutMs: number, log: string | undefined): BakeError {
  const said = log === undefined ? "" : `; its output up to then is in ${log}`;
  return new BakeError(
    "step-failed",
    `command was stopped: it took longer than ${formatDuration(timeoutMs)}: ${shownCommand(args)}`,
    { hint: `--step-timeout gives steps more time; a command that waits for input gets none${said}` },
  );
}

function formatDuration(ms: number): string {
  const [hours, minutes, seconds] = [
    Math.floor(ms / 3_600_000),
    Math.floor(ms / 60_000) % 60,
    (ms / 1000) % 60,
  ];
  const parts = [
    hours > 0 ? `${hours}h` : "",
    minutes > 0 ? `${minutes}m` : "",
    seconds > 0 ? `${seconds}s` : "",
  ];
  return parts.join("");
}

function ranOutOfMemory(
  args: readonly string[],
  limitBytes: number | undefined,
  log: string | undefined,
): BakeError {
  const limit = limitBytes === undefined ? "" : ` (limit ${formatBytes(limitBytes)})`;
  const remedy =
    limitBytes === undefined
      ? "this machine has too little: run fewer steps at a time (--max-parallelism), or fewer jobs within the step"
      : "raise the limit (`resources` of the target, or --memory), or run fewer jobs within the step";
  const said = log === undefined ? "" : `; all of its output is in ${log}`;
  return new BakeError("step-failed", `command was killed: out of memory${limit}: ${shownCommand(args)}`, {
    hint: `${remedy}${said}`,
  });
}

/** The largest unit that leaves a whole number, as people write limits. */
function formatBytes(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  let [value, unit] = [bytes, 0];
  while (value % 1024 === 0 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${value} ${units[unit] ?? ""}`;
}

const MOUNTED_HINT =
  "of an emulated command only its own program runs on this kernel, not those it starts: see bake doctor";

function commandFailed(args: readonly string[], exitCode: number, said: readonly string[]): BakeError {
  const hints: Readonly<Record<number, readonly string[]>> = {
    126: ["the command was found but could not be executed: check its permissions and its #! line"],
    127: ["a command was not found in the image: check PATH and what the base image has"],
    137: ["the process was killed (signal 9): often a lack of memory"],
    139: ["the process crashed (signal 11)"],
  };
  return new BakeError("step-failed", `command failed with exit code ${exitCode}: ${shownCommand(args)}`, {
    hint: [...(hints[exitCode] ?? []), ...said].join("; "),
  });
}

/** The command as a user wrote it: without the shell that the shell form puts in front. */
function shownCommand(args: readonly string[]): string {
  const [shell, flag, text, ...rest] = args;
  if (shell === "/bin/sh" && flag === "-c" && text !== undefined && rest.length === 0) return text;
  return args.map(arg => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : JSON.stringify(arg))).join(" ");
}
