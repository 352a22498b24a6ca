// "did you mean": the nearest known name to one a user typed.

/** Edit distance (insert, delete, replace, swap of neighbours); some number above `limit` when it exceeds that. */
export function editDistance(a: string, b: string, limit = Infinity): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, (beforeLast[j - 2] ?? 0) + 1);
      row.push(best);
    }
    if (Math.min(...row) > limit && Math.min(...last) > limit) return limit + 1;
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}

/** More candidates of about the right length are not looked at: thousands of names are made by a program. */
const MAX_CANDIDATES = 5000;

/** The candidate nearest to `name`, when one is near enough to be a likely slip; ties go to the first by name. */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  const limit = Math.max(1, Math.min(3, Math.floor(name.length / 2)));
  let best: string | undefined;
  // A name replaced from end to end is no slip.
  let bestDistance = Math.min(limit + 1, Math.max(1, name.length));
  const wanted = name.toLowerCase();
  let left = MAX_CANDIDATES;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - name.length) > limit) continue;
    if (--left < 0) break;
    const distance = editDistance(wanted, candidate.toLowerCase(), limit);
    const better =
      distance < bestDistance || (best !== undefined && distance === bestDistance && candidate < best);
    if (better) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** `did you mean "x"?`, or undefined when nothing is near. */
export function didYouMean(name: string, candidates: Iterable<string>): string | undefined {
  const found = nearest(name, candidates);
  return found === undefined ? undefined : `did you mean "${found}"?`;
}
