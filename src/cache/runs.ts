// What the last runs did, for `bake explain`: one small file per definition and target, replaced whole by each run. Only
// names and reasons that were shown are kept; a record that cannot be read or written is one that does not exist.
import { isObject } from "../content/journal.ts";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Owner } from "../content/lease.ts";
import type { StateRoot } from "../content/root.ts";
import { isDigest } from "../oci/digest.ts";
import type { StepVerdict, Verdict } from "../solver/verdict.ts";

export interface RememberedStep extends StepVerdict {
  /** The platform that was emulated for its command, `linux/arm64`. */
  readonly emulated?: string;
}

export interface RunRecord {
  readonly target: string;
  /** Milliseconds since the epoch. */
  readonly endedAt: number;
  readonly succeeded: boolean;
  /** Inputs before users. */
  readonly steps: readonly RememberedStep[];
  /** Ids of the cache mounts that its steps ask for. */
  readonly caches: readonly string[];
}

/** A run with the text that names the bake files it was of. */
export interface ListedRun extends RunRecord {
  readonly definition: string;
}

/** Runs are known by their definition, a text that names the bake files, and their target. */
export interface RunHistory {
  read(definition: string, target: string): Promise<RunRecord | undefined>;
  write(definition: string, record: RunRecord): Promise<void>;
  /** All that are remembered, in no order. */
  list(): Promise<readonly ListedRun[]>;
}

/** How many runs are remembered; the oldest go first. */
const MAX_RUNS = 500;

export function openRunHistory(root: StateRoot, owner: Pick<Owner, "newPath">): RunHistory {
  const folder = join(root.path, "runs");
  const pathOf = (definition: string, target: string): string =>
    join(
      folder,
      `${createHash("sha256")
        .update(JSON.stringify([definition, target]))
        .digest("hex")}.json`,
    );
  return {
    read: (definition, target) => Promise.resolve(readRun(pathOf(definition, target))),
    async write(definition, record) {
      const path = pathOf(definition, record.target);
      const draft = owner.newPath("temp");
      try {
        const endedAt = record.endedAt / 1000;
        // Only the file's time tells when it ended: a run that found nothing changed has the text of the one before.
        const text = JSON.stringify({ definition, ...record, endedAt: 0 });
        if (textOf(path) === text) {
          utimesSync(path, endedAt, endedAt);
          return;
        }
        const isNew = !existsSync(path);
        if (isNew) mkdirSync(folder, { recursive: true, mode: 0o700 });
        // At once: a run has as many of these as targets, and other threads take longer to be asked than to write.
        writeFileSync(draft, text);
        utimesSync(draft, endedAt, endedAt);
        renameSync(draft, path);
        if (isNew) await forgetOldest(folder);
      } catch {
        // A build does not fail for its history.
        await rm(draft, { force: true }).catch(() => undefined);
      }
    },
    async list() {
      const runs: ListedRun[] = [];
      for (const name of await readdir(folder).catch(() => [])) {
        const path = join(folder, name);
        const text = await readFile(path, "utf8").catch(() => "");
        const run = decodeListed(text);
        const found = await stat(path).catch(() => undefined);
        if (run !== undefined && found !== undefined)
          runs.push({ ...run, endedAt: Math.round(found.mtimeMs) });
      }
      return runs;
    },
  };
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/** A run's file is as old as its end. */
function readRun(path: string): RunRecord | undefined {
  try {
    const run = decodeRun(JSON.parse(readFileSync(path, "utf8")));
    return run && { ...run, endedAt: Math.round(statSync(path).mtimeMs) };
  } catch {
    return undefined;
  }
}

async function forgetOldest(folder: string): Promise<void> {
  const names = await readdir(folder);
  if (names.length <= MAX_RUNS) return;
  const files = await Promise.all(
    names.map(async name => {
      const path = join(folder, name);
      return { path, at: (await stat(path).catch(() => undefined))?.mtimeMs ?? 0 };
    }),
  );
  const oldest = files.sort((a, b) => a.at - b.at).slice(0, files.length - MAX_RUNS);
  await Promise.all(oldest.map(({ path }) => rm(path, { force: true })));
}

function decodeListed(text: string): ListedRun | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const run = decodeRun(value);
    const definition = isObject(value) ? value["definition"] : undefined;
    return run && { ...run, definition: typeof definition === "string" ? definition : "" };
  } catch {
    return undefined;
  }
}

function decodeRun(value: unknown): RunRecord | undefined {
  if (!isObject(value)) return undefined;
  const { target, endedAt, succeeded, steps, caches = [] } = value;
  if (typeof target !== "string" || typeof endedAt !== "number" || typeof succeeded !== "boolean")
    return undefined;
  if (!Array.isArray(steps) || !Array.isArray(caches)) return undefined;
  const decoded = steps.flatMap((step: unknown) => decodeStep(step) ?? []);
  if (decoded.length !== steps.length) return undefined;
  const ids = caches.filter((id: unknown): id is string => typeof id === "string");
  return { target, endedAt, succeeded, steps: decoded, caches: ids };
}

function decodeStep(value: unknown): RememberedStep | undefined {
  if (!isObject(value)) return undefined;
  const { id, name, record, emulated } = value;
  const verdict = decodeVerdict(value["verdict"]);
  if (typeof id !== "string" || !isDigest(id) || typeof name !== "string" || verdict === undefined)
    return undefined;
  if (record !== undefined && (typeof record !== "string" || !isDigest(record))) return undefined;
  return {
    ...{ id, name, verdict },
    ...(record !== undefined && { record }),
    ...(typeof emulated === "string" && { emulated }),
  };
}

function decodeVerdict(value: unknown): Verdict | undefined {
  if (!isObject(value)) return undefined;
  const { tag, reason, until } = value;
  if (tag === "cached" || tag === "read" || tag === "unneeded") return { tag };
  if (tag === "failed") return { tag, ...(typeof reason === "string" && { reason }) };
  if ((tag === "ran" || tag === "canceled") && typeof reason === "string") return { tag, reason };
  if (tag === "unknown" && typeof until === "string") return { tag, until };
  return undefined;
}
