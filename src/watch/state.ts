// What the watcher does next, as a pure function of its state and what happens.
//
//                    change                quiet
//     watching ───────────────▶ debouncing ──────▶ running ──settled──▶ watching
//                                   ▲                 │ change
//                                   │                 ├─────▶ aborted ──settled──▶ debouncing
//                                   └──────settled────┴─────▶ queued
//
// A change during a run makes its result stale: the run is aborted and a new one follows. When that has happened a few
// times in a row the run is left to end (queued), so that somebody who saves every second gets results too.

export type WatchState =
  | { readonly tag: "watching" }
  /** Waits for a burst of changes to end. `since` is the first change of it, `until` when it counts as over. */
  | {
      readonly tag: "debouncing";
      readonly since: number;
      readonly until: number;
      readonly abortedRuns: number;
    }
  | { readonly tag: "running"; readonly abortedRuns: number }
  /** Runs on, and another run follows. */
  | { readonly tag: "queued" }
  /** The run is being stopped; another one follows when it has let go of everything. */
  | { readonly tag: "aborted"; readonly abortedRuns: number }
  | { readonly tag: "stopped" };

/** Times in milliseconds, from any one clock. */
export type WatchEvent =
  | { readonly type: "change"; readonly at: number }
  | { readonly type: "tick"; readonly at: number }
  | { readonly type: "settled"; readonly at: number }
  | { readonly type: "stop" };

export type WatchAction =
  | { readonly type: "run" }
  | { readonly type: "abort" }
  /** Send a tick at this time. An earlier wish for a tick is replaced. */
  | { readonly type: "tickAt"; readonly at: number };

export interface WatchStep {
  readonly state: WatchState;
  readonly actions: readonly WatchAction[];
}

/** A burst is over when nothing changed for this long. */
export const QUIET_MS = 100;
/** A burst that does not end is acted upon after this long. */
export const MAX_BURST_MS = 1_000;
/** After so many aborted runs in a row, the next one is left to end. */
export const MAX_ABORTED_RUNS = 3;

/** The watcher begins with a run. */
export const initialStep: WatchStep = {
  state: { tag: "running", abortedRuns: 0 },
  actions: [{ type: "run" }],
};

/** The next state and what is to be done. Events that no longer matter leave the state as it is. */
export function stepWatch(state: WatchState, event: WatchEvent): WatchStep {
  const stay: WatchStep = { state, actions: [] };
  if (event.type === "stop") {
    const busy = state.tag === "running" || state.tag === "queued";
    return { state: { tag: "stopped" }, actions: busy ? [{ type: "abort" }] : [] };
  }
  switch (state.tag) {
    case "watching":
      return event.type === "change" ? debounce(event.at, event.at, 0) : stay;
    case "debouncing":
      if (event.type === "change") return debounce(state.since, event.at, state.abortedRuns);
      if (event.type !== "tick") return stay;
      if (event.at < state.until) return { state, actions: [{ type: "tickAt", at: state.until }] };
      return { state: { tag: "running", abortedRuns: state.abortedRuns }, actions: [{ type: "run" }] };
    case "running":
      if (event.type === "settled") return { state: { tag: "watching" }, actions: [] };
      if (event.type !== "change") return stay;
      if (state.abortedRuns >= MAX_ABORTED_RUNS) return { state: { tag: "queued" }, actions: [] };
      return { state: { tag: "aborted", abortedRuns: state.abortedRuns + 1 }, actions: [{ type: "abort" }] };
    case "queued":
      return event.type === "settled" ? debounce(event.at, event.at, 0) : stay;
    case "aborted":
      return event.type === "settled" ? debounce(event.at, event.at, state.abortedRuns) : stay;
    case "stopped":
      return stay;
    default: {
      const never: never = state;
      return never;
    }
  }
}

function debounce(since: number, at: number, abortedRuns: number): WatchStep {
  const until = Math.min(at + QUIET_MS, since + MAX_BURST_MS);
  return {
    state: { tag: "debouncing", since, until, abortedRuns },
    actions: [{ type: "tickAt", at: until }],
  };
}
