// Merging definitions: what is shared, what each target wants, and what is refused.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import { mkdir } from "../../src/llb/builder/file.ts";
import type { Definition } from "../../src/llb/definition.ts";
import { mergeDefinitions } from "../../src/llb/graph.ts";
import { marshal } from "../../src/llb/marshal.ts";
import { encodeOp, type Op } from "../../src/llb/ops.ts";
import type { Input } from "../../src/llb/op/op.ts";
import { image, scratch, type State } from "../../src/llb/state.ts";
import { digestOf } from "../../src/oci/digest.ts";

const platform = { os: "linux", architecture: "amd64" };
const define = (state: State): Definition => marshal(state, { platform });
const refuses = (definition: Definition, text: string): void => {
  assert.throws(
    () => mergeDefinitions([{ target: "app", definition }]),
    error => error instanceof BakeError && error.code === "llb-invalid" && error.message.includes(text),
  );
};

/** A definition of these ops, in this order, with a terminal on the last. */
function of(ops: readonly Op[], terminal?: readonly Input[]): Definition {
  const def = ops.map(op => encodeOp(op));
  const inputs = terminal ?? [{ digest: digestOf(def.at(-1) ?? ""), index: 0 }];
  return { def: [...def, encodeOp({ kind: "terminal", inputs })], metadata: new Map(), locations: new Map() };
}

const missing: Input = { digest: digestOf("missing"), index: 0 };
const sourceOp: Op = { kind: "source", inputs: [], spec: { identifier: "docker-image://x", attrs: {} } };
const sourceInput: Input = { digest: digestOf(encodeOp(sourceOp)), index: 0 };

test("targets that share steps share vertices; each vertex knows who wants it", () => {
  const base = image("base").run({ args: ["x"], customName: "base" });
  const graph = mergeDefinitions([
    { target: "app", definition: define(base.run({ args: ["app"] })) },
    { target: "test", definition: define(base.run({ args: ["test"] })) },
    { target: "app", definition: define(base) },
  ]);
  assert.deepEqual(
    [...graph.vertices.values()].map(({ op, targets }) => [op.kind, ...targets]),
    [
      ["source", "app", "test"],
      ["exec", "app", "test"],
      ["exec", "app"],
      ["exec", "test"],
    ],
  );
  assert.deepEqual(
    graph.roots.map(({ target }) => target),
    ["app", "test", "app"],
  );
  const [, shared] = graph.vertices.values();
  assert.deepEqual(graph.roots[2]?.root, { digest: shared?.digest, index: 0 });
  assert.equal(shared?.metadata.description?.["llb.customname"], "base");
});

test("the empty file system has no root", () => {
  const graph = mergeDefinitions([{ target: "app", definition: define(scratch()) }]);
  assert.equal(graph.vertices.size, 0);
  assert.deepEqual(graph.roots, [{ target: "app", root: undefined }]);
});

test("ops that no result needs are left out, and order in the file does not matter", () => {
  const definition = of([
    { ...sourceOp, spec: { identifier: "docker-image://unused", attrs: {} } },
    sourceOp,
  ]);
  assert.equal(mergeDefinitions([{ target: "app", definition }]).vertices.size, 1);
  const { def, ...rest } = define(
    image("base")
      .file(mkdir("/a", 0o755))
      .run({ args: ["x"] }),
  );
  const [first, second, third, terminal] = def;
  assert.ok(first && second && third && terminal);
  const graph = mergeDefinitions([
    { target: "app", definition: { ...rest, def: [third, second, first, terminal] } },
  ]);
  assert.deepEqual(
    [...graph.vertices.values()].map(({ op }) => op.kind),
    ["source", "file", "exec"],
  );
});

test("missing inputs, missing terminals and outputs that do not exist are refused with the target's name", () => {
  refuses(of([sourceOp], [missing]), `target "app" lacks the op ${missing.digest}`);
  refuses(of([sourceOp], [{ ...sourceInput, index: 1 }]), `the result of target "app" uses output 1`);
  refuses(of([sourceOp], [sourceInput, sourceInput]), "has 2 inputs instead of one");
  refuses({ ...of([sourceOp]), def: [encodeOp(sourceOp)] }, "does not end with a terminal op");
});

const wrongOps: readonly (readonly [string, Op])[] = [
  ["a source has no identifier", { ...sourceOp, spec: { identifier: "", attrs: {} } }],
  ["has inputs", { ...sourceOp, inputs: [sourceInput] }],
  [
    "a merge op names input 3",
    { kind: "merge", inputs: [sourceInput], spec: { inputs: [{ input: 0 }, { input: 3 }] } },
  ],
  ["lacks its lower or upper side", { kind: "diff", inputs: [sourceInput], spec: { lower: { input: 0 } } }],
  ["a file op has no actions", { kind: "file", inputs: [], spec: { actions: [] } }],
  [
    "uses the unknown input 1",
    {
      kind: "file",
      inputs: [sourceInput],
      spec: {
        actions: [
          {
            input: 1,
            secondaryInput: -1,
            output: 0,
            action: { kind: "rm", value: { path: "/", allowNotFound: false, allowWildcard: false } },
          },
        ],
      },
    },
  ],
  [
    "an exec op has no command",
    {
      kind: "exec",
      inputs: [],
      spec: { mounts: [], network: "sandbox", security: "sandbox", secretEnv: [], cdiDevices: [] },
    },
  ],
  [
    "names input 0, but the op has 0",
    { kind: "build", inputs: [], spec: { builder: -1, inputs: { a: { input: 0 } }, attrs: {} } },
  ],
];
for (const [why, op] of wrongOps) {
  test(`an op is refused when: ${why}`, () => {
    refuses(of([sourceOp, op]), why);
  });
}
