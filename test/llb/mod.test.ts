// The public door: the program in docs/llb.md runs as printed, and what the door adds to the module behind it.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import {
  BakeError,
  decodeOp,
  digestOf,
  local,
  marshal,
  readDefinition,
  stateFromDefinition,
} from "../../src/llb/mod.ts";

const mod = new URL("../../src/llb/mod.ts", import.meta.url).href;

test("the program in docs/llb.md gives a definition whose head is its command", async t => {
  const page = await readFile(new URL("../../docs/llb.md", import.meta.url), "utf8");
  const program = /```js\n(.*?)```/s.exec(page)?.[1] ?? "";
  const dir = await mkdtemp(join(tmpdir(), "llbake-docs-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const file = join(dir, "build.mjs");
  const runnable = program
    .replace('"llbake/llb"', JSON.stringify(mod))
    .replace("process.stdout.write(", "export default (");
  await writeFile(file, runnable);
  const loaded: unknown = await import(pathToFileURL(file).href);
  assert.ok(typeof loaded === "object" && loaded !== null && "default" in loaded);
  assert.ok(loaded.default instanceof Uint8Array);
  const { def, metadata } = readDefinition(loaded.default);
  const head = decodeOp(def.at(-2) ?? new Uint8Array(0));
  assert.ok(head.kind === "exec");
  assert.deepEqual(
    head.spec.mounts.map(({ dest, type }) => [dest, type]),
    [
      ["/", "bind"],
      ["/root/.npm", "cache"],
      ["/root/.npmrc", "secret"],
    ],
  );
  assert.deepEqual([head.spec.meta?.cwd, head.spec.meta?.env], ["/app", ["CI=1"]]);
  assert.equal(metadata.get(digestOf(def.at(-2) ?? ""))?.description?.["llb.customname"], "build the app");
});

test("local sources get a random id of 25 letters and digits, another one in every definition", () => {
  const id = (): string => {
    const op = decodeOp(marshal(local("context"), { platform: "linux/amd64" }).def[0] ?? new Uint8Array(0));
    return op.kind === "source" ? (op.spec.attrs["local.unique"] ?? "") : "";
  };
  assert.match(id(), /^[0-9a-z]{25}$/);
  assert.notEqual(id(), id());
});

test("a platform may be text; a malformed one is refused", () => {
  assert.ok(marshal(local("context"), { platform: "linux/arm64/v8" }).def.length > 0);
  assert.throws(
    () => marshal(local("context"), { platform: "a/b/c/d" }),
    error => error instanceof BakeError && error.code === "platform-invalid",
  );
});

test("ops in the order of BuildKit v0.16 and older are read, and keep their digests", () => {
  // source (3) before platform (10) and constraints (11).
  const old = new Uint8Array(
    Buffer.from(
      "1a170a15646f636b65722d696d6167653a2f2f616c70696e65" + "520e0a05616d64363412056c696e7578" + "5a00",
      "hex",
    ),
  );
  const digest = digestOf(old);
  const terminal = new Uint8Array(Buffer.from(`0a490a47${Buffer.from(digest).toString("hex")}`, "hex"));
  const definition = { def: [old, terminal], metadata: new Map(), locations: new Map() };
  const op = decodeOp(old);
  assert.ok(op.kind === "source");
  assert.deepEqual(
    [op.spec.identifier, op.platform],
    ["docker-image://alpine", { os: "linux", architecture: "amd64" }],
  );
  assert.deepEqual(marshal(stateFromDefinition(definition), { platform: "linux/amd64" }).def, [
    old,
    terminal,
  ]);
});
