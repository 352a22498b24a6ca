// The shared store as one process of a simulation sees it: late, unreliable, and read-only once the process is dead.
import assert from "node:assert/strict";
import { digestOf, type Digest } from "../../src/oci/digest.ts";
import type { CacheStore } from "../../src/solver/op.ts";
import { dropClaim, type Handle, type Life, type RunState } from "./life.ts";

export function faultyStore(
  { random, clock, swarm, store, marks }: Life,
  state: RunState,
  process: number,
  onLoad: (handle: Handle) => void,
  log: (text: string) => void,
): CacheStore<Handle> {
  const meddle = async (what: string, write: boolean): Promise<void> => {
    if (swarm.storeDelay > 0) await clock.sleep(random.below(swarm.storeDelay + 1));
    if (write && state.dead.has(process)) throw new Error(`a dead process cannot ${what}`);
    const fails = ++state.storeCalls === state.run.failStoreCall || random.chance(swarm.storeErrors);
    if (!fails || (write && swarm.impure)) return;
    log(`store fails to ${what}`);
    throw new Error(`store cannot ${what}`);
  };
  const saved = new Set<Digest>();
  return {
    async query(key) {
      await meddle("query", false);
      if (swarm.corrupt > 0 && random.chance(swarm.corrupt)) {
        marks.add("corrupt record");
        log(`store answers with a record that is not there`);
        return { id: digestOf(`nothing ${random.next()}`) };
      }
      return store.query(key);
    },
    async load(record, index) {
      await meddle("load", false);
      const handle = await store.load(record, index);
      if (handle !== undefined) onLoad(handle);
      return handle;
    },
    async save(keys, vertex, results) {
      await meddle("save", true);
      for (const result of results) {
        if (result === undefined) continue;
        assert.equal(result.source, undefined, "a volatile result is saved");
        assert.equal(result.released, 0, "a released result is saved");
      }
      const before = store.keys.get(keys[0]?.digest ?? ("" as Digest));
      const record = await store.save(keys, vertex, results);
      if (before !== undefined && !saved.has(record.id) && state.run.jobs.length > 1)
        marks.add("saved by another first");
      saved.add(record.id);
      return record;
    },
    async link(key, record) {
      await meddle("link", true);
      if (key.parts.some(part => part.label.startsWith("input")) && !swarm.impure)
        marks.add("content key hit");
      await store.link(key, record);
    },
    async claim(key, wait) {
      await meddle("claim", false);
      for (let told = false; state.claims.has(key); told = true) {
        const claim = state.claims.get(key);
        assert.notEqual(claim?.process, process, "a process waits for its own claim");
        if (wait === undefined) return undefined;
        if (!told) wait.onWait(`process ${claim?.process}`);
        marks.add("waited for another process");
        log("waits for a claim");
        await new Promise<void>((resolve, reject) => {
          const stop = (): void => reject(new DOMException("aborted", "AbortError"));
          if (wait.signal.aborted) return stop();
          wait.signal.addEventListener("abort", stop, { once: true });
          claim?.over.push(resolve);
        });
      }
      const mine = { process, over: [] };
      state.claims.set(key, mine);
      return {
        release() {
          // The kernel has taken away those of the dead.
          if (state.claims.get(key) === mine) dropClaim(state, key);
        },
      };
    },
    async previousParts(vertex) {
      await meddle("explain", false);
      return store.previousParts?.(vertex);
    },
  };
}
