// Laws that try as many cases as there is time for.

/**
 * Tells whether a law has tried for so long that its further cases are left out. The time begins with the first case,
 * which therefore is always tried: fast-check's own limit may end before that on a busy machine, which fails the law.
 */
export function timeLimit(limitMs: number): () => boolean {
  let endMs: number | undefined;
  return () => {
    endMs ??= performance.now() + limitMs;
    return performance.now() > endMs;
  };
}
