// The order that Go's slices.SortFunc leaves equal items in: a pattern-defeating quicksort, not stable, but the same for
// the same input. `--list` shows it where a group and a target have one name, so the order must be the same here.

type Compare<T> = (a: T, b: T) => number;

/** Ranges up to this size are sorted by insertion. */
const INSERTION_LENGTH = 12;
/** From this size on, pivots are medians of medians, and a nearly sorted range is worth mending. */
const LONG_LENGTH = 50;
const MAX_MENDED = 5;

/** A sorted copy; items that compare as equal are in Go's order. */
export function sortLikeGo<T>(items: readonly T[], compare: Compare<T>): T[] {
  const data = [...items];
  sortRange(createRange(data, compare), 0, data.length, bitLength(data.length));
  return data;
}

/** The items being sorted, by index: what every step of the algorithm works with. */
interface Sorting {
  readonly less: (a: number, b: number) => boolean;
  readonly swap: (a: number, b: number) => void;
}

function createRange<T>(data: T[], compare: Compare<T>): Sorting {
  const at = (index: number): T => data[index] as T;
  return {
    less: (a, b) => compare(at(a), at(b)) < 0,
    swap(a, b) {
      const kept = at(a);
      data[a] = at(b);
      data[b] = kept;
    },
  };
}

function sortRange(items: Sorting, start: number, end: number, badPivots: number): void {
  let [from, to, allowed] = [start, end, badPivots];
  let wasBalanced = true;
  let wasPartitioned = true;
  for (;;) {
    const length = to - from;
    if (length <= INSERTION_LENGTH) return insertionSort(items, from, to);
    if (allowed === 0) return heapSort(items, from, to);
    if (!wasBalanced) {
      scatter(items, from, to);
      allowed--;
    }
    let { pivot, order } = choosePivot(items, from, to);
    if (order === "falling") {
      for (let a = from, b = to - 1; a < b; a++, b--) items.swap(a, b);
      pivot = to - 1 - (pivot - from);
      order = "rising";
    }
    if (wasBalanced && wasPartitioned && order === "rising" && mend(items, from, to)) return;
    if (from > 0 && !items.less(from - 1, pivot)) {
      from = splitOffEqual(items, from, to, pivot);
      continue;
    }
    const { middle, partitioned } = partition(items, from, to, pivot);
    wasPartitioned = partitioned;
    const [left, right] = [middle - from, to - middle];
    const enough = Math.floor(length / 8);
    if (left < right) {
      wasBalanced = left >= enough;
      sortRange(items, from, middle, allowed);
      from = middle + 1;
    } else {
      wasBalanced = right >= enough;
      sortRange(items, middle + 1, to, allowed);
      to = middle;
    }
  }
}

function insertionSort({ less, swap }: Sorting, from: number, to: number): void {
  for (let i = from + 1; i < to; i++) for (let j = i; j > from && less(j, j - 1); j--) swap(j, j - 1);
}

/** Swaps three items near the middle with others, in a way that follows from the length alone. */
function scatter({ swap }: Sorting, from: number, to: number): void {
  const length = to - from;
  let random = BigInt(length);
  const mask = (1n << BigInt(bitLength(length))) - 1n;
  const place = from + Math.floor(length / 4) * 2 - 1;
  for (let i = 0; i < 3; i++) {
    random ^= BigInt.asUintN(64, random << 13n);
    random ^= random >> 7n;
    random ^= BigInt.asUintN(64, random << 17n);
    let other = Number(random & mask);
    if (other >= length) other -= length;
    swap(place - 1 + i, from + other);
  }
}

function choosePivot(
  { less }: Sorting,
  from: number,
  to: number,
): { readonly pivot: number; readonly order: "rising" | "falling" | "unknown" } {
  const quarter = Math.floor((to - from) / 4);
  let swaps = 0;
  const ordered = (a: number, b: number): readonly [number, number] => {
    if (!less(b, a)) return [a, b];
    swaps++;
    return [b, a];
  };
  const median = (first: number, second: number, third: number): number => {
    let [a, b] = ordered(first, second);
    const [smaller] = ordered(b, third);
    b = smaller;
    [a, b] = ordered(a, b);
    return b;
  };
  const adjacent = (index: number): number => median(index - 1, index, index + 1);
  let places = [from + quarter, from + quarter * 2, from + quarter * 3] as const;
  if (to - from >= LONG_LENGTH) places = [adjacent(places[0]), adjacent(places[1]), adjacent(places[2])];
  const pivot = median(...places);
  // Twelve is every comparison of four medians.
  const order = swaps === 0 ? "rising" : swaps === 12 ? "falling" : "unknown";
  return { pivot, order };
}

/** Sorts a range that is nearly sorted; false when it turns out not to be. */
function mend({ less, swap }: Sorting, from: number, to: number): boolean {
  let i = from + 1;
  for (let mended = 0; mended < MAX_MENDED; mended++) {
    while (i < to && !less(i, i - 1)) i++;
    if (i === to) return true;
    if (to - from < LONG_LENGTH) return false;
    swap(i, i - 1);
    if (i - from >= 2) for (let j = i - 1; j >= 1 && less(j, j - 1); j--) swap(j, j - 1);
    if (to - i >= 2) for (let j = i + 1; j < to && less(j, j - 1); j++) swap(j, j - 1);
  }
  return false;
}

/** Moves what equals the pivot to the front; the index behind it. */
function splitOffEqual({ less, swap }: Sorting, from: number, to: number, pivot: number): number {
  swap(from, pivot);
  let [i, j] = [from + 1, to - 1];
  for (;;) {
    while (i <= j && !less(from, i)) i++;
    while (i <= j && less(from, j)) j--;
    if (i > j) return i;
    swap(i++, j--);
  }
}

function partition(
  { less, swap }: Sorting,
  from: number,
  to: number,
  pivot: number,
): { readonly middle: number; readonly partitioned: boolean } {
  swap(from, pivot);
  let [i, j] = [from + 1, to - 1];
  for (let partitioned = true; ; partitioned = false) {
    while (i <= j && less(i, from)) i++;
    while (i <= j && !less(j, from)) j--;
    if (i > j) {
      swap(j, from);
      return { middle: j, partitioned };
    }
    swap(i++, j--);
  }
}

function heapSort({ less, swap }: Sorting, from: number, to: number): void {
  const sink = (start: number, size: number): void => {
    let root = start;
    for (;;) {
      let child = 2 * root + 1;
      if (child >= size) return;
      if (child + 1 < size && less(from + child, from + child + 1)) child++;
      if (!less(from + root, from + child)) return;
      swap(from + root, from + child);
      root = child;
    }
  };
  const size = to - from;
  for (let i = Math.floor((size - 1) / 2); i >= 0; i--) sink(i, size);
  for (let i = size - 1; i >= 0; i--) {
    swap(from, from + i);
    sink(0, i);
  }
}

function bitLength(value: number): number {
  return value === 0 ? 0 : 32 - Math.clz32(value);
}
