// `bake du`: what the state directory holds, and what it takes on disk.
import { exitCodes } from "../diagnostic/codes.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { StoredThing } from "../engine/storage.ts";
import type { DefineCommand } from "./command.ts";
import { rootPath } from "./engine.ts";
import { formatAge, formatSize } from "./sizes.ts";

interface DuFlags {
  readonly root?: string;
  readonly format: string;
}

export const defineDu: DefineCommand = (command, { environment, signal }, done) => {
  command
    .description("Show what the cache holds, what it takes on disk, and when it was last used.")
    .option("--root <dir>", "folder for the cache and other state")
    .option("--format <format>", "table or json", "table")
    .action(async (flags: DuFlags) => {
      if (flags.format !== "table" && flags.format !== "json")
        throw new BakeError("usage", `unknown format "${flags.format}"`, { hint: "table or json" });
      const { openStorage } = await import("../engine/storage.ts");
      await using storage = await openStorage(rootPath(flags, environment));
      const things = [...(await storage.list(signal))].sort(
        (a, b) => b.sizeBytes - a.sizeBytes || (a.id < b.id ? -1 : 1),
      );
      environment.stdout.write(flags.format === "json" ? jsonOf(things) : tableOf(things, Date.now()));
      done(exitCodes.ok);
    });
};

function jsonOf(things: readonly StoredThing[]): string {
  const entries = things.map(({ kind, id, sizeBytes, lastUsedMs, inUse, parent, step }) => ({
    id,
    kind,
    size: sizeBytes,
    lastUsed: new Date(lastUsedMs).toISOString(),
    inUse,
    ...(parent !== undefined && { parent }),
    ...(step !== "" && { step }),
  }));
  return `${JSON.stringify({ total: totalOf(things), reclaimable: totalOf(things.filter(({ inUse }) => !inUse)), entries }, undefined, 2)}\n`;
}

function tableOf(things: readonly StoredThing[], now: number): string {
  const rows = things.map(({ kind, id, sizeBytes, lastUsedMs, inUse, step }) => [
    shortId(id),
    kind,
    formatSize(sizeBytes),
    inUse ? "in use" : formatAge(now - lastUsedMs),
    step.length > STEP_LENGTH ? `${step.slice(0, STEP_LENGTH - 1)}…` : step,
  ]);
  const head = ["ID", "KIND", "SIZE", "LAST USED", "STEP"];
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map(row => row[column]?.length ?? 0)),
  );
  const lines = [head, ...rows].map(row =>
    row
      .map((cell, column) => (column === 4 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
  return `${lines.join("\n")}\n\nTotal: ${formatSize(totalOf(things))} in ${things.length} ${things.length === 1 ? "entry" : "entries"}\n`;
}

function totalOf(things: readonly StoredThing[]): number {
  return things.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

const ID_LENGTH = 20;
/** Longer commands are in the JSON form. */
const STEP_LENGTH = 72;

function shortId(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, ID_LENGTH);
}
