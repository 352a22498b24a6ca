// A clock that is ahead, for tests of what changed long enough ago.

/** Runs with a clock three seconds ahead, so that nothing counts as just changed. */
export async function later<T>(body: () => Promise<T>): Promise<T> {
  const now = Date.now;
  Date.now = () => now() + 3000;
  try {
    return await body();
  } finally {
    Date.now = now;
  }
}
