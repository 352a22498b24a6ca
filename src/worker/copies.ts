// Earlier results of copies from local folders, so that a new one can share the files that did not change: by copy (what
// is copied where, and how), the snapshot it was last made in. Losing this costs time and space only.
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
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
  sharing(name: string): Promise<SharedCopy>;
}

export interface SharedCopy {
  readonly sharing: CopySharing;
  /** The snapshot that files are shared with. */
  readonly beside: SnapshotId | undefined;
  /** Notes in the snapshot what its files were copied from; to be called before the commit. Gives the bytes written. */
  note(active: ActiveSnapshot): number;
  /** Lets later copies share with the snapshot. */
  remember(id: SnapshotId): Promise<void>;
}

/** More copies than this are not remembered: those used least recently are forgotten. */
const MAX_COPIES = 500;

export function openCopies(root: StateRoot, owner: Owner, snapshots: Snapshotter): Copies {
  const folder = path.join(root.facts, "copies");
  return {
    async sharing(name) {
      const key = createHash("sha256").update(name).digest("hex").slice(0, 32);
      const file = path.join(folder, key);
      const id = parseSnapshotId(await readFile(file, "utf8").catch(() => "-"));
      const noted = id && (await snapshots.noted(id, key).catch(() => undefined));
      const before = noted && StatTable.decode(noted.bytes, 0);
      const sources = new StatTable(0);
      return {
        beside: before && id,
        sharing: { earlier: noted && before && { root: noted.own, sources: before }, sources },
        note(active) {
          const bytes = sources.encode();
          active.note(key, bytes);
          return bytes.length;
        },
        async remember(snapshot) {
          if (sources.size === 0) return;
          const draft = owner.newPath("temp");
          try {
            await mkdir(folder, { recursive: true });
            await writeFile(draft, snapshot);
            await rename(draft, file);
            await forgetOldest(folder);
          } catch {
            // A prune may remove the folder meanwhile; not being able to remember is no reason to fail.
            await rm(draft, { force: true });
          }
        },
      };
    },
  };
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
