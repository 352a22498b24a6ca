// Functions on dates and times (RFC 3339 timestamps).
import { argument, fail, numberOf, param, textOf, type BakeFunction } from "./function.ts";
import * as number from "../number.ts";
import { NUMBER, STRING, numberValue, objectValue, stringValue, type Value } from "../value.ts";

const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/** A moment and the offset in which it is told. */
interface Timestamp {
  readonly seconds: number;
  readonly nanos: number;
  readonly offsetMinutes: number;
}

function parseTimestamp(text: string): Timestamp {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (match === null) throw fail(`"${text}" is not a timestamp`, "timestamps look like 2024-05-31T18:30:00Z");
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number);
  const date = new Date(0);
  date.setUTCFullYear(year ?? 0, (month ?? 1) - 1, day ?? 1);
  date.setUTCHours(hour ?? 0, minute ?? 0, second ?? 0);
  const same = date.getUTCMonth() + 1 === month && date.getUTCDate() === day && date.getUTCHours() === hour;
  if (!same || (minute ?? 0) > 59 || (second ?? 0) > 59)
    throw fail(`"${text}" is not a date and time that exists`);
  const zone = match[8] ?? "Z";
  const offset =
    zone === "Z"
      ? 0
      : (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4))) * (zone.startsWith("-") ? -1 : 1);
  const nanos = Number((match[7] ?? "").padEnd(9, "0").slice(0, 9));
  return { seconds: date.getTime() / 1000 - offset * 60, nanos, offsetMinutes: offset };
}

/** The moment's calendar as a Date whose UTC fields are local. */
function localDate({ seconds, offsetMinutes }: Timestamp): Date {
  const date = new Date((seconds + offsetMinutes * 60) * 1000);
  if (Number.isNaN(date.getTime())) throw fail("the time is out of range");
  return date;
}

const two = (value: number): string => String(value).padStart(2, "0");

function zoneText(offsetMinutes: number, separator: string): string {
  const magnitude = Math.abs(offsetMinutes);
  return `${offsetMinutes < 0 ? "-" : "+"}${two(Math.floor(magnitude / 60))}${separator}${two(magnitude % 60)}`;
}

/** RFC 3339 without fractions. */
function timestampText(time: Timestamp): string {
  const date = localDate(time);
  const year = date.getUTCFullYear();
  const day = `${String(year).padStart(4, "0")}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`;
  const clock = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
  return `${day}T${clock}${time.offsetMinutes === 0 ? "Z" : zoneText(time.offsetMinutes, ":")}`;
}

function verbs({ offsetMinutes }: Timestamp, date: Date): ReadonlyMap<string, () => string> {
  const hour = date.getUTCHours();
  const half = hour % 12 === 0 ? 12 : hour % 12;
  const month = date.getUTCMonth();
  const weekday = DAYS[date.getUTCDay()] ?? "";
  return new Map([
    ["YYYY", () => String(date.getUTCFullYear()).padStart(4, "0")],
    ["YY", () => two(date.getUTCFullYear() % 100)],
    ["MMMM", () => MONTHS[month] ?? ""],
    ["MMM", () => (MONTHS[month] ?? "").slice(0, 3)],
    ["MM", () => two(month + 1)],
    ["M", () => String(month + 1)],
    ["DD", () => two(date.getUTCDate())],
    ["D", () => String(date.getUTCDate())],
    ["EEEE", () => weekday],
    ["EEE", () => weekday.slice(0, 3)],
    ["hh", () => two(hour)],
    ["h", () => String(hour)],
    ["HH", () => two(half)],
    ["H", () => String(half)],
    ["AA", () => (hour < 12 ? "AM" : "PM")],
    ["aa", () => (hour < 12 ? "am" : "pm")],
    ["mm", () => two(date.getUTCMinutes())],
    ["m", () => String(date.getUTCMinutes())],
    ["ss", () => two(date.getUTCSeconds())],
    ["s", () => String(date.getUTCSeconds())],
    ["ZZZZZ", () => zoneText(offsetMinutes, ":")],
    ["ZZZZ", () => zoneText(offsetMinutes, "")],
    ["ZZZ", () => (offsetMinutes === 0 ? "UTC" : zoneText(offsetMinutes, ""))],
    ["Z", () => (offsetMinutes === 0 ? "Z" : zoneText(offsetMinutes, ":"))],
  ]);
}

