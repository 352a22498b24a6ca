// The life of one vertex in a solve, as a pure transition function: what it knows, and what it asks for next.
// driver.ts performs the requests and feeds the answers back as events.
//
//   initial ──want──▶ mapping ──▶ querying(definition) ──hit──▶ known ◀─────────────┐
//                       │              │ miss                   ▲ ▲ │ want a result  │
//                       │              ▼                        │ │ ├─▶ loading ─────┘ (has a record)
//                       │           reading ─▶ querying(content)┘ │ │      │ lost
//                       │ (volatile)   (inputs by content)        │ ▼      ▼
//                       └─────────────────────────────────────────┘ gathering ─▶ executing ─▶ checking ─▶ saving
//   merged: another vertex has the same key.  failed: for good.                      │                      │
//                                                                                    └────────▶ complete ◀──┘
//   executing ──another process has made it meanwhile──▶ known
import type { Digest } from "../oci/digest.ts";
import { saltedKey, type Identity, type KeyedInput } from "./cachekey.ts";
import {
  isNameless,
  keyingOf,
  prospect,
  readableInputs,
  truthfulKeys,
  withContents,
  type Keying,
} from "./keying.ts";
import type { CacheKey, CacheMap, CacheRecord, ContentKey } from "./op.ts";

/** What never changes about a vertex during a solve. */
export interface EdgeFacts {
  /** Never ask the cache, always execute. */
  readonly forced: boolean;
  /** Differs in every run; enters the identity of forced executions. */
  readonly nonce: string;
}

export type QueryKind = "definition" | "content" | "forced";

export type Results<R> = ReadonlyMap<number, R>;

export type EdgeState<R> =
  /** Nobody has asked yet. */
  | { readonly tag: "initial" }
  /** Waiting for the cache map and for the identities of all inputs. */
  | { readonly tag: "mapping"; readonly map?: CacheMap<R>; readonly inputs?: readonly KeyedInput[] }
  /** A key is being looked up, in this solve and in the store. */
  | { readonly tag: "querying"; readonly kind: QueryKind; readonly keying: Keying<R> }
  /** Waiting for the content keys of the inputs that can be read. */
  | { readonly tag: "reading"; readonly keying: Keying<R> }
  /** Users can be keyed. Without a record the identity is the one the result will be saved under. */
  | {
      readonly tag: "known";
      readonly keying: Keying<R>;
      readonly identity: Identity;
      readonly record?: CacheRecord;
      readonly results: Results<R>;
    }
  /** Results are being taken from the cache. `loading` counts outstanding ones. */
  | {
      readonly tag: "loading";
      readonly keying: Keying<R>;
      readonly identity: Identity;
      readonly record: CacheRecord;
      readonly results: Results<R>;
      readonly asked: readonly number[];
      readonly loading: number;
      readonly lost: boolean;
    }
  /** Must execute; waiting for the results of all inputs. */
  | { readonly tag: "gathering"; readonly run: Run<R> }
  /** Waiting for a slot, or running. */
  | { readonly tag: "executing"; readonly run: Run<R> }
  /** Executed; looking whether the volatile inputs still are what the key says. */
  | { readonly tag: "checking"; readonly run: Run<R>; readonly outputs: Results<R> }
  /** Executed; the store is being told. */
  | { readonly tag: "saving"; readonly run: Run<R>; readonly outputs: Results<R> }
  | {
      readonly tag: "complete";
      readonly identity: Identity;
      readonly record?: CacheRecord;
      readonly results: Results<R>;
    }
  /** The holder of `key` does the work; `definition` can become another name of its record. */
  | { readonly tag: "merged"; readonly key: Digest; readonly definition?: CacheKey }
  /** `results` were loaded before another output turned out to be lost: users may hold them already. */
  | { readonly tag: "failed"; readonly error: unknown; readonly results: Results<R> };

/** A vertex that has to execute. */
export interface Run<R> {
  readonly keying: Keying<R>;
  readonly identity: Identity;
  /** Results that were loaded before another output turned out to be lost: users may hold them already. */
  readonly loaded: Results<R>;
  /** Why, when it is not simply a key that was never seen. */
  readonly because?: "forced" | "volatile" | "lost" | "doubt";
}

