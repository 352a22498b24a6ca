// `bake du`: what the state directory holds, what it takes on disk, and who uses it.
import { exitCodes } from "../diagnostic/codes.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { StoredThing } from "../engine/usage.ts";
import { collect } from "./arguments.ts";
import type { DefineCommand } from "./command.ts";
import { rootPath } from "./engine.ts";
import { withRights } from "./rights.ts";
import { formatAge, formatSize } from "./sizes.ts";
import { parseStorageFilter } from "./storagefilter.ts";

interface DuFlags {
  readonly root?: string;
  readonly format: string;
  readonly filter: readonly string[];
  readonly verbose?: boolean;
}

export const defineDu: DefineCommand = (command, { environment, signal }, done) => {
  command
    .description(
      "Show what the cache holds, what it takes on disk, when it was last used, and by which targets.",
    )
    .option(
      "--filter <filter>",
      "show only some, as type=cache-mount or until=24h; may be repeated",
      collect,
      [],
    )
    .option("--verbose", "show all that is known of each entry")
    .option("--format <format>", "table or json", "table")
    .option("--root <dir>", "folder for the cache and other state")
    .action(async (flags: DuFlags) => {
      if (flags.format !== "table" && flags.format !== "json")
        throw new BakeError("usage", `unknown format "${flags.format}"`, { hint: "table or json" });
      const { unusedForMs = 0, matches } = parseStorageFilter(flags.filter);
      const { openStorage, storageExists } = await import("../engine/storage.ts");
      const root = rootPath(flags, environment);
      const now = Date.now();
      const things: StoredThing[] = [];
      // Looking makes no directory.
      if (await storageExists(root)) {
        const list = withRights({ environment, rootPath: root, canTry: true, signal }, async ({ signal }) => {
          await using storage = await openStorage(root);
          return await storage.list({ signal });
        });
        things.push(...(await list));
      }
      const shown = things
        .filter(thing => matches(thing) && now - thing.lastUsedMs >= unusedForMs)
        .sort((a, b) => b.sizeBytes - a.sizeBytes || (a.id < b.id ? -1 : 1));
      const write = flags.format === "json" ? jsonOf : flags.verbose === true ? detailsOf : tableOf;
      environment.stdout.write(write(shown, now));
      done(exitCodes.ok);
    });
};

function jsonOf(things: readonly StoredThing[]): string {
  const entries = things.map(thing => ({
    id: thing.id,
    kind: thing.kind,
    size: thing.sizeBytes,
    lastUsed: new Date(thing.lastUsedMs).toISOString(),
    inUse: thing.inUse,
    shared: thing.shared,
    ...(thing.parent !== undefined && { parent: thing.parent }),
    ...(thing.description !== "" && { description: thing.description }),
    targets: thing.targets,
  }));
  const { total, reclaimable, shared } = sumsOf(things);
  return `${JSON.stringify({ total, reclaimable, shared, entries }, undefined, 2)}\n`;
}

const HEAD = ["ID", "KIND", "SIZE", "LAST USED", "TARGETS", "DESCRIPTION"];

function tableOf(things: readonly StoredThing[], now: number): string {
  const rows = things.map(thing => [
    shortId(thing.id),
    thing.kind,
    `${formatSize(thing.sizeBytes)}${thing.shared ? "*" : ""}`,
    thing.inUse ? "in use" : formatAge(now - thing.lastUsedMs),
    shorten([...new Set(thing.targets.map(({ target }) => target))].join(", "), TARGETS_LENGTH),
    shorten(thing.description.replace(/\s+/g, " "), DESCRIPTION_LENGTH),
  ]);
  const widths = HEAD.map((title, column) =>
    Math.max(title.length, ...rows.map(row => row[column]?.length ?? 0)),
  );
  const lines = [HEAD, ...rows].map(row =>
    row
      .map((cell, column) => (column === HEAD.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
  return rows.length === 0 ? "Nothing is there.\n" : `${lines.join("\n")}\n${summaryOf(things)}`;
}

function detailsOf(things: readonly StoredThing[], now: number): string {
  const blocks = things.map(thing => {
    const rows: readonly (readonly [string, string])[] = [
      ["ID", thing.id],
      ["Kind", thing.kind],
      ["Size", `${formatSize(thing.sizeBytes)} (${thing.sizeBytes} bytes)`],
      ["Last used", formatAge(now - thing.lastUsedMs)],
      ["In use", thing.inUse ? "yes" : "no"],
      ["Shared", thing.shared ? "yes" : "no"],
      ["Parent", thing.parent ?? ""],
      ["Targets", thing.targets.map(({ target, file }) => `${target} (${file})`).join(", ")],
      ["Packed as", thing.blobs.join(", ")],
      ["Description", thing.description],
    ];
    return rows
      .filter(([, value]) => value !== "")
      .map(([name, value]) => `${`${name}:`.padEnd(13)}${value}\n`)
      .join("");
  });
  return blocks.length === 0 ? "Nothing is there.\n" : `${blocks.join("\n")}${summaryOf(things)}`;
}

function summaryOf(things: readonly StoredThing[]): string {
  const { total, reclaimable, shared } = sumsOf(things);
  const lines = [
    ...(shared > 0 ? [`Shared (*):  ${formatSize(shared)}`] : []),
    `Reclaimable: ${formatSize(reclaimable)}`,
    `Total:       ${formatSize(total)} in ${things.length} ${things.length === 1 ? "entry" : "entries"}`,
  ];
  return `\n${lines.join("\n")}\n`;
}

function sumsOf(things: readonly StoredThing[]): {
  readonly total: number;
  readonly reclaimable: number;
  readonly shared: number;
} {
  const sum = (which: (thing: StoredThing) => boolean): number =>
    things.filter(which).reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0);
  return {
    total: sum(() => true),
    reclaimable: sum(({ inUse }) => !inUse),
    shared: sum(({ shared }) => shared),
  };
}

const ID_LENGTH = 20;
const TARGETS_LENGTH = 24;
/** Longer commands are shown by --verbose and in the JSON form. */
const DESCRIPTION_LENGTH = 60;

function shortId(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, ID_LENGTH);
}

function shorten(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}
