// What is said of attempts that are repeated. Whoever waits listens; what lies between them and a request need not know:
// the listener travels with the asynchronous context.
import { AsyncLocalStorage } from "node:async_hooks";

/** Gets a line for people, without an end of line. */
export type PatienceListener = (line: string) => void;

const listeners = new AsyncLocalStorage<PatienceListener>();
/** Calls under way. Without any the contexts are let go: following them makes every promise of the program dearer. */
let listening = 0;
const attemptsMade = new WeakMap<object, number>();

/** Runs `work`; what is repeated within it is told to `listener`. */
export async function listenForRetries<T>(listener: PatienceListener, work: () => Promise<T>): Promise<T> {
  listening += 1;
  try {
    return await listeners.run(listener, work);
  } finally {
    listening -= 1;
    if (listening === 0) listeners.disable();
  }
}

/** Tells that an attempt failed and another one follows. `attempt` is the number of the one that follows. */
export function tellRetry(problem: string, pauseMs: number, attempt: number, attempts: number): void {
  const seconds = (pauseMs / 1000).toFixed(1);
  listeners.getStore()?.(`${problem}; trying again in ${seconds} s (attempt ${attempt} of ${attempts})`);
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
