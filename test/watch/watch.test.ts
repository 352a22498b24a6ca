// Real files and a real watcher; only the build is made up, so that it can be held and let go. Files are written in one
// go: what is made first and filled later may be two changes to a watcher that looks in between.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { mkdir, mkdtemp, realpath, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import type { WatchInputs } from "../../src/watch/inputs.ts";
import { type Rebuild, watch } from "../../src/watch/watch.ts";

/** A value that arrives later; waiting for it is bounded by the test's own time limit. */
function channel<T>() {
  const values: T[] = [];
  const waiting: ((value: T) => void)[] = [];
  return {
    push(value: T) {
      const next = waiting.shift();
      if (next === undefined) values.push(value);
      else next(value);
    },
    next: (): Promise<T> => {
      const value = values.shift();
      return value === undefined ? new Promise(resolve => waiting.push(resolve)) : Promise.resolve(value);
    },
    get pending() {
      return values.length;
    },
  };
}

interface Held {
  readonly run: Rebuild;
  readonly finish: () => void;
  readonly fail: (error: unknown) => void;
}

async function startWatching(t: TestContext, inputsOf: (dir: string) => WatchInputs) {
  const dir = await realpath(await mkdtemp(join(tmpdir(), "watch-")));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const inputs = inputsOf(dir);
  for (const { path } of inputs.contexts) await mkdir(path, { recursive: true });
  const builds = channel<Held>();
  const idle = channel<true>();
  const errors: BakeError[] = [];
  const stop = new AbortController();
  const ended = watch(
    {
      inputs,
      rebuild: async run => {
        await run.watching(inputs);
        await new Promise<void>((resolve, reject) => {
          run.signal.addEventListener("abort", () => reject(run.signal.reason as Error), { once: true });
          builds.push({ run, finish: resolve, fail: reject });
        });
      },
      onError: error => errors.push(error),
      onIdle: () => idle.push(true),
    },
    stop.signal,
  );
  t.after(async () => {
    stop.abort();
    await ended;
  });
  return { dir, builds, idle, errors, stop, ended };
}

const context = (dir: string): WatchInputs => ({
  contexts: [{ path: join(dir, "ctx"), ignore: ["*.log"] }],
  files: [join(dir, "docker-bake.hcl")],
  outputs: [join(dir, "ctx/out")],
});
const limit = { timeout: 60_000 };

test("a changed file brings one build that knows what changed", limit, async t => {
  const { dir, builds, idle } = await startWatching(t, context);
  const first = await builds.next();
  assert.deepEqual(first.run.changed, []);
  first.finish();
  await idle.next();
  writeFileSync(join(dir, "ctx/a"), "1");
  const second = await builds.next();
  assert.deepEqual(second.run.changed, [join(dir, "ctx/a")]);
  second.finish();
  await idle.next();
  assert.equal(builds.pending, 0);
});

test("ignored files and the build's own outputs bring none", limit, async t => {
  const { dir, builds, idle } = await startWatching(t, context);
  (await builds.next()).finish();
  await idle.next();
  await mkdir(join(dir, "ctx/out"));
  writeFileSync(join(dir, "ctx/out/app"), "1");
  writeFileSync(join(dir, "ctx/a.log"), "1");
  // A file that counts, written last, is what the next build is about, and all it is about.
  writeFileSync(join(dir, "ctx/b"), "1");
  const next = await builds.next();
  assert.deepEqual(next.run.changed, [join(dir, "ctx/b")]);
});

test("a change during a build aborts it, and the next build follows", limit, async t => {
  const { dir, builds, idle, errors } = await startWatching(t, context);
  const first = await builds.next();
  writeFileSync(join(dir, "ctx/a"), "1");
  const second = await builds.next();
  assert.equal(first.run.signal.aborted, true);
  assert.equal(second.run.signal.aborted, false);
  second.finish();
  await idle.next();
  assert.deepEqual(errors, [], "an aborted build is no failure");
});

test("a failed build is told, and watching goes on: also by a file that did not exist", limit, async t => {
  const { dir, builds, idle, errors } = await startWatching(t, context);
  (await builds.next()).fail(new BakeError("bake-syntax", "broken"));
  await idle.next();
  assert.deepEqual(
    errors.map(({ message }) => message),
    ["broken"],
  );
  writeFileSync(join(dir, "new"), "target x {}");
  await rename(join(dir, "new"), join(dir, "docker-bake.hcl"));
  const next = await builds.next();
  assert.deepEqual(next.run.changed, [join(dir, "docker-bake.hcl")]);
});

test("stopping ends a build and then the watching", limit, async t => {
  const { builds, stop, ended } = await startWatching(t, context);
  const first = await builds.next();
  stop.abort();
  await ended;
  assert.equal(first.run.signal.aborted, true);
});
