// What owners are called, and the byte that each holds while it lives.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { startTime } from "./procstat.ts";

/** A new name of this process: `<pid>-<start time in ticks>-<random>`. */
export function newOwnerName(): string {
  return `${ofThisProcess()}${randomBytes(4).toString("hex")}`;
}

/** Whether a name is one of this process. Of the next process with the same id it is not. */
export function isOfThisProcess(name: string): boolean {
  return name.startsWith(ofThisProcess());
}

/** The key of an owner's byte lock, which it gives up last of all or at death. */
export function ownerByte(name: string): string {
  return `owner ${name}`;
}

function ofThisProcess(): string {
  return `${process.pid}-${startTime(readFileSync("/proc/self/stat", "utf8"))}-`;
}
