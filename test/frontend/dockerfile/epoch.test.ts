// Goal: SOURCE_DATE_EPOCH takes numbers, the commit of a git context or stage, the time of a download or of the newest file in it,
// and refuses the rest.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BakeError } from "../../../src/diagnostic/error.ts";
import { commitTime, formatEpoch } from "../../../src/frontend/dockerfile/epoch.ts";
import { createHost, type HostData, lower } from "../host.ts";

const commit =
  "tree 0\nauthor A <a@x> 1650000000 +0000\ncommitter C <c@x> 1650000001 +0530\n\ncommitter D <d@x> 1 +0000\n";

async function created(
  options: Readonly<Record<string, string>>,
  sources: HostData["sources"] = {},
  dockerfile = "FROM scratch\nARG SOURCE_DATE_EPOCH\n",
  newest?: number,
) {
  const data: HostData = { files: { "dockerfile/Dockerfile": dockerfile }, sources };
  const host = {
    ...createHost(data),
    readSolved: () => Promise.resolve(new TextEncoder().encode(dockerfile)),
    newestInArchive: () => Promise.resolve(newest),
  };
  const { images } = await lower(data, { options }, host);
  const last = images[0]?.config.history?.at(-1);
  return [last?.created, last?.created_by];
}

test("the commit of a git context gives its time with the committer's offset", async () => {
  const options = {
    context: "https://example.com/app.git#main",
    "build-arg:SOURCE_DATE_EPOCH": "context",
  };
  const sources = { "git://example.com/app.git#main": { gitCommit: commit } };
  assert.deepEqual(await created(options, sources), [
    "2022-04-15T10:50:01+05:30",
    "ARG SOURCE_DATE_EPOCH=1650000001",
  ]);
});

test("a named context gives its time, a local one none", async () => {
  const dated = {
    "context:src": "https://example.com/a.tar",
    "build-arg:SOURCE_DATE_EPOCH": "src",
  };
  const sources = { "https://example.com/a.tar": { httpLastModified: 1_700_000_000 } };
  assert.deepEqual(await created(dated, sources), [
    "2023-11-14T22:13:20Z",
    "ARG SOURCE_DATE_EPOCH=1700000000",
  ]);
  const undated = { "context:src": "local:src", "build-arg:SOURCE_DATE_EPOCH": "src" };
  assert.deepEqual(await created(undated), [undefined, "ARG SOURCE_DATE_EPOCH"]);
});

test("an archive whose server gives no time has that of its newest file", async () => {
  const options = { "context:src": "https://example.com/a.tar", "build-arg:SOURCE_DATE_EPOCH": "src" };
  const [time] = await created(options, {}, undefined, 1_700_000_000);
  assert.equal(time, "2023-11-14T22:13:20Z");
});

test("a stage of one remote ADD gives the time of what it adds", async () => {
  const rest = "FROM scratch\nARG SOURCE_DATE_EPOCH\n";
  const options = { "build-arg:SOURCE_DATE_EPOCH": "src" };
  const download = `ARG V=1\nFROM scratch AS src\nARG V\nARG N=a\${V}\nADD https://example.com/$N.tar /\n${rest}`;
  const dated = { "https://example.com/a1.tar": { httpLastModified: 1_700_000_000 } };
  assert.equal((await created(options, dated, download))[0], "2023-11-14T22:13:20Z");
  const given = { ...options, "build-arg:N": "b" };
  assert.deepEqual(await created(given, dated, download), [undefined, "ARG SOURCE_DATE_EPOCH"]);
  assert.equal((await created(given, dated, download, 5))[0], "1970-01-01T00:00:05Z");
  const repository = `FROM scratch AS src\nADD https://example.com/app.git#main /\n${rest}`;
  const sources = { "git://example.com/app.git#main": { gitCommit: commit } };
  assert.equal((await created(options, sources, repository))[0], "2022-04-15T10:50:01+05:30");
});

for (const [what, stage] of [
  ["an image", "FROM alpine AS src\nADD https://example.com/a.tar /"],
  ["two downloads", "FROM scratch AS src\nADD https://example.com/a /\nADD https://example.com/b /"],
  ["two sources", "FROM scratch AS src\nADD https://example.com/a https://example.com/b /"],
  ["a local file", "FROM scratch AS src\nADD a /"],
  ["nothing", "FROM scratch AS src"],
  ["other instructions", "FROM scratch AS src\nADD https://example.com/a /\nENV A=1"],
] as const) {
  test(`a stage of ${what} gives no time, which is an error at its FROM`, async () => {
    const asked = created({ "build-arg:SOURCE_DATE_EPOCH": "src" }, {}, `${stage}\nFROM scratch\n`);
    await assert.rejects(asked, (thrown: unknown) => {
      assert.ok(thrown instanceof BakeError);
      assert.deepEqual([thrown.code, thrown.diagnostics[0]?.range?.start], ["dockerfile-lower", 0]);
      return true;
    });
  });
}

test("a name of nothing is refused", async () => {
  const asked = created({ "build-arg:SOURCE_DATE_EPOCH": "yesterday" });
  await assert.rejects(asked, (thrown: unknown) => thrown instanceof BakeError && thrown.code === "usage");
});

test("times are written with the offset of their author", () => {
  assert.equal(formatEpoch({ seconds: 0, offsetMinutes: -210 }), "1969-12-31T20:30:00-03:30");
  assert.equal(formatEpoch(commitTime("committer A <a> 5 -0100\n\n")), "1969-12-31T23:00:05-01:00");
  assert.throws(() => commitTime("tree 0\n\ncommitter A <a> 5 +0000\n"), BakeError);
});