export type EdgeEvent<R> =
  /** Someone needs the identity (`index` undefined) or an output. */
  | { readonly type: "want"; readonly index?: number }
  | { readonly type: "mapped"; readonly map: CacheMap<R> }
  | { readonly type: "identified"; readonly inputs: readonly KeyedInput[] }
  | { readonly type: "queried"; readonly record: CacheRecord | undefined; readonly doubt?: boolean }
  | { readonly type: "merged"; readonly key: Digest }
  /** `inputs` as they are known now that some of them have been executed. */
  | {
      readonly type: "read";
      readonly contents: readonly (ContentKey | undefined)[];
      readonly inputs: readonly KeyedInput[];
    }
  | { readonly type: "loaded"; readonly index: number; readonly result: R | undefined }
  | { readonly type: "gathered" }
  /** `inputs` as they are known now: executing them may have renamed them. */
  | {
      readonly type: "executed";
      readonly outputs: Results<R>;
      readonly inputs: readonly KeyedInput[];
      /** It used something that its key says nothing of: the result is not kept. */
      readonly unkept?: boolean;
    }
  /** Need not execute: another process has done so meanwhile. `names` are to be further keys of the record. */
  | {
      readonly type: "found";
      readonly record: CacheRecord;
      readonly results: Results<R>;
      readonly names: readonly CacheKey[];
    }
  | { readonly type: "checked"; readonly same: boolean; readonly inputs: readonly KeyedInput[] }
  | { readonly type: "saved"; readonly record: CacheRecord | undefined }
  | { readonly type: "failed"; readonly error: unknown }
  /** Nobody wants it any more, and nothing of it is running. */
  | { readonly type: "abandoned" };

export type EdgeRequest =
  | { readonly type: "map" }
  | { readonly type: "identify" }
  /** Answer "merged" when another vertex holds the key; else hold it and, if `ask`, ask the store. */
  | { readonly type: "query"; readonly key: CacheKey; readonly ask: boolean }
  /** Content keys of these inputs. */
  | { readonly type: "read"; readonly inputs: readonly number[] }
  | { readonly type: "link"; readonly key: CacheKey; readonly record: CacheRecord }
  | { readonly type: "load"; readonly record: CacheRecord; readonly index: number }
  | { readonly type: "gather" }
  | { readonly type: "execute" }
  /** Content keys of these inputs once more, to compare. */
  | { readonly type: "check"; readonly inputs: readonly number[] }
  /** Save under `keys`; make `names` further names of the record, replacing what they named before. */
  | { readonly type: "save"; readonly keys: readonly CacheKey[]; readonly names: readonly CacheKey[] };

export interface Step<R> {
  readonly state: EdgeState<R>;
  readonly requests: readonly EdgeRequest[];
}

const NONE: readonly EdgeRequest[] = [];
const EMPTY: ReadonlyMap<number, never> = new Map<number, never>();

/** The next state and what it asks for. Events that no longer matter leave the state as it is. */
export function step<R>(facts: EdgeFacts, state: EdgeState<R>, event: EdgeEvent<R>): Step<R> {
  if (event.type === "failed")
    return state.tag === "complete"
      ? stay(state)
      : { state: { tag: "failed", error: event.error, results: resultsOf(state) }, requests: NONE };
  if (event.type === "abandoned") return abandon(state);
  switch (state.tag) {
    case "initial":
      if (event.type !== "want") return stay(state);
      return { state: { tag: "mapping" }, requests: [{ type: "map" }, { type: "identify" }] };
    case "mapping": {
      const map = event.type === "mapped" ? event.map : state.map;
      const inputs = event.type === "identified" ? event.inputs : state.inputs;
      if (map !== undefined && inputs !== undefined) return keyed(facts, map, inputs);
      return { state: { tag: "mapping", ...(map && { map }), ...(inputs && { inputs }) }, requests: NONE };
    }
    case "querying":
      if (event.type === "merged") {
        const definition = state.kind === "content" ? state.keying.definition : undefined;
        return {
          state: { tag: "merged", key: event.key, ...(definition && { definition }) },
          requests: NONE,
        };
      }
      return event.type === "queried" ? queried(facts, state.kind, state.keying, event) : stay(state);
    case "reading":
      return event.type === "read" ? read(facts, state.keying, event) : stay(state);
    case "known":
      if (event.type !== "want" || event.index === undefined || state.results.has(event.index))
        return stay(state);
      if (state.record === undefined)
        return gather(facts, state.keying, state.identity, state.results, false);
      return {
        state: {
          ...state,
          tag: "loading",
          record: state.record,
          asked: [event.index],
          loading: 1,
          lost: false,
        },
        requests: [{ type: "load", record: state.record, index: event.index }],
      };
    case "loading":
      return loading(facts, state, event);
    case "gathering":
      if (event.type !== "gathered") return stay(state);
      return { state: { tag: "executing", run: state.run }, requests: [{ type: "execute" }] };
    case "executing":
      if (event.type === "found") return found(state.run, event);
      return event.type === "executed" ? executed(facts, state.run, event) : stay(state);
    case "checking":
      if (event.type !== "checked") return stay(state);
      if (!event.same)
        return { state: { tag: "complete", identity: "volatile", results: state.outputs }, requests: NONE };
      return save(facts, state.run, state.outputs, event.inputs);
    case "saving":
      return event.type === "saved" ? saved(state, event.record) : stay(state);
    case "complete":
    case "merged":
    case "failed":
      return stay(state);
    default: {
      const never: never = state;
      return never;
    }
  }
}

