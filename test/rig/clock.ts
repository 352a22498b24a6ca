// Clocks for tests of what changed long enough ago, of what changed just now, and of what takes long.

/** Runs with a clock three seconds ahead, so that nothing counts as just changed. */
export function later<T>(body: () => Promise<T>): Promise<T> {
  return withClock(now => () => now() + 3000, body);
}

/** Runs with a clock that stands still, so that everything made from now on counts as just changed however long it takes. */
export function atOnce<T>(body: () => Promise<T>): Promise<T> {
  return withClock(now => {
    const moment = now();
    return () => moment;
  }, body);
}

/** Runs with a clock that moves on by 60 ms at each look at it: by it, everything takes long. */
export function slow<T>(body: () => Promise<T>): Promise<T> {
  let looks = 0;
  return withClock(now => () => now() + 60 * looks++, body);
}

/** `clockOf` makes a clock of the real one. */
async function withClock<T>(
  clockOf: (now: () => number) => () => number,
  body: () => Promise<T>,
): Promise<T> {
  const { now } = Date;
  Date.now = clockOf(now);
  try {
    return await body();
  } finally {
    Date.now = now;
  }
}
