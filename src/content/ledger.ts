// What the state directory holds and what running builds are about to add to it, so that room is made before it is
// needed. The file `ledger` says how much is settled (in place, as last counted and added to since) and what each owner
// was granted besides; a process takes grants in pieces and writes on them without asking.
import { readdirSync, readFileSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readDeclaredSize } from "./declaredsize.ts";
import { withLock } from "./lock.ts";
import { isCode, type StateRoot } from "./root.ts";
import { treeSize } from "./treesize.ts";

/** How large the state directory may get, and how it is made smaller. */
export interface Room {
  /** Asked for once, when something is first written. */
  limits(): Promise<{ readonly maxBytes: number; readonly minFreeBytes: number }>;
  /** Removes what nobody uses until `pledgedBytes` more than what is there fit, or nothing is left to remove. */
  make(pledgedBytes: number): Promise<void>;
  /** Told once when what running builds use leaves no room: building goes on. */
  onOver(usedBytes: number, maxBytes: number): void;
}

export interface Ledger {
  /** Called before something begins that writes: some room for it is there when this resolves. */
  begin(): Promise<void>;
  /** Charges bytes about to be written. */
  charge(bytes: number): Promise<void>;
  /** Gives back what was charged and is not there in the end. */
  refund(bytes: number): void;
  /** What was in the making is in place now, in this folder or file. */
  kept(path: string): void;
  /** What is in the making takes this much in all, as measured. */
  grown(bytes: number): Promise<void>;
  /** The same as guessed; measured before room is made for it. */
  guessed(bytes: number, measure: () => Promise<number>): Promise<void>;
  /** Counts anew what is there, since more was written than was charged. */
  recount(): Promise<void>;
  /** How much is granted at a time, in bytes. */
  readonly pieceBytes: number;
  /** All that was ever charged, in bytes, with what is in the making. */
  readonly chargedBytes: number;
  /** Leaves the ledger: what was granted and not used is free again. */
  close(): Promise<void>;
}

/** Grants are a part of the limit, within these bounds. */
const PIECE_PART = 1 / 32;
const MIN_PIECE_BYTES = 256 * 1024;
const MAX_PIECE_BYTES = 64 * 1024 ** 2;

const LOCK = "ledger";

/** The ledger as one owner sees it; without a `room` nothing is limited. */
export function openLedger(root: StateRoot, owner: string, room: Room | undefined): Ledger {
  if (room === undefined) return unlimited;
  let limits: { readonly maxBytes: number; readonly minFreeBytes: number } | undefined;
  let pieceBytes = MIN_PIECE_BYTES;
  /** Granted to this owner, as the file says. */
  let granted = 0;
  /** Written and in place or about to be, not yet settled in the file. */
  let unsettled = 0;
  /** In the making, as last measured, or guessed when there is a way to measure it. */
  let active = 0;
  let measure: (() => Promise<number>) | undefined;
  /** All that went through `unsettled`. */
  let charged = 0;
  let isOver = false;
  let turn: Promise<void> = Promise.resolve();
  const measuring = new Set<Promise<void>>();

  const isCovered = (ahead: number): boolean => unsettled + active + ahead <= granted;

  /** Takes a grant for all that is wanted and a piece more; false when it does not fit and is not `forced`. */
  const take = (ahead: number, isForced: boolean): Promise<boolean> =>
    withLock(root, LOCK, undefined, () => {
      const page = readPage(root);
      if (page === undefined && !isForced) return false;
      const { maxBytes, minFreeBytes } = limits ?? { maxBytes: Infinity, minFreeBytes: 0 };
      const settled = (page?.settled ?? 0) + unsettled;
      const others = sum(Object.entries(page?.owners ?? {}).filter(([name]) => name !== owner));
      const wanted = active + ahead + pieceBytes;
      const { bavail, bsize } = statfsSync(root.path);
      const used = settled + others + wanted;
      const fits = used <= maxBytes && bavail * bsize - (wanted - active) >= minFreeBytes;
      const mine = fits || isForced ? wanted : Math.max(0, granted - unsettled);
      writePage(root, { settled, owners: { ...page?.owners, [owner]: mine } });
      unsettled = 0;
      granted = mine;
      if (fits || !isForced) return fits;
      // Room that cannot be made is asked for less and less often.
      pieceBytes = Math.min(pieceBytes * 2, MAX_PIECE_BYTES);
      if (!isOver && used - pieceBytes > maxBytes) room.onOver(used - pieceBytes, maxBytes);
      isOver ||= used - pieceBytes > maxBytes;
      return true;
    });

  /** One at a time: all who wait for room get it from the same grant. */
  const reserve = (ahead: number): Promise<void> => {
    const next = turn.then(async () => {
      if (isCovered(ahead)) return;
      if (limits === undefined) {
        limits = await room.limits();
        const { blocks, bsize } = statfsSync(root.path);
        const whole = Math.min(limits.maxBytes, blocks * bsize);
        pieceBytes = Math.max(MIN_PIECE_BYTES, Math.min(MAX_PIECE_BYTES, Math.floor(whole * PIECE_PART)));
      }
      if (await take(ahead, false)) return;
      if (measure !== undefined) {
        active = await measure().catch(() => active);
        measure = undefined;
        if (isCovered(ahead) || (await take(ahead, false))) return;
      }
      await room.make(pledges(root, owner) + active + ahead + 2 * pieceBytes);
      await take(ahead, true);
    });
    // One that fails does not keep the others from having their turn.
    turn = next.catch(() => undefined);
    return next;
  };

  const add = (bytes: number): void => {
    unsettled += bytes;
    charged += bytes;
  };
  /** What cannot be reserved is written all the same: only the disk itself can say no. */
  const cover = async (ahead: number): Promise<void> => {
    if (!isCovered(ahead)) await reserve(ahead).catch(() => undefined);
  };
  return {
    get pieceBytes() {
      return pieceBytes;
    },
    get chargedBytes() {
      return charged + active;
    },
    begin: () => cover(pieceBytes / 4),
    async charge(bytes) {
      await cover(bytes);
      add(bytes);
    },
    refund: bytes => add(-bytes),
    kept(path) {
      const declared = readDeclaredSize(path);
      const size = declared === undefined ? treeSize(path) : Promise.resolve(declared);
      const measured = size.then(
        async bytes => {
          active = Math.max(0, active - bytes);
          add(bytes);
          // More than was granted was written before anybody looked: what is above the limit goes now.
          await cover(0);
        },
        // Whatever it is, the next count finds it.
        () => undefined,
      );
      measuring.add(measured);
      void measured.then(() => measuring.delete(measured));
    },
    async grown(bytes) {
      active = bytes;
      measure = undefined;
      await cover(pieceBytes / 4);
    },
    async guessed(bytes, how) {
      active = bytes;
      measure = how;
      await cover(pieceBytes / 4);
    },
    recount: () => room.make(pledges(root, owner) + active).catch(() => undefined),
    async close() {
      await Promise.all(measuring);
      await turn;
      if (granted === 0 && unsettled === 0) return;
      await withLock(root, LOCK, undefined, () => {
        const { [owner]: _, ...owners } = readPage(root)?.owners ?? {};
        const settled = readPage(root)?.settled;
        if (settled !== undefined) writePage(root, { settled: settled + unsettled, owners });
      });
    },
  };
}