function formatTime(format: string, time: Timestamp): string {
  const table = verbs(time, localDate(time));
  return format.replace(/'(?:[^']|'')*'?|([A-Za-z])\1*|[^A-Za-z']+/g, part => {
    if (part.startsWith("'")) {
      const closed =
        part.length > 1 && part.endsWith("'") && (part.slice(1).match(/'+$/)?.[0].length ?? 0) % 2 === 1;
      if (!closed) throw fail("a quoted text in the format is not closed");
      return part.slice(1, -1).replaceAll("''", "'");
    }
    if (!/^[A-Za-z]/.test(part)) return part;
    const verb = table.get(part);
    if (verb === undefined)
      throw fail(`unknown verb "${part}" in the format`, "put plain letters in single quotes");
    return verb();
  });
}

const UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

/** Nanoseconds of a duration such as `1h30m` or `-1.5s`. */
function parseDuration(text: string): bigint {
  const match = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+|0)$/.exec(text);
  if (match === null) throw fail(`"${text}" is not a duration`, "durations look like 1h30m or 10s");
  let total = 0n;
  for (const [, amount = "0", unit = "ns"] of (match[2] ?? "").matchAll(
    /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g,
  )) {
    const [whole = "", fraction = ""] = amount.split(".");
    const scale = UNITS[unit] ?? 1n;
    total +=
      BigInt(whole || "0") * scale + (BigInt(fraction || "0") * scale) / 10n ** BigInt(fraction.length);
  }
  return match[1] === "-" ? -total : total;
}

function unixTime(args: readonly Value[], index: number): Timestamp {
  const seconds = number.toSafeInt(numberOf(args, index));
  if (seconds === undefined) throw fail("a unix timestamp must be a whole number");
  return { seconds, nanos: 0, offsetMinutes: 0 };
}

const DAY_MS = 86_400_000;

function isoWeek(date: Date): { readonly year: number; readonly week: number } {
  const thursday = new Date(date.getTime() + (4 - (date.getUTCDay() || 7)) * DAY_MS);
  const year = thursday.getUTCFullYear();
  return { year, week: 1 + Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / DAY_MS / 7) };
}

export const timeFunctions: Readonly<Record<string, BakeFunction>> = {
  timestamp: {
    params: [],
    call: (_, host) =>
      stringValue(
        timestampText({ seconds: Math.floor(host.now().getTime() / 1000), nanos: 0, offsetMinutes: 0 }),
      ),
  },
  formatdate: {
    params: [param("format", STRING), param("time", STRING)],
    call: args => stringValue(formatTime(textOf(args, 0), parseTimestamp(textOf(args, 1)))),
  },
  formattimestamp: {
    params: [param("format", STRING), param("time")],
    call: args => {
      const given = argument(args, 1);
      if (given.kind !== "string" && given.kind !== "number")
        throw fail("expected a timestamp or a unix time");
      const time = given.kind === "string" ? parseTimestamp(given.value) : unixTime(args, 1);
      const format = textOf(args, 0);
      return stringValue(format === "X" ? String(time.seconds) : formatTime(format, time));
    },
  },
  timeadd: {
    params: [param("timestamp", STRING), param("duration", STRING)],
    call: args => {
      const time = parseTimestamp(textOf(args, 0));
      const total =
        BigInt(time.seconds) * 1_000_000_000n + BigInt(time.nanos) + parseDuration(textOf(args, 1));
      const nanos = ((total % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
      return stringValue(
        timestampText({ ...time, seconds: Number((total - nanos) / 1_000_000_000n), nanos: Number(nanos) }),
      );
    },
  },
  unixtimestampparse: {
    params: [param("unix_timestamp", NUMBER)],
    call: args => {
      const time = unixTime(args, 0);
      const date = localDate(time);
      const int = (value: number): Value => numberValue(number.numberFromInt(value));
      const { year, week } = isoWeek(date);
      return objectValue([
        ["year", int(date.getUTCFullYear())],
        ["year_day", int(Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / DAY_MS) + 1)],
        ["day", int(date.getUTCDate())],
        ["month", int(date.getUTCMonth() + 1)],
        ["month_name", stringValue(MONTHS[date.getUTCMonth()] ?? "")],
        ["weekday", int(date.getUTCDay())],
        ["weekday_name", stringValue(DAYS[date.getUTCDay()] ?? "")],
        ["hour", int(date.getUTCHours())],
        ["minute", int(date.getUTCMinutes())],
        ["second", int(date.getUTCSeconds())],
        ["rfc3339", stringValue(timestampText(time))],
        ["iso_year", int(year)],
        ["iso_week", int(week)],
      ]);
    },
  },
};
