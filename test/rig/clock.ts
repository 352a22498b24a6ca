// Clocks for tests of what changed long enough ago, and of what changed just now.

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

/** Runs with a clock that stands still, so that everything made from now on counts as just changed however long it takes. */
export async function atOnce<T>(body: () => Promise<T>): Promise<T> {
  const now = Date.now;
  const moment = now();
  Date.now = () => moment;
  try {
    return await body();
  } finally {
    Date.now = now;
  }
}

/** Runs with a clock that moves on by 60 ms at each look at it: by it, everything takes long. */
export async function slow<T>(body: () => Promise<T>): Promise<T> {
  const now = Date.now;
  let looks = 0;
  Date.now = () => now() + 60 * looks++;
  try {
    return await body();
  } finally {
    Date.now = now;
  }
}
