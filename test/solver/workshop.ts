// Steps and solvers for tests: in-memory ops that a test can hold, and a record of what happened.
import { digestOf, type Digest } from "../../src/oci/digest.ts";
import type { ProgressEvent } from "../../src/progress/event.ts";
import type { CacheStore, Edge, KeyPart, OpContext, Pool, Vertex } from "../../src/solver/op.ts";
import { createPools } from "../../src/solver/pools.ts";
import { createSolver, type SolveOptions, type Solver } from "../../src/solver/scheduler.ts";
import { createMemoryStore } from "./memorystore.ts";

/** What a step made: a text. Objects, so that releases can be counted. */
export interface Made {
  readonly text: string;
}

export interface StepOptions {
  readonly inputs?: readonly (Edge<Made> | Vertex<Made>)[];
  /** What enters the key; the name of the step by default. */
  readonly command?: string;
  /** Inputs that are keyed by content. */
  readonly reads?: readonly number[];
  readonly volatile?: boolean;
  readonly pool?: Pool;
  readonly ignoreCache?: boolean;
  /** Instead of a text made of name and inputs. */
  readonly run?: (inputs: readonly Made[], context: OpContext) => Promise<string>;
  readonly cacheMap?: () => Promise<void>;
}

export interface Workshop {
  /** Names of steps that began to execute, in order. */
  readonly executed: string[];
  readonly events: ProgressEvent[];
  readonly released: Made[];
  readonly contentReads: string[];
  readonly loads: Digest[];
  readonly store: ReturnType<typeof createMemoryStore<Made>>;
  step(name: string, options?: StepOptions): Vertex<Made>;
  /** A new session over the same store. */
  solver(options?: Partial<SolveOptions<Made>> & { readonly slots?: number }): Solver<Made>;
  /** Solves in a session of its own; texts of the results. */
  build(
    roots: readonly Vertex<Made>[],
    options?: Partial<SolveOptions<Made>> & { readonly slots?: number },
  ): Promise<readonly string[]>;
  /** Reasons of the last `build`, by name. */
  readonly reasons: Map<string, string>;
  /** Types of events about a step, in order. */
  told(name: string): readonly string[];
}

export const never = new AbortController().signal;

export function edge(vertex: Vertex<Made>, index = 0): Edge<Made> {
  return { vertex, index };
}

export function createWorkshop(): Workshop {
  const executed: string[] = [];
  const events: ProgressEvent[] = [];
  const released: Made[] = [];
  const contentReads: string[] = [];
  const loads: Digest[] = [];
  const reasons = new Map<string, string>();
  const store = createMemoryStore<Made>({ keep: ({ text }) => ({ text }), give: ({ text }) => ({ text }) });
  const watched: CacheStore<Made> = {
    ...store,
    load(record, index) {
      loads.push(record.id);
      return store.load(record, index);
    },
  };
  let runs = 0;

  const workshop: Workshop = {
    executed,
    events,
    released,
    contentReads,
    loads,
    store,
    reasons,
    step(
      name,
      {
        inputs = [],
        command = name,
        reads = [],
        volatile = false,
        pool = "cpu",
        ignoreCache = false,
        run,
        cacheMap,
      } = {},
    ) {
      const edges = inputs.map(input => ("vertex" in input ? input : edge(input)));
      const parts: readonly KeyPart[] = [{ label: "command", value: command, shown: command }];
      const identity = [name, command, ...edges.map(({ vertex, index }) => `${vertex.digest}#${index}`)];
      return {
        digest: digestOf(JSON.stringify(identity)),
        name,
        inputs: edges,
        ignoreCache,
        op: {
          pool,
          async cacheMap() {
            await cacheMap?.();
            const contentKey = (input: Made): Promise<{ digest: Digest; parts: KeyPart[] }> => {
              contentReads.push(name);
              return Promise.resolve({
                digest: digestOf(input.text),
                parts: [{ label: "file a.txt", value: input.text }],
              });
            };
            return {
              parts,
              volatile,
              inputs: edges.map((_, i) => (reads.includes(i) ? { contentKey } : {})),
            };
          },
          async exec(given, context) {
            executed.push(name);
            if (run !== undefined) return [{ text: await run(given, context) }];
            return [{ text: `${command}(${given.map(({ text }) => text).join()})` }];
          },
        },
      };
    },
    solver({ slots = 8, ...options } = {}) {
      runs++;
      return createSolver<Made>({
        store: watched,
        clock: { now: () => 0 },
        emit: event => void events.push(event),
        signal: never,
        release(result) {
          released.push(result);
          return Promise.resolve();
        },
        pools: createPools({ cpu: slots, network: slots }),
        nonce: `run ${runs}`,
        ...options,
      });
    },
    async build(roots, options) {
      executed.length = events.length = contentReads.length = loads.length = 0;
      reasons.clear();
      await using solver = workshop.solver(options);
      const results = await solver.solve(
        roots.map(root => edge(root)),
        never,
      );
      for (const event of events) {
        const reason = event.type === "step" ? solver.reasonOf(event.id as Digest) : undefined;
        if (event.type === "step" && reason !== undefined) reasons.set(event.name, reason);
      }
      return results.map(({ text }) => text);
    },
    told(name) {
      const ids = new Set(
        events.flatMap(event => (event.type === "step" && event.name === name ? [event.id] : [])),
      );
      return events.flatMap(event =>
        event.type !== "warning" && event.type !== "reason" && ids.has(event.id) ? [event.type] : [],
      );
    },
  };
  return workshop;
}

/** A promise a test settles, and what it settles when the other side has come to wait for it. */
export interface Hold {
  readonly entered: Promise<void>;
  /** To be awaited by the step: settles when the test says so, rejects when the signal aborts. */
  wait(signal?: AbortSignal): Promise<void>;
  open(): void;
}

export function createHold(): Hold {
  let enter: (() => void) | undefined;
  let open: (() => void) | undefined;
  const entered = new Promise<void>(resolve => (enter = resolve));
  const opened = new Promise<void>(resolve => (open = resolve));
  return {
    entered,
    open: () => open?.(),
    wait(signal) {
      enter?.();
      return new Promise((resolve, reject) => {
        opened.then(resolve, reject);
        signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")), {
          once: true,
        });
      });
    },
  };
}
