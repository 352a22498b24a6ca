// Networks of steps. A step has a network namespace of its own with a way out, so that it neither reaches what listens
// on the machine's loopback nor disturbs a step beside it; making one costs more than a step may, so they are used
// again, as BuildKit does (util/network/netpool): there are never more than steps at the same time.
import { accessSync, constants, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Owner } from "../content/lease.ts";
import { loadLibc } from "../content/libc.ts";
import { newMountPoint } from "../content/mountpoints.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { Note, ProcessSpec, RunOptions } from "./executor.ts";
import { hostResolvConf, isolatedResolvConf } from "./networkdns.ts";
import {
  type Link,
  type Namespace,
  networkRungs,
  type NetworkRung,
  type NetworkTools,
} from "./networkrungs.ts";
import type { ContainerNetwork } from "./spec.ts";

export interface Networks {
  /** A network for one container, nobody else's until it is given back. */
  take(mode: ProcessSpec["network"], options: Pick<RunOptions, "signal" | "onNote">): Promise<StepNetwork>;
}

export interface StepNetwork {
  /** What gives the way out; undefined when it is nobody's own or has none. */
  readonly way?: string;
  readonly container: ContainerNetwork;
  readonly resolvConf: string;
  /** `reusable` is false when the command could have changed the network itself. */
  release(reusable: boolean): Promise<void>;
}

export interface NetworksOptions {
  readonly owner: Owner;
  readonly tools: NetworkTools;
  readonly rungs?: readonly NetworkRung[] | undefined;
}

interface OpenNetwork {
  readonly way: string;
  readonly namespace: Namespace;
  readonly link: Link;
}

/** umount2(2): now, whoever still uses it. */
const MNT_DETACH = 2;

const run = promisify(execFile);

/** Makes nothing before it is needed; everything is taken away when the owner leaves. */
export function createNetworks({ owner, tools, rungs = networkRungs }: NetworksOptions): Networks {
  const idle: OpenNetwork[] = [];
  const open = new Set<OpenNetwork>();
  let choice: Promise<NetworkRung | undefined> | undefined;
  const problems: string[] = [];
  let registered = false;

  const create = async (rung: NetworkRung, signal: AbortSignal): Promise<OpenNetwork> => {
    const folder = owner.newPath("networks");
    const namespace = { folder, path: newMountPoint(owner) };
    mkdirSync(folder, { mode: 0o700 });
    try {
      writeFileSync(namespace.path, "");
      // The sweep of a killed process knows its children by a path among their words; true(1) takes any.
      await run("unshare", [`--net=${namespace.path}`, "true", namespace.path]);
      const network = { way: rung.name, namespace, link: await rung.open(namespace, tools, signal) };
      open.add(network);
      return network;
    } catch (thrown) {
      await removeNamespace(namespace);
      throw thrown;
    }
  };
  const close = async (network: OpenNetwork): Promise<void> => {
    open.delete(network);
    await network.link.close();
    await removeNamespace(network.namespace);
  };
  const choose = async (signal: AbortSignal): Promise<NetworkRung | undefined> => {
    problems.length = 0;
    if (!registered)
      owner.onDispose(async () => {
        await Promise.all([...open].map(close));
      });
    registered = true;
    for (const rung of rungs) {
      const problem = rung.problem(tools);
      if (problem !== undefined) {
        problems.push(problem);
        continue;
      }
      try {
        idle.push(await create(rung, signal));
        return rung;
      } catch (thrown) {
        signal.throwIfAborted();
        problems.push(`${rung.name}: ${messageOf(thrown)}`);
      }
    }
    return undefined;
  };
  const chosen = async (signal: AbortSignal): Promise<NetworkRung | undefined> => {
    for (;;) {
      const choosing = (choice ??= choose(signal));
      try {
        return await choosing;
      } catch {
        // Only an abort comes here, perhaps of the step that asked first.
        if (choice === choosing) choice = undefined;
        signal.throwIfAborted();
      }
    }
  };
  const takeIsolated = async (signal: AbortSignal): Promise<OpenNetwork | undefined> => {
    const rung = await chosen(signal);
    if (rung === undefined) return undefined;
    for (let network = idle.pop(); network !== undefined; network = idle.pop()) {
      if (network.link.isAlive()) return network;
      await close(network);
    }
    try {
      return await create(rung, signal);
    } catch (cause) {
      signal.throwIfAborted();
      throw new BakeError("runtime-failed", `cannot make a network for the step: ${messageOf(cause)}`, {
        hint: "try again with fewer steps at a time (--max-parallelism), or see `bake doctor`",
        cause,
      });
    }
  };
  let told = false;

  return {
    async take(mode, { signal, onNote }) {
      if (mode === "none") return { container: { kind: "none" }, resolvConf: "", release: nothing };
      const network = mode === "host" ? undefined : await takeIsolated(signal);
      if (network === undefined) {
        if (mode === "default" && !told) onNote?.(sharedNote(problems));
        told ||= mode === "default";
        return { container: { kind: "host" }, resolvConf: hostResolvConf(), release: nothing };
      }
      return {
        way: network.way,
        container: { kind: "joined", path: network.namespace.path },
        resolvConf: isolatedResolvConf(network.link.nameServer),
        release: async reusable => {
          if (reusable) idle.push(network);
          else await close(network);
        },
      };
    },
  };
}

const nothing = (): Promise<void> => Promise.resolve();

function sharedNote(problems: readonly string[]): Note {
  return {
    message: `steps share the network of this machine, its loopback included: ${problems.join("; ")}`,
    hint: networkRemedy(),
  };
}

/** What gives steps a network of their own on most machines. */
export function networkRemedy(): string {
  // Both need it, and where no udev has seen to it, it is root's alone.
  if (existsSync(TUN) && !mayWrite(TUN)) return `sudo chmod 666 ${TUN}`;
  return "install pasta (apt-get install passt) or slirp4netns";
}

const TUN = "/dev/net/tun";

function mayWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

async function removeNamespace({ folder, path }: Namespace): Promise<void> {
  const libc = await loadLibc();
  try {
    libc.umount(path, MNT_DETACH);
  } catch {
    // It was never mounted.
  }
  rmSync(path, { force: true });
  rmSync(folder, { recursive: true, force: true });
}