/** What stands for the vertex in its users' keys, once known. */
export function identityOf<R>(state: EdgeState<R>): Identity | undefined {
  switch (state.tag) {
    case "known":
    case "loading":
    case "complete":
      return state.identity;
    case "gathering":
    case "executing":
    case "checking":
    case "saving":
      return state.run.identity;
    default:
      return undefined;
  }
}

/** Results at hand. While a vertex executes, those loaded earlier stay valid. */
export function resultsOf<R>(state: EdgeState<R>): Results<R> {
  switch (state.tag) {
    case "known":
    case "loading":
    case "complete":
    case "failed":
      return state.results;
    case "gathering":
    case "executing":
    case "checking":
    case "saving":
      return state.run.loaded;
    default:
      return EMPTY;
  }
}

/** The record that holds the results, when the store has one. */
export function recordOf<R>(state: EdgeState<R>): CacheRecord | undefined {
  return state.tag === "known" || state.tag === "loading" || state.tag === "complete"
    ? state.record
    : undefined;
}

/** Whether the vertex neither waits for anything nor needs its inputs. */
export function isIdle<R>(state: EdgeState<R>): boolean {
  return (
    state.tag === "initial" ||
    state.tag === "known" ||
    state.tag === "complete" ||
    state.tag === "merged" ||
    state.tag === "failed"
  );
}

function stay<R>(state: EdgeState<R>): Step<R> {
  return { state, requests: NONE };
}

function keyed<R>(facts: EdgeFacts, map: CacheMap<R>, inputs: readonly KeyedInput[]): Step<R> {
  const keying = keyingOf(map, inputs);
  const { definition } = keying;
  const readable = readableInputs(keying);
  if (isNameless(keying))
    return { state: { tag: "known", keying, identity: "volatile", results: EMPTY }, requests: NONE };
  // A forced vertex executes anyway, so its inputs' content costs nothing extra, and the content key must not go on
  // naming an older record.
  if (definition === undefined || (facts.forced && readable.length > 0)) {
    return { state: { tag: "reading", keying }, requests: [{ type: "read", inputs: readable }] };
  }
  return query(facts, facts.forced ? "forced" : "definition", keying, definition);
}

function query<R>(facts: EdgeFacts, kind: QueryKind, keying: Keying<R>, key: CacheKey): Step<R> {
  const sought = kind === "forced" ? saltedKey(key, facts.nonce) : key;
  return {
    state: { tag: "querying", kind, keying },
    requests: [{ type: "query", key: sought, ask: kind !== "forced" }],
  };
}

function queried<R>(
  facts: EdgeFacts,
  kind: QueryKind,
  before: Keying<R>,
  event: { readonly record: CacheRecord | undefined; readonly doubt?: boolean },
): Step<R> {
  const keying = event.doubt === true ? { ...before, doubt: true } : before;
  const { record } = event;
  if (record !== undefined) {
    const known: EdgeState<R> = { tag: "known", keying, identity: record.id, record, results: EMPTY };
    if (kind !== "content" || keying.definition === undefined) return { state: known, requests: NONE };
    return { state: known, requests: [{ type: "link", key: keying.definition, record }] };
  }
  const readable = readableInputs(keying);
  if (kind === "definition" && readable.length > 0) {
    return { state: { tag: "reading", keying }, requests: [{ type: "read", inputs: readable }] };
  }
  return {
    state: { tag: "known", keying, identity: prospect(facts, keying), results: EMPTY },
    requests: NONE,
  };
}

function read<R>(
  facts: EdgeFacts,
  before: Keying<R>,
  { contents, inputs }: EdgeEvent<R> & { readonly type: "read" },
): Step<R> {
  const keying = withContents(before, inputs, contents);
  const { definition, content } = keying;
  const key = facts.forced ? (definition ?? content) : content;
  if (key === undefined)
    return { state: { tag: "known", keying, identity: "volatile", results: EMPTY }, requests: NONE };
  return query(facts, facts.forced ? "forced" : "content", keying, key);
}

