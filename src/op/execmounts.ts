// The file systems of an exec step: each mount of the op becomes a directory on the host that the container binds, and
// those with an output are committed when the command has succeeded.
import { chmod, mkdir, rename, stat, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { tryLock, withLock } from "../content/lock.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { ContainerMount, RootSpec } from "../executor/executor.ts";
import { copyInto } from "../layer/copytree.ts";
import { setOwner } from "../layer/owner.ts";
import { cleanPath, resolveInRoot } from "../layer/rootpath.ts";
import { createTreeView, resolveInView } from "../layer/view.ts";
import type { VertexDigest } from "../llb/definition.ts";
import type { ExecOp, Mount } from "../llb/op/exec.ts";
import { SKIP_OUTPUT } from "../llb/op/op.ts";
import type { LocalTree, Ref } from "../snapshot/ref.ts";
import type { ActiveSnapshot, MountPoints } from "../snapshot/snapshotter.ts";
import type { OpContext } from "../solver/op.ts";
import type { OpDeps } from "./binding.ts";
import { lockCaches } from "./cachelocks.ts";
import { cacheName, writeCacheNote } from "./cachename.ts";
import type { Held } from "./held.ts";
import { explainMissing } from "./missing.ts";
import { copyOfLocal, openTree, snapshotOf, wholeCopy } from "./tree.ts";

export interface OpenMounts {
  readonly root: RootSpec;
  /** Further environment: secrets given as variables. */
  readonly env: readonly string[];
  /** The values of all secrets that the command can read. */
  readonly secrets: readonly Uint8Array[];
  /** The results, by output index. */
  commit(): Promise<readonly (Ref | undefined)[]>;
}

interface MountDeps extends OpDeps {
  /** What the root is to have to be mounted on. */
  readonly mountPoints: MountPoints | undefined;
}

/** Prepares every mount; `held` gives them back. */
export async function openMounts(
  step: VertexDigest,
  spec: ExecOp,
  inputs: readonly Ref[],
  held: Held,
  deps: MountDeps,
  context: OpContext,
): Promise<OpenMounts> {
  const outputs: MountOutputs = new Map();
  const mounts: ContainerMount[] = [];
  const secrets: Uint8Array[] = [];
  let root: Omit<RootSpec, "mounts"> | undefined;
  await lockCaches(step, spec, held, deps, context);
  for (const mount of spec.mounts) {
    context.signal.throwIfAborted();
    if (mount.dest === "/")
      root = {
        path: (await openBind(mount, inputs, outputs, held, deps, context)).path,
        readonly: mount.readonly,
      };
    else {
      const dest = path.posix.resolve("/", spec.meta?.cwd ?? "/", mount.dest);
      const opened = await openMount({ ...mount, dest }, { inputs, outputs, secrets }, held, deps, context);
      if (opened !== undefined) mounts.push(opened);
    }
  }
  if (root === undefined) throw new BakeError("llb-invalid", "an exec op has no root mount");
  return {
    // Parents before what is mounted in them.
    root: { ...root, mounts: mounts.sort((a, b) => (a.dest < b.dest ? -1 : a.dest > b.dest ? 1 : 0)) },
    env: await secretVariables(spec, secrets, deps),
    secrets,
    commit: async () => {
      const results: (Ref | undefined)[] = [];
      for (const [index, output] of outputs)
        results[index] = "tag" in output ? output : { tag: "snapshot", id: await output.commit() };
      return results;
    },
  };
}

/** What is kept of mounts: trees to be committed, or the inputs of those that a command cannot change. */
type MountOutputs = Map<number, ActiveSnapshot | Ref>;

async function openMount(
  mount: Mount,
  {
    inputs,
    outputs,
    secrets,
  }: {
    readonly inputs: readonly Ref[];
    readonly outputs: MountOutputs;
    /** Takes the values of secrets that are mounted. */
    readonly secrets: Uint8Array[];
  },
  held: Held,
  deps: MountDeps,
  context: OpContext,
): Promise<ContainerMount | undefined> {
  const { dest, readonly } = mount;
  switch (mount.type) {
    case "bind":
      return {
        type: "bind",
        source: (await openBind(mount, inputs, outputs, held, deps, context)).path,
        dest,
        readonly,
      };
    case "cache": {
      // The cache itself is no result: what it began with is.
      const begun = inputs[mount.input];
      if (mount.output !== SKIP_OUTPUT && begun !== undefined) outputs.set(mount.output, begun);
      return { type: "bind", source: await openCache(mount, inputs, held, deps, context), dest, readonly };
    }
    case "tmpfs":
      return {
        type: "tmpfs",
        dest,
        ...(mount.tmpfs && mount.tmpfs.size > 0 && { sizeBytes: mount.tmpfs.size }),
      };
    case "secret":
      return openSecret(mount, secrets, held, deps);
    case "ssh":
      return openSsh(mount, held, deps);
  }
}

/** A tree to read, to write and keep, or to write and throw away. */
async function openBind(
  { input, selector, output, readonly, dest }: Mount,
  inputs: readonly Ref[],
  outputs: MountOutputs,
  held: Held,
  { worker, mountPoints }: MountDeps,
  { signal }: OpContext,
): Promise<{ readonly path: string }> {
  const ref: Ref = input < 0 ? { tag: "scratch" } : (inputs[input] ?? { tag: "scratch" });
  const missing = `cannot mount "${selector}" at "${dest}": it is not there`;
  if (ref.tag === "local" && output === SKIP_OUTPUT && dest !== "/") {
    const active = held.add(await worker.snapshots.prepare(undefined));
    return { path: await copyShown(ref.tree, { selector, missing }, active.root, signal) };
  }
  const parent = await snapshotOf(ref, worker, signal);
  let treeRoot: string;
  // The runtime makes mount points in the root, also in one that the command cannot write to.
  if (readonly && parent !== undefined && dest !== "/") {
    treeRoot = held.add(await worker.snapshots.view(parent)).root;
    if (output !== SKIP_OUTPUT) outputs.set(output, { tag: "snapshot", id: parent });
  } else {
    const active = held.add(await worker.snapshots.prepare(parent, dest === "/" ? mountPoints : undefined));
    if (output !== SKIP_OUTPUT) outputs.set(output, active);
    treeRoot = active.root;
  }
  if (selector === "" || selector === "/") return { path: treeRoot };
  const selected = resolveInRoot(treeRoot, selector, { followLast: true });
  await stat(selected).catch((cause: unknown) => {
    const searched =
      ref.tag === "local" ? { root: ref.tree.root, local: ref.tree } : { root: treeRoot, local: undefined };
    throw explainMissing(new BakeError("file-missing", missing, { cause }), [selector], searched);
  });
  return { path: selected };
}

/**
 * What a mount shows of a directory read in place, copied below the empty directory `root`: that alone, for the
 * directory may be large.
 */
async function copyShown(
  tree: LocalTree,
  { selector, missing }: { readonly selector: string; readonly missing: string },
  root: string,
  signal: AbortSignal,
): Promise<string> {
  const src = cleanPath(selector);
  if (src !== "" && resolveInView(createTreeView(tree.root, tree), src, true) === undefined)
    throw explainMissing(new BakeError("file-missing", missing), [selector], {
      root: tree.root,
      local: tree,
    });
  // A piece has the mode that it has there; the whole is as open as any root of a file system.
  const place = src === "" ? root : path.join(root, "shown");
  await copyInto({
    ...wholeCopy,
    ...copyOfLocal(tree),
    src,
    destRoot: root,
    dest: path.relative(root, place),
    dirCopyContents: src === "",
    followSymlink: true,
    signal,
  });
  return place;
}

/** A directory that outlives builds, found again by its id. `locked` ones are held by one step at a time, in all processes. */
async function openCache(
  mount: Mount,
  inputs: readonly Ref[],
  held: Held,
  { worker }: OpDeps,
  { signal }: OpContext,
): Promise<string> {
  const { cache, input, selector } = mount;
  const id = cacheName(mount);
  const directory = path.join(worker.cacheMounts, id);
  await withLock(worker.root, `cache-mount-init-${id}`, signal, async () => {
    // Whoever removes caches that nobody uses holds this lock.
    worker.owner.lease("cache-mount", id);
    if ((await stat(directory).catch(() => undefined)) !== undefined) {
      const now = new Date();
      await utimes(directory, now, now);
      return;
    }
    const staged = worker.owner.newPath("temp");
    await mkdir(staged, { recursive: true, mode: 0o755 });
    const ref = input < 0 ? undefined : inputs[input];
    await using tree = ref && (await openTree(ref, worker));
    if (tree) {
      await copyInto({
        ...wholeCopy,
        ...(tree.local === undefined ? { srcRoot: tree.root } : copyOfLocal(tree.local)),
        src: selector === "" ? "/" : selector,
        destRoot: staged,
        dest: "/",
        followSymlink: true,
        signal,
      });
      // The directory itself too: its mode and owner are those the mount asks for.
      const { mode, uid, gid } = await stat(
        resolveInRoot(tree.root, selector === "" ? "/" : selector, { followLast: true }),
      );
      if (tree.local === undefined) setOwner(staged, uid, gid);
      await chmod(staged, mode & 0o7777);
    }
    await writeCacheNote(worker.cacheMounts, mount);
    await rename(staged, directory);
  });
  return cache?.sharing === "private" ? privateCopy(directory, held, worker, signal) : directory;
}

/** The first free one of several directories of the same cache, so that no two steps share one. */
async function privateCopy(
  directory: string,
  held: Held,
  worker: OpDeps["worker"],
  signal: AbortSignal,
): Promise<string> {
  for (let copy = 0; ; copy++) {
    signal.throwIfAborted();
    const candidate = copy === 0 ? directory : `${directory}.${copy}`;
    const lock = await tryLock(worker.root, `cache-mount-private-${path.basename(candidate)}`);
    if (lock === undefined) continue;
    held.add({ [Symbol.asyncDispose]: () => Promise.resolve(lock.release()) });
    await mkdir(candidate, { recursive: true, mode: 0o755 });
    return candidate;
  }
}

/** A secret as a file on a tmpfs of this process, gone with it. */
async function openSecret(
  { secret, dest }: Mount,
  secrets: Uint8Array[],
  held: Held,
  { worker, session }: OpDeps,
): Promise<ContainerMount | undefined> {
  if (secret === undefined)
    throw new BakeError("llb-invalid", `the secret mount at "${dest}" names no secret`);
  const value = await session.secret(secret.id);
  if (value === undefined) {
    if (secret.optional) return undefined;
    throw missingSecret(secret.id);
  }
  secrets.push(value);
  const directory = held.add(await worker.memoryDirectory());
  const file = path.join(directory.path, "secret");
  await writeFile(file, value, { mode: 0o600 });
  await chmod(file, secret.mode & 0o777);
  setOwner(file, secret.uid, secret.gid);
  return { type: "bind", source: file, dest, readonly: true };
}

/** A socket behind which an agent of the user answers. */
async function openSsh(
  { ssh, dest }: Mount,
  held: Held,
  { worker, session }: OpDeps,
): Promise<ContainerMount | undefined> {
  if (ssh === undefined) throw new BakeError("llb-invalid", `the ssh mount at "${dest}" names no agent`);
  const id = ssh.id === "" ? "default" : ssh.id;
  const agent = await session.ssh?.(id);
  if (agent === undefined) {
    if (ssh.optional) return undefined;
    throw new BakeError("file-missing", `a step needs the ssh agent "${id}", which was not given`, {
      hint: `add ssh = ["${id}"] to the target for the agent of SSH_AUTH_SOCK, or ["${id}=KEYFILE"] for a key`,
    });
  }
  const { listenAgent } = await import("../session/sshsocket.ts");
  const directory = held.add(await worker.memoryDirectory());
  const socket = held.add(await listenAgent(directory.path, agent));
  await chmod(socket.path, ssh.mode & 0o777);
  setOwner(socket.path, ssh.uid, ssh.gid);
  return { type: "bind", source: socket.path, dest, readonly: false };
}

async function secretVariables(
  { secretEnv }: ExecOp,
  secrets: Uint8Array[],
  { session }: OpDeps,
): Promise<readonly string[]> {
  const env: string[] = [];
  for (const { id, name, optional } of secretEnv) {
    const value = await session.secret(id);
    if (value !== undefined) {
      secrets.push(value);
      env.push(`${name}=${new TextDecoder().decode(value)}`);
    } else if (!optional) throw missingSecret(id);
  }
  return env;
}

function missingSecret(id: string): BakeError {
  return new BakeError("file-missing", `a step needs the secret "${id}", which was not given`, {
    hint: `add secret = ["id=${id},src=FILE"] to the target, or ["id=${id},env=NAME"] and set that variable`,
  });
}
