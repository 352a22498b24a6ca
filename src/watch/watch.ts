// Builds, and builds again whenever an input changes, until told to stop.
import { BakeError, isAbort } from "../diagnostic/error.ts";
import type { WatchInputs } from "./inputs.ts";
import { initialStep, stepWatch, type WatchEvent, type WatchState, type WatchStep } from "./state.ts";
import { createWatcher } from "./watcher.ts";

export interface Rebuild {
  /** Aborted when the run is stale or watching ends. */
  readonly signal: AbortSignal;
  /** Paths that changed since the last run; empty for the first. */
  readonly changed: readonly string[];
  /**
   * To be awaited once the inputs are known and before they are read, so that no change is missed. Until a run calls it
   * the inputs of the run before stay watched, so that a broken bake file can be mended.
   */
  readonly watching: (inputs: WatchInputs) => Promise<void>;
}

export interface WatchDeps {
  /** Loads and builds. What it throws is handed to `onError`, and watching goes on. */
  readonly rebuild: (run: Rebuild) => Promise<void>;
  /** What is watched before the first run has said more. */
  readonly inputs: WatchInputs;
  readonly onError: (error: BakeError) => void;
  /** Nothing runs and nothing is pending: changes are waited for. */
  readonly onIdle: () => void;
}

/** Resolves when `signal` aborts and the last run has let go of everything. */
export async function watch(deps: WatchDeps, signal: AbortSignal): Promise<void> {
  const changed = new Set<string>();
  let state: WatchState = initialStep.state;
  let timer: NodeJS.Timeout | undefined;
  let run: { readonly controller: AbortController; readonly settled: Promise<void> } | undefined;
  let stop = (): void => undefined;
  const stopped = new Promise<void>(resolve => (stop = resolve));

  const watcher = createWatcher({
    onChange: path => {
      changed.add(path);
      dispatch({ type: "change", at: Date.now() });
    },
    onNotice: deps.onError,
  });

  const startRun = (): void => {
    const controller = new AbortController();
    const paths = [...changed].sort();
    changed.clear();
    const settled = deps
      .rebuild({ signal: controller.signal, changed: paths, watching: inputs => watcher.watch(inputs) })
      .catch((thrown: unknown) => {
        if (
          !controller.signal.aborted ||
          !(isAbort(thrown) || BakeError.from(thrown).code === "interrupted")
        ) {
          deps.onError(BakeError.from(thrown));
        }
      })
      .finally(() => {
        run = undefined;
        dispatch({ type: "settled", at: Date.now() });
      });
    run = { controller, settled };
  };
  const apply = ({ state: next, actions }: WatchStep): void => {
    const before = state.tag;
    state = next;
    for (const action of actions) {
      switch (action.type) {
        case "run":
          startRun();
          break;
        case "abort":
          run?.controller.abort();
          break;
        case "tickAt":
          clearTimeout(timer);
          timer = setTimeout(
            () => dispatch({ type: "tick", at: Date.now() }),
            Math.max(0, action.at - Date.now()),
          );
          break;
        default: {
          const never: never = action;
          return never;
        }
      }
    }
    if (next.tag === "watching" && before !== "watching") deps.onIdle();
  };
  const dispatch = (event: WatchEvent): void => apply(stepWatch(state, event));

  const onAbort = (): void => {
    dispatch({ type: "stop" });
    stop();
  };
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await watcher.watch(deps.inputs);
    if (signal.aborted) return;
    apply(initialStep);
    await stopped;
    await run?.settled;
  } finally {
    signal.removeEventListener("abort", onAbort);
    clearTimeout(timer);
    await watcher.close();
  }
}
