// A moment as git commits and image histories write it.
import { BakeError } from "../../diagnostic/error.ts";

/** A moment, and the offset its author wrote it with. */
export interface Epoch {
  /** Since 1970. */
  readonly seconds: number;
  /** East of Greenwich. */
  readonly offsetMinutes: number;
}

/** When a git commit object says it was committed. @throws BakeError "content-corrupt" */
export function commitTime(commit: string): Epoch {
  const header = commit.split("\n\n", 1)[0] ?? "";
  const match = /^committer .*> (-?\d+) ([-+])(\d{2})(\d{2})$/m.exec(header);
  if (match === null) throw new BakeError("content-corrupt", "a git commit names no committer and time");
  const [, seconds, sign, hours, minutes] = match;
  const offset = Number(hours) * 60 + Number(minutes);
  return { seconds: Number(seconds), offsetMinutes: sign === "-" ? -offset : offset };
}

/** RFC 3339, as Go writes it. */
export function formatEpoch({ seconds, offsetMinutes }: Epoch): string {
  const local = new Date((seconds + offsetMinutes * 60) * 1000).toISOString().replace(/\.000Z$/, "");
  if (offsetMinutes === 0) return `${local}Z`;
  const two = (count: number): string => String(Math.floor(count)).padStart(2, "0");
  const size = Math.abs(offsetMinutes);
  return `${local}${offsetMinutes < 0 ? "-" : "+"}${two(size / 60)}:${two(size % 60)}`;
}
