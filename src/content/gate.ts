// The way into a state directory: whoever enters holds its door open, whoever takes the whole of it down holds it shut.
// The lock is on the folder itself, which outlives everything in it.
import { closeSync, openSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { loadLibc } from "./libc.ts";

/** Taking down an empty directory takes a few milliseconds. */
const WAIT_MS = 2;

/** Runs `work` while nobody takes the directory down. `path` exists. */
export async function whileOpen<T>(path: string, work: () => Promise<T>): Promise<T> {
  const libc = await loadLibc();
  const fd = openSync(path, "r");
  try {
    while (!libc.flock(fd, "shared")) await delay(WAIT_MS);
    return await work();
  } finally {
    closeSync(fd);
  }
}

/** Runs `work` while nobody enters; without it when somebody is just doing so. */
export async function whileShut(path: string, work: () => Promise<void>): Promise<void> {
  const libc = await loadLibc();
  const fd = openSync(path, "r");
  try {
    if (libc.flock(fd, "exclusive")) await work();
  } finally {
    closeSync(fd);
  }
}
