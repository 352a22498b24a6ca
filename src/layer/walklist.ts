// The entries of one walk, kept in little room: what a step was keyed by is what it then copies, without a second walk.
import { under } from "./rootpath.ts";
import type { EntryKind, EntryStats, WalkEntry } from "./walk.ts";

/** Numbers kept of each entry. */
const WIDTH = 11;
const FIRST_ROOM = 64;

export class WalkList {
  /** Milliseconds since the epoch when the walk began: what is in the list was so at that time or later. */
  readonly startedMs: number;
  readonly #root: string;
  readonly #paths: string[] = [];
  readonly #kinds: EntryKind[] = [];
  readonly #unmatched = new Set<number>();
  readonly #withAttributes = new Set<number>();
  #numbers = new BigInt64Array(FIRST_ROOM * WIDTH);
  /** The places of entries that were copied from where they were seen, some time after the walk. */
  readonly read: number[] = [];

  /** `root` is the absolute path of where the walk begins. */
  constructor(root: string, startedMs: number) {
    this.#root = root;
    this.startedMs = startedMs;
  }

  get length(): number {
    return this.#paths.length;
  }

  /** Gives the place of the entry in the list. `isPlain` as in an entry. */
  add({ path, kind, stats, matched }: WalkEntry, isPlain = false): number {
    const at = this.#paths.push(path) - 1;
    this.#kinds.push(kind);
    if (!matched) this.#unmatched.add(at);
    if (!isPlain) this.#withAttributes.add(at);
    if (this.#numbers.length < (at + 1) * WIDTH) {
      const numbers = new BigInt64Array(this.#numbers.length * 2);
      numbers.set(this.#numbers);
      this.#numbers = numbers;
    }
    const numbers = this.#numbers;
    const first = at * WIDTH;
    numbers[first] = stats.dev;
    numbers[first + 1] = stats.ino;
    numbers[first + 2] = stats.mode;
    numbers[first + 3] = stats.nlink;
    numbers[first + 4] = stats.uid;
    numbers[first + 5] = stats.gid;
    numbers[first + 6] = stats.rdev;
    numbers[first + 7] = stats.size;
    numbers[first + 8] = stats.atimeNs;
    numbers[first + 9] = stats.mtimeNs;
    numbers[first + 10] = stats.ctimeNs;
    return at;
  }

  /** The entry at a place. */
  entry(at: number): WalkEntry {
    const path = this.#paths[at];
    const kind = this.#kinds[at];
    if (path === undefined || kind === undefined) throw new Error(`BUG: no entry ${at} in a list`);
    return {
      path,
      kind,
      absolute: under(this.#root, path),
      stats: new ListedStats(this.#numbers, at * WIDTH),
      matched: !this.#unmatched.has(at),
      ...(!this.#withAttributes.has(at) && { isPlain: true }),
    };
  }
}

class ListedStats implements EntryStats {
  readonly #numbers: BigInt64Array;
  readonly #first: number;

  constructor(numbers: BigInt64Array, first: number) {
    this.#numbers = numbers;
    this.#first = first;
  }

  get dev(): bigint {
    return this.#at(0);
  }
  get ino(): bigint {
    return this.#at(1);
  }
  get mode(): bigint {
    return this.#at(2);
  }
  get nlink(): bigint {
    return this.#at(3);
  }
  get uid(): bigint {
    return this.#at(4);
  }
  get gid(): bigint {
    return this.#at(5);
  }
  get rdev(): bigint {
    return this.#at(6);
  }
  get size(): bigint {
    return this.#at(7);
  }
  get atimeNs(): bigint {
    return this.#at(8);
  }
  get mtimeNs(): bigint {
    return this.#at(9);
  }
  get ctimeNs(): bigint {
    return this.#at(10);
  }

  #at(field: number): bigint {
    return this.#numbers[this.#first + field] ?? 0n;
  }
}
