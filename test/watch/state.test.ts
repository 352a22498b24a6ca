import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  initialStep,
  MAX_ABORTED_RUNS,
  MAX_BURST_MS,
  QUIET_MS,
  stepWatch,
  type WatchAction,
  type WatchEvent,
  type WatchState,
} from "../../src/watch/state.ts";

/** Feeds events from the initial state on; gives the state and all actions after the first run. */
function feed(...events: readonly WatchEvent[]): {
  readonly state: WatchState;
  readonly actions: readonly WatchAction[];
} {
  let state = initialStep.state;
  const actions: WatchAction[] = [];
  for (const event of events) {
    const step = stepWatch(state, event);
    state = step.state;
    actions.push(...step.actions);
  }
  return { state, actions };
}

const change = (at: number): WatchEvent => ({ type: "change", at });
const tick = (at: number): WatchEvent => ({ type: "tick", at });
const settled = (at: number): WatchEvent => ({ type: "settled", at });
const stop: WatchEvent = { type: "stop" };
const runs = (actions: readonly WatchAction[]): number => actions.filter(({ type }) => type === "run").length;

test("watching begins with a run, and waits for changes when it has ended", () => {
  assert.deepEqual(initialStep.actions, [{ type: "run" }]);
  assert.deepEqual(feed(settled(5)), { state: { tag: "watching" }, actions: [] });
});

test("a burst of changes becomes one run, after it has ended", () => {
  const { state, actions } = feed(settled(0), change(10), change(50), change(90), tick(110), tick(190));
  assert.equal(state.tag, "running");
  assert.equal(runs(actions), 1);
  assert.deepEqual(actions.at(-2), { type: "tickAt", at: 90 + QUIET_MS });
});

test("a burst that does not end is acted upon after a while", () => {
  const changes = Array.from({ length: 40 }, (_, i) => change(i * 50));
  const { state } = feed(settled(0), ...changes.slice(0, 21));
  assert.deepEqual(state, { tag: "debouncing", since: 0, until: MAX_BURST_MS, abortedRuns: 0 });
});

test("a change during a run aborts it, and one run follows when it has let go", () => {
  const { state, actions } = feed(change(10), change(20), settled(30), tick(130));
  assert.equal(state.tag, "running");
  assert.deepEqual(actions, [{ type: "abort" }, { type: "tickAt", at: 130 }, { type: "run" }]);
});

test("after several aborted runs in a row a run is left to end, and one more follows", () => {
  const events: WatchEvent[] = [];
  let at = 0;
  for (let i = 0; i < MAX_ABORTED_RUNS; i++)
    events.push(change((at += 10)), settled((at += 10)), tick((at += QUIET_MS)));
  const { state, actions } = feed(...events, change((at += 10)), change((at += 10)));
  assert.equal(state.tag, "queued");
  assert.equal(actions.filter(({ type }) => type === "abort").length, MAX_ABORTED_RUNS);
  const after = feed(...events, change(at), settled((at += 10)), tick(at + QUIET_MS));
  assert.deepEqual(after.state, { tag: "running", abortedRuns: 0 });
});

test("stopping aborts a run, and nothing happens afterwards", () => {
  assert.deepEqual(feed(stop), { state: { tag: "stopped" }, actions: [{ type: "abort" }] });
  assert.deepEqual(feed(settled(0), stop), { state: { tag: "stopped" }, actions: [] });
  assert.deepEqual(feed(stop, settled(1), change(2), tick(3)).actions, [{ type: "abort" }]);
});

test("whatever happens, at most one run is going on and every change is followed by a run that began after it", () => {
  const world = fc.array(fc.constantFrom("change", "settle", "wait"), { maxLength: 60 });
  fc.assert(
    fc.property(world, moves => {
      let { state } = initialStep;
      let now = 0;
      let running = true;
      let tickAt: number | undefined;
      let lastChange = -1;
      let lastRun = 0;
      const send = (event: WatchEvent): void => {
        const step = stepWatch(state, event);
        state = step.state;
        for (const action of step.actions) {
          if (action.type === "tickAt") tickAt = action.at;
          else if (action.type === "abort") assert.ok(running, "only a run is aborted");
          else {
            assert.ok(!running, "one run at a time");
            running = true;
            lastRun = now;
          }
        }
      };
      const wait = (ms: number): void => {
        const until = now + ms;
        while (tickAt !== undefined && tickAt <= until) {
          now = tickAt;
          tickAt = undefined;
          send({ type: "tick", at: now });
        }
        now = until;
      };
      const settle = (): void => {
        if (!running) return;
        running = false;
        send({ type: "settled", at: now });
      };
      for (const move of moves) {
        now++;
        if (move === "change") send({ type: "change", at: (lastChange = now) });
        else if (move === "settle") settle();
        else wait(70);
      }
      for (let i = 0; i < 5; i++) {
        settle();
        wait(2 * MAX_BURST_MS);
      }
      assert.equal(state.tag, "watching");
      assert.ok(lastRun > lastChange || lastChange < 0, `change at ${lastChange}, last run at ${lastRun}`);
    }),
  );
});
