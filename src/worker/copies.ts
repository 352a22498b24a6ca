// Earlier results of copies from local folders, so that a new one can share the files that did not change, or consist of
// what changed alone: by copy (what is copied where, and how), the snapshot it was last made in. Losing this costs time
// and space only.
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Owner } from "../content/lease.ts";
import type { StateRoot } from "../content/root.ts";
import type { CopySharing } from "../layer/filecopy.ts";
import { StatTable } from "../layer/stattable.ts";
import {
  type ActiveSnapshot,
  parseSnapshotId,
  type SnapshotId,
  type Snapshotter,
} from "../snapshot/snapshotter.ts";

export interface Copies {
  /** What a copy can share; `name` says all that decides how a file of the source comes out, and where. */
  sharing(name: string, place: CopyPlace): Promise<SharedCopy>;
}

export interface CopyPlace {
  /** What the copy is made upon. */
  readonly parent: SnapshotId | undefined;
  /** Whether the snapshot will hold nothing but this copy. */
  readonly isAlone: boolean;
}

export interface SharedCopy {
  readonly sharing: CopySharing;
  /** The snapshot that files are shared with, or that the new one is to be a revision of. */
  readonly beside: SnapshotId | undefined;
  /** Notes in the snapshot what its files were copied from; to be called before the commit. Gives the bytes written. */
  note(active: ActiveSnapshot): number;
  /** Lets later copies share with the snapshot. */
  remember(id: SnapshotId): Promise<void>;
}

/** More copies than this are not remembered: those used least recently are forgotten. */
const MAX_COPIES = 500;
/** Each revision is one layer more to mount, of which the kernel takes 500. */
const MAX_STEPS = 200;
const DAY_MS = 24 * 3600_000;

export function openCopies(root: StateRoot, owner: Owner, snapshots: Snapshotter): Copies {
  const folder = path.join(root.facts, "copies");
  return {
    async sharing(name, { parent, isAlone }) {
      const key = keyOf(name);
      const file = path.join(folder, key);
      // Files can be shared with whatever holds them; what stays in place must be the copy and nothing else.
      const aloneFile =
        isAlone && snapshots.kind === "overlay"
          ? path.join(folder, keyOf(JSON.stringify([name, "alone", parent ?? ""])))
          : undefined;
      const alone = aloneFile === undefined ? undefined : await readCopy(snapshots, aloneFile, key);
      const mayStay = alone !== undefined && (await snapshots.chain(alone.id)).length <= MAX_STEPS;
      const earlier = mayStay ? alone : await readCopy(snapshots, file, key);
      const sources = new StatTable(0);
      return {
        beside: earlier?.id,
        sharing: {
          earlier: earlier && { root: earlier.root, sources: earlier.sources, mayStay },
          sources,
        },
        note(active) {
          const bytes = sources.encode();
          active.note(key, bytes);
          return bytes.length;
        },
        async remember(snapshot) {
          if (sources.size === 0) return;
          try {
            await mkdir(folder, { recursive: true });
            for (const pointer of [file, ...(aloneFile === undefined ? [] : [aloneFile])])
              await replaceFile(pointer, snapshot, owner);
            await forgetOldest(folder);
          } catch {
            // A prune may remove the folder meanwhile; not being able to remember is no reason to fail.
          }
        },
      };
    },
  };
}

function keyOf(name: string): string {
  return createHash("sha256").update(name).digest("hex").slice(0, 32);
}

interface EarlierCopy {
  readonly id: SnapshotId;
  readonly root: string;
  readonly sources: StatTable;
}

/** The copy that a file points to, when it is still there and known by `key`. */
async function readCopy(snapshots: Snapshotter, file: string, key: string): Promise<EarlierCopy | undefined> {
  const id = parseSnapshotId(await readFile(file, "utf8").catch(() => "-"));
  const noted = id && (await snapshots.noted(id, key).catch(() => undefined));
  const sources = noted && StatTable.decode(noted.bytes, 0);
  if (id === undefined || noted === undefined || sources === undefined) return undefined;
  const now = Date.now();
  const { mtimeMs } = await stat(file).catch(() => ({ mtimeMs: now }));
  if (mtimeMs + DAY_MS < now) await utimes(file, new Date(now), new Date(now)).catch(() => undefined);
  return { id, root: noted.own, sources };
}

async function replaceFile(file: string, text: string, owner: Owner): Promise<void> {
  const draft = owner.newPath("temp");
  try {
    await writeFile(draft, text);
    await rename(draft, file);
  } catch (thrown) {
    await rm(draft, { force: true });
    throw thrown;
  }
}

async function forgetOldest(folder: string): Promise<void> {
  const names = await readdir(folder);
  if (names.length <= MAX_COPIES) return;
  const aged = await Promise.all(
    names.map(async name => {
      const file = path.join(folder, name);
      return {
        file,
        usedMs: await stat(file).then(
          ({ mtimeMs }) => mtimeMs,
          () => 0,
        ),
      };
    }),
  );
  aged.sort((a, b) => a.usedMs - b.usedMs);
  for (const { file } of aged.slice(0, MAX_COPIES / 2)) await rm(file, { force: true });
}
