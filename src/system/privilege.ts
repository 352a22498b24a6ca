// What this process may do, as the kernel says: capabilities(7), and the ids that its user namespace maps
// (user_namespaces(7)). Linux only; elsewhere nothing is granted.
import { readFileSync, readlinkSync } from "node:fs";

/** Bits of a capability set. */
const CAP = { chown: 0, setgid: 6, setuid: 7, sysAdmin: 21 } as const;

export type Capability = keyof typeof CAP;

/** Whether this process has a capability in its user namespace right now. */
export function hasCapability(capability: Capability): boolean {
  const euid = process.geteuid?.();
  if (effective === undefined || effective.euid !== euid) effective = { euid, set: effectiveSet() };
  return (effective.set & (1n << BigInt(CAP[capability]))) !== 0n;
}

/** It changes with the user that the process acts as, and not otherwise. */
let effective: { readonly euid: number | undefined; readonly set: bigint } | undefined;

function effectiveSet(): bigint {
  const set = /^CapEff:\s*([0-9a-f]+)$/m.exec(read("/proc/self/status"))?.[1];
  return set === undefined ? 0n : BigInt(`0x${set}`);
}

/** A run of ids: the first as seen in the namespace, the first as its parent sees it, and how many. */
export interface IdRange {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

/** The ids that mean something in the user namespace of this process. */
export function readIdMap(kind: "uid" | "gid"): readonly IdRange[] {
  return parseIdMap(read(`/proc/self/${kind}_map`));
}

/** Whether an id means something in this user namespace. */
export function isMappedId(kind: "uid" | "gid", id: number): boolean {
  const map = ownMap(kind);
  return map.length === 0 || map.some(({ inside, count }) => id >= inside && id < inside + count);
}

function ownMap(kind: "uid" | "gid"): readonly IdRange[] {
  return (ownMaps[kind] ??= readIdMap(kind));
}

/** They never change once a program runs. */
const ownMaps: { uid?: readonly IdRange[]; gid?: readonly IdRange[] } = {};

/** Reads the lines of a `uid_map`; malformed ones are left out. */
export function parseIdMap(text: string): readonly IdRange[] {
  return text.split("\n").flatMap(line => {
    const [inside = NaN, outside = NaN, count = NaN] = line.trim().split(/\s+/).map(Number);
    return count > 0 ? [{ inside, outside, count }] : [];
  });
}

/** Whether this is the user namespace of the machine itself; in others some rights are smaller, whatever ids they map. */
export function isInitialNamespace(): boolean {
  initial ??= read("/proc/self/uid_map") === "" || namespaceOfSelf() === INITIAL_NAMESPACE;
  return initial;
}

let initial: boolean | undefined;

/** The kernel gives the first one this number (PROC_USER_INIT_INO). */
const INITIAL_NAMESPACE = "user:[4026531837]";

function namespaceOfSelf(): string {
  try {
    return readlinkSync("/proc/self/ns/user");
  } catch {
    return "";
  }
}

/** Whether it may mount and give files away: root with its usual capabilities, be it of the machine or of a namespace. */
export function isPrivileged(): boolean {
  return process.geteuid?.() === 0 && hasCapability("sysAdmin") && hasCapability("chown");
}

/** Whether files can have owners of all the usual ids (below 65536) here. */
export function keepsOwners(): boolean {
  const holds = (kind: "uid" | "gid"): boolean =>
    ownMap(kind).reduce((sum, { count }) => sum + count, 0) >= USUAL_IDS;
  return hasCapability("chown") && holds("uid") && holds("gid");
}

/** Images give their files ids from 0 to 65535 (nogroup); the last few of them are hardly ever used. */
const USUAL_IDS = 65_000;

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