/** Writes down what is in place as it was counted just now, with what owners have in the making left out. */
export async function settleLedger(root: StateRoot, settledBytes: number): Promise<void> {
  await withLock(root, LOCK, undefined, () =>
    writePage(root, { settled: settledBytes, owners: readPage(root)?.owners ?? {} }),
  );
}

/** What is in place and granted in all, in bytes, as far as it is known without counting; undefined when it is not. */
export function usedBytes(root: StateRoot): number | undefined {
  const page = readPage(root);
  return page && page.settled + sum(Object.entries(page.owners));
}

const unlimited: Ledger = {
  pieceBytes: Infinity,
  chargedBytes: 0,
  begin: () => Promise.resolve(),
  charge: () => Promise.resolve(),
  refund: () => undefined,
  kept: () => undefined,
  grown: () => Promise.resolve(),
  guessed: () => Promise.resolve(),
  recount: () => Promise.resolve(),
  close: () => Promise.resolve(),
};

interface Page {
  readonly settled: number;
  /** What each living owner was granted, by name. */
  readonly owners: Readonly<Record<string, number>>;
}

function sum(rows: readonly (readonly [string, number])[]): number {
  return rows.reduce((total, [, bytes]) => total + bytes, 0);
}

/** What all others were granted. */
function pledges(root: StateRoot, owner: string): number {
  return sum(Object.entries(readPage(root)?.owners ?? {}).filter(([name]) => name !== owner));
}

/** Undefined when it has to be counted what is there. What dead owners were granted counts as used until then. */
function readPage(root: StateRoot): Page | undefined {
  let text: string;
  try {
    text = readFileSync(join(root.path, "ledger"), "utf8");
  } catch (thrown) {
    if (isCode(thrown, "ENOENT")) return undefined;
    throw thrown;
  }
  const [first = "", ...lines] = text.split("\n");
  if (!/^settled \d+$/.test(first) || lines.pop() !== "") return undefined;
  const living = new Set(readdirSync(root.owners));
  let settled = Number(first.slice("settled ".length));
  const owners: Record<string, number> = {};
  for (const line of lines) {
    const [name = "", bytes = "0"] = line.split(" ");
    if (living.has(name)) owners[name] = Number(bytes);
    else settled += Number(bytes);
  }
  return { settled, owners };
}

/** In place, under the lock: cut off by a crash it counts as missing. On a full disk it has to be counted again. */
function writePage(root: StateRoot, { settled, owners }: Page): void {
  const lines = Object.entries(owners).map(([name, bytes]) => `${name} ${Math.round(bytes)}\n`);
  const text = `settled ${Math.max(0, Math.round(settled))}\n${lines.join("")}`;
  try {
    writeFileSync(join(root.path, "ledger"), text);
  } catch (thrown) {
    if (!isCode(thrown, "ENOSPC") && !isCode(thrown, "EDQUOT")) throw thrown;
  }
}
