// What is said of attempts that are repeated. Whoever waits listens; what lies between them and a request need not know:
// the listener goes with the signal, which everything that takes its time is given.

/** Gets a line for people, without an end of line. */
export type PatienceListener = (line: string) => void;

const listeners = new WeakMap<AbortSignal, PatienceListener>();
const attemptsMade = new WeakMap<object, number>();

/** A signal that aborts as `signal` does: what is repeated in work that is given it is told to `listener`. */
export function heardBy(listener: PatienceListener, signal: AbortSignal): AbortSignal {
  const heard = AbortSignal.any([signal]);
  listeners.set(heard, listener);
  return heard;
}

/** A signal that aborts as either does, and is heard by who hears the first. */
export function heardAlike(signal: AbortSignal, other: AbortSignal): AbortSignal {
  const either = AbortSignal.any([signal, other]);
  const listener = listeners.get(signal);
  if (listener !== undefined) listeners.set(either, listener);
  return either;
}

/** An attempt that follows one which failed. */
export interface Retry {
  readonly problem: string;
  readonly pauseMs: number;
  /** Its number, from 2 on, and how many there may be. */
  readonly attempt: number;
  readonly attempts: number;
}

/** Tells who hears `signal` that another attempt follows. */
export function tellRetry(
  signal: AbortSignal | undefined,
  { problem, pauseMs, attempt, attempts }: Retry,
): void {
  const seconds = (pauseMs / 1000).toFixed(1);
  const listener = signal && listeners.get(signal);
  listener?.(`${problem}; trying again in ${seconds} s (attempt ${attempt} of ${attempts})`);
}

/** Remembers how many attempts an answer or a failure took. */
export function noteAttempts<T extends object>(outcome: T, attempts: number): T {
  attemptsMade.set(outcome, attempts);
  return outcome;
}

/** " after 3 attempts" when there was more than one, else nothing: the end of an error's message. */
export function afterAttempts(outcome: unknown): string {
  const attempts = typeof outcome === "object" && outcome !== null ? attemptsMade.get(outcome) : undefined;
  return attempts === undefined || attempts < 2 ? "" : ` after ${attempts} attempts`;
}
