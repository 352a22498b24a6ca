// Goal: requests are lowered in the order of their links, shared work is done once, and one target's failure does what
// the user asked for.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { SolveRequest } from "../../src/engine/engine.ts";
import { checkLinks } from "../../src/engine/links.ts";
import { BakeError } from "../../src/diagnostic/error.ts";
import { copy, local, marshal, scratch } from "../../src/llb/mod.ts";
import { type EngineRig, engineRig, platform, skipWithoutContainers } from "../rig/engine.ts";

const SESSION = "session";

/** A request for a Dockerfile in the lent folder "dockerfile", exported to a folder of the request's name. */
function request(
  rig: EngineRig,
  name: string,
  dockerfile: string,
  links: Readonly<Record<string, string>> = {},
): SolveRequest {
  const folder = join(rig.dir.path, "files");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, name), dockerfile);
  rig.locals.set("dockerfile", folder);
  rig.locals.set("context", folder);
  const contexts = Object.keys(links).map(key => [`context:${key}`, `input:${key}`] as const);
  return {
    name,
    work: {
      tag: "frontend",
      frontend: "dockerfile.v0",
      request: {
        options: { filename: name, "context:host": "local:busybox", ...Object.fromEntries(contexts) },
        sessionId: SESSION,
        buildPlatform: platform,
      },
      links,
    },
    exports: [{ type: "local", attrs: {}, dest: join(rig.dir.path, "out", name) }],
  };
}

const solve = (rig: EngineRig, requests: readonly SolveRequest[]) =>
  rig.engine.solve(requests, {
    session: {
      localDir: name => rig.locals.get(name),
      secret: () => Promise.resolve(undefined),
      credentials: () => Promise.resolve(undefined),
    },
    emit: event => (rig.events as unknown[]).push(event),
    signal: new AbortController().signal,
  });

const BASE =
  'FROM scratch\nCOPY --from=host busybox /bin/busybox\nRUN ["/bin/busybox", "--install", "-s", "/bin"]\nENV PATH=/bin\n';

test(
  "a linked target is built on another's result, with its environment",
  { skip: skipWithoutContainers },
  async () => {
    await using rig = await engineRig();
    await solve(rig, [
      request(rig, "app", "FROM base\nRUN echo $FROM_BASE > /seen\n", { base: "base" }),
      request(rig, "base", `${BASE}ENV FROM_BASE=yes\n`),
    ]);
    assert.equal(readFileSync(join(rig.dir.path, "out/app/seen"), "utf8"), "yes\n");
  },
);

test("a stage that several targets share runs once", { skip: skipWithoutContainers }, async () => {
  await using rig = await engineRig();
  const shared = `${BASE}RUN cat /proc/sys/kernel/random/uuid > /uuid\n`;
  await solve(rig, [
    request(rig, "one", `${shared}RUN echo 1 > /n\n`),
    request(rig, "two", `${shared}RUN echo 2 > /n\n`),
  ]);
  const uuid = (name: string): string => readFileSync(join(rig.dir.path, "out", name, "uuid"), "utf8");
  assert.equal(uuid("one"), uuid("two"));
  assert.equal(rig.executed().filter(name => name.includes("/uuid")).length, 1);
});

test(
  "when a target fails nothing is exported and the error points at its line",
  { skip: skipWithoutContainers },
  async () => {
    await using rig = await engineRig();
    const requests = [request(rig, "good", BASE), request(rig, "bad", `${BASE}RUN exit 9\n`)];
    await assert.rejects(solve(rig, requests), (error: unknown) => {
      assert.ok(error instanceof BakeError);
      const range = error.diagnostics[0]?.range;
      assert.equal(range?.source.text.slice(range.start, range.end), "RUN exit 9");
      return true;
    });
    assert.ok(!existsSync(join(rig.dir.path, "out")));
  },
);

test(
  "with keep-going the other targets are exported and all failures are told",
  { skip: skipWithoutContainers },
  async () => {
    await using rig = await engineRig({ keepGoing: true });
    const requests = [
      request(rig, "bad", `${BASE}RUN exit 9\n`),
      request(rig, "good", BASE),
      request(rig, "worse", `${BASE}RUN exit 8\n`),
    ];
    await assert.rejects(solve(rig, requests), (error: unknown) => {
      assert.ok(error instanceof BakeError);
      assert.deepEqual(
        error.diagnostics.map(({ message }) => /exit code (\d)/.exec(message)?.[1]),
        ["9", "8"],
      );
      return true;
    });
    assert.ok(existsSync(join(rig.dir.path, "out/good/bin/busybox")));
    assert.ok(!existsSync(join(rig.dir.path, "out/bad")));
  },
);

test("links in a loop, or to nothing, are errors that name the way", () => {
  const link = (name: string, to: string): SolveRequest => ({
    name,
    work: {
      tag: "frontend",
      frontend: "dockerfile.v0",
      request: { options: {}, sessionId: SESSION, buildPlatform: platform },
      links: { x: to },
    },
    exports: [],
  });
  assert.throws(() => checkLinks([link("a", "b"), link("b", "c"), link("c", "b")]), /b -> c -> b/);
  assert.throws(() => checkLinks([link("a", "nope")]), /"a" needs "nope"/);
});

test("an unknown kind of output is refused before anything runs", async () => {
  await using rig = await engineRig();
  const wrong = {
    ...request(rig, "app", "FROM scratch\nWORKDIR /x\n"),
    exports: [{ type: "lcoal", attrs: {} }],
  };
  await assert.rejects(solve(rig, [wrong]), /unknown output type "lcoal"/);
  assert.deepEqual(rig.executed(), []);
});

test("what a run that was stopped before it began knows nothing of is not forgotten", async () => {
  await using rig = await engineRig();
  rig.locals.set("src", rig.dir.path);
  const state = scratch().file(copy(local("src", { uniqueId: "src", followPaths: ["a"] }), "a", "/a"));
  const work = { tag: "definition", definition: marshal(state, { platform }), platform } as const;
  const reasons: string[] = [];
  const build = async (text: string, signal = new AbortController().signal): Promise<void> => {
    writeFileSync(join(rig.dir.path, "a"), text);
    await rig.engine.solve([{ name: "app", work, exports: [] }], {
      session: {
        localDir: name => rig.locals.get(name),
        secret: () => Promise.resolve(undefined),
        credentials: () => Promise.resolve(undefined),
      },
      definition: "docker-bake.hcl",
      emit: event => {
        if (event.type === "reason") reasons.push(event.text);
      },
      signal,
    });
  };
  await build("one");
  await assert.rejects(build("two", AbortSignal.abort()));
  await build("three");
  assert.deepEqual(reasons.slice(1), [`file "a" changed`]);
});
