// Sizes and ages as users write and read them on the command line.
import { BakeError } from "../diagnostic/error.ts";

const SIZE_UNITS = ["", "k", "m", "g", "t"];

/**
 * Reads "500MB", "20GiB", "1.5g" or plain bytes; units are powers of 1024, as docker's are.
 * @throws BakeError "usage"
 */
export function parseSize(text: string, flag: string): number {
  const [, number = "", unit = ""] = /^(\d+(?:\.\d+)?) *([kmgt]?)(?:i?b)?$/i.exec(text.trim()) ?? [];
  if (number === "")
    throw new BakeError("usage", `invalid size "${text}" for ${flag}`, {
      hint: `write a number with a unit, such as 500MB or 20GB`,
    });
  return Math.floor(Number(number) * 1024 ** SIZE_UNITS.indexOf(unit.toLowerCase()));
}

const AGE_UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** Reads "90m", "36h", "7d" or "1h30m"; gives milliseconds. @throws BakeError "usage" */
export function parseAge(text: string, flag: string): number {
  if (!/^(?:\d+(?:\.\d+)?[smhdw])+$/.test(text))
    throw new BakeError("usage", `invalid duration "${text}" for ${flag}`, {
      hint: "write a number with a unit, such as 90m, 36h or 7d",
    });
  let seconds = 0;
  for (const [, number = "", unit = ""] of text.matchAll(/([\d.]+)([smhdw])/g))
    seconds += Number(number) * (AGE_UNITS[unit] ?? 0);
  return seconds * 1000;
}

/** As "0 B", "12.3 MiB". */
export function formatSize(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [value, at] = [bytes, 0];
  for (; value >= 1024 && at < units.length - 1; at++) value /= 1024;
  return `${at === 0 ? String(value) : value.toFixed(1)} ${units[at] ?? ""}`;
}

/** As "3 minutes ago". */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [count, unit] =
    seconds < 60
      ? [seconds, "second"]
      : seconds < 3600
        ? [Math.floor(seconds / 60), "minute"]
        : seconds < 86_400
          ? [Math.floor(seconds / 3600), "hour"]
          : [Math.floor(seconds / 86_400), "day"];
  return `${count} ${unit}${count === 1 ? "" : "s"} ago`;
}