function loading<R>(
  facts: EdgeFacts,
  state: EdgeState<R> & { readonly tag: "loading" },
  event: EdgeEvent<R>,
): Step<R> {
  if (event.type === "want") {
    if (event.index === undefined || state.asked.includes(event.index) || state.results.has(event.index))
      return stay(state);
    return {
      state: { ...state, asked: [...state.asked, event.index], loading: state.loading + 1 },
      requests: [{ type: "load", record: state.record, index: event.index }],
    };
  }
  if (event.type !== "loaded") return stay(state);
  const results =
    event.result === undefined ? state.results : new Map(state.results).set(event.index, event.result);
  const lost = state.lost || event.result === undefined;
  if (state.loading > 1)
    return { state: { ...state, results, lost, loading: state.loading - 1 }, requests: NONE };
  const { keying, identity, record } = state;
  if (lost) return gather(facts, keying, identity, results, true);
  return { state: { tag: "known", keying, identity, record, results }, requests: NONE };
}

function gather<R>(
  facts: EdgeFacts,
  keying: Keying<R>,
  identity: Identity,
  loaded: Results<R>,
  lost: boolean,
): Step<R> {
  const because = facts.forced
    ? "forced"
    : identity === "volatile"
      ? "volatile"
      : lost
        ? "lost"
        : keying.doubt
          ? "doubt"
          : undefined;
  const run: Run<R> = { keying, identity, loaded, ...(because && { because }) };
  return { state: { tag: "gathering", run }, requests: [{ type: "gather" }] };
}

function executed<R>(
  facts: EdgeFacts,
  run: Run<R>,
  event: EdgeEvent<R> & { readonly type: "executed" },
): Step<R> {
  // What users hold already stays what they get.
  const outputs = run.loaded.size === 0 ? event.outputs : new Map([...event.outputs, ...run.loaded]);
  if (event.unkept === true)
    return { state: { tag: "complete", identity: "volatile", results: outputs }, requests: NONE };
  const { contents } = run.keying;
  const moving: number[] = [];
  if (run.identity !== "volatile" && contents !== undefined) {
    for (const [i, input] of event.inputs.entries())
      if (input.identity === "volatile" && contents[i] !== undefined) moving.push(i);
  }
  if (moving.length > 0)
    return { state: { tag: "checking", run, outputs }, requests: [{ type: "check", inputs: moving }] };
  return save(facts, run, outputs, event.inputs);
}

function found<R>(
  { keying, loaded }: Run<R>,
  { record, results, names }: EdgeEvent<R> & { readonly type: "found" },
): Step<R> {
  return {
    state: {
      tag: "known",
      keying,
      // Users keyed by what it was called before are saved under both names, as when it is saved itself.
      identity: record.id,
      record,
      // What users hold already stays what they get.
      results: new Map([...results, ...loaded]),
    },
    requests: names.map(key => ({ type: "link", key, record })),
  };
}

function save<R>(facts: EdgeFacts, run: Run<R>, outputs: Results<R>, inputs: readonly KeyedInput[]): Step<R> {
  const keys = run.identity === "volatile" ? [] : truthfulKeys(run.keying, inputs);
  const first = keys[0];
  if (first === undefined)
    return { state: { tag: "complete", identity: "volatile", results: outputs }, requests: NONE };
  if (!facts.forced) {
    const own = run.keying.definition ?? run.keying.content;
    const identity = own !== undefined && keys.includes(own) ? run.identity : first.digest;
    return {
      state: { tag: "saving", run: { ...run, identity }, outputs },
      requests: [{ type: "save", keys, names: [] }],
    };
  }
  const fresh = saltedKey(first, facts.nonce);
  const state: EdgeState<R> = { tag: "saving", run: { ...run, identity: fresh.digest }, outputs };
  return { state, requests: [{ type: "save", keys: [fresh], names: keys }] };
}

function saved<R>(
  state: EdgeState<R> & { readonly tag: "saving" },
  record: CacheRecord | undefined,
): Step<R> {
  const { run, outputs } = state;
  const identity = record?.id ?? run.identity;
  return {
    state: { tag: "complete", identity, ...(record && { record }), results: outputs },
    requests: NONE,
  };
}

function abandon<R>(state: EdgeState<R>): Step<R> {
  switch (state.tag) {
    case "mapping":
    case "querying":
    case "reading":
      return stay({ tag: "initial" });
    case "gathering":
    case "executing":
      // Users may have been keyed by the identity: it must stay what it is.
      return stay({
        tag: "known",
        keying: state.run.keying,
        identity: state.run.identity,
        results: state.run.loaded,
      });
    default:
      return stay(state);
  }
}
