// Definitions: the order of ops, metadata beside them, and the file format programs pipe to each other.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BakeError } from "../../src/diagnostic/error.ts";
import { copy, mkdir } from "../../src/llb/builder/file.ts";
import type { Definition, SourceInfo, SourceLocation } from "../../src/llb/definition.ts";
import { marshal, readDefinition, writeDefinition } from "../../src/llb/marshal.ts";
import { decodeOp, encodeOp, validateOp } from "../../src/llb/ops.ts";
import { diff, image, local, merge, scratch, stateFromDefinition, type State } from "../../src/llb/state.ts";
import { digestOf } from "../../src/oci/digest.ts";

const platform = { os: "linux", architecture: "amd64" };
const options = { platform, localUniqueId: () => "id" };
const invalid = (error: unknown): boolean => error instanceof BakeError && error.code === "llb-invalid";
const digestsOf = ({ def }: Definition): string[] => def.map(bytes => digestOf(bytes));
const identifiers = ({ def }: Definition): string[] =>
  def.flatMap(bytes => {
    const op = decodeOp(bytes);
    return op.kind === "source" ? [op.spec.identifier.replace(/.*\/|:latest/g, "")] : [];
  });

test("a file op lists its last action's source first in the definition, its first one first among its inputs", () => {
  const state = image("base").file(copy(image("one"), "/", "/").copy(image("two"), "/", "/"));
  const definition = marshal(state, options);
  assert.deepEqual(identifiers(definition), ["base", "two", "one"]);
  const digests = digestsOf(definition);
  const op = decodeOp(definition.def.at(-2) ?? new Uint8Array(0));
  assert.deepEqual(
    op.inputs.map(({ digest }) => digests.indexOf(digest)),
    [0, 2, 1],
  );
});

test("a command lists its mounts by target", () => {
  const run = image("base").run({
    args: ["x"],
    mounts: [
      { kind: "bind", target: "/z", from: image("z") },
      { kind: "bind", target: "/a", from: image("a") },
    ],
  });
  assert.deepEqual(identifiers(marshal(run, options)), ["base", "a", "z"]);
});

test("one state used often, and different states with equal bytes, are one op", () => {
  const shared = image("base").run({ args: ["x"] });
  const again = image("base").run({ args: ["x"] });
  const definition = marshal(merge([shared, again, shared.run({ args: ["y"] })]), options);
  assert.equal(definition.def.length, 5);
});

test("of two vertices with one digest the later names it, flags and capabilities add up", () => {
  const first = image("base", { customName: "first", ignoreCache: true });
  const second = image("base", { customName: "second", description: { note: "n" } });
  const { metadata, def } = marshal(merge([first, second]), options);
  assert.deepEqual(metadata.get(digestOf(def[0] ?? "")), {
    description: { "llb.customname": "second", note: "n" },
    caps: ["source.image"],
    ignoreCache: true,
  });
});

test("the terminal op asks for the capabilities that the metadata needs", () => {
  const caps = (state: State): unknown => {
    const { metadata, def } = marshal(state, options);
    return metadata.get(digestOf(def.at(-1) ?? ""))?.caps;
  };
  assert.deepEqual(caps(image("a")), ["constraints", "platform"]);
  assert.deepEqual(caps(image("a", { customName: "n", ignoreCache: true, exportCache: false })), [
    "constraints",
    "meta.description",
    "meta.exportcache",
    "meta.ignorecache",
    "platform",
  ]);
});

test("a chain of twenty thousand steps does not exhaust the stack", () => {
  let state: State = image("base");
  for (let step = 0; step < 20_000; step++) state = state.file(mkdir(`/${step}`, 0o755));
  assert.equal(marshal(state, options).def.length, 20_002);
});

test("a definition survives being written and read, with names, limits and locations", () => {
  const source: SourceInfo = {
    filename: "build.ts",
    data: new TextEncoder().encode("a\nb\n"),
    language: "TypeScript",
  };
  const at = (startLine: number): { readonly location: SourceLocation } => ({
    location: { source, ranges: [{ startLine, endLine: startLine + 1 }] },
  });
  const state = image("base", { ...at(1), customName: "base", progressGroup: { id: "1", name: "g" } }).run({
    args: ["x"],
    ...at(2),
    exportCache: false,
    linuxResources: { memory: 1 << 30, cpusetCpus: "0-1" },
  });
  const definition = marshal(state, options);
  const read = readDefinition(writeDefinition(definition));
  assert.deepEqual(read.def, definition.def);
  assert.deepEqual(read.locations, definition.locations);
  const [run] = [...read.metadata.values()].filter(({ linuxResources }) => linuxResources !== undefined);
  assert.equal(run?.exportCache, false);
  assert.equal(run.linuxResources?.memory, 1 << 30);
  assert.deepEqual(writeDefinition(read), writeDefinition(definition));
});

test("input that is not a definition is refused", () => {
  for (const input of ["hello world, this is text", '{"def":[]}', "\u001f\u008b\b"]) {
    assert.throws(() => readDefinition(new TextEncoder().encode(input)), invalid);
  }
  assert.deepEqual(readDefinition(new Uint8Array(0)).def, [], "nothing at all is scratch");
});

test("a finished definition goes on as a state, its ops byte for byte and its metadata kept", () => {
  const base = marshal(image("base", { customName: "base" }).run({ args: ["x"] }), options);
  const next = stateFromDefinition(base).run({ args: ["y"] });
  const definition = marshal(next, { platform: { os: "linux", architecture: "s390x" } });
  assert.deepEqual(definition.def.slice(0, 2), base.def.slice(0, 2));
  assert.deepEqual(
    definition.metadata.get(digestOf(base.def[0] ?? "")),
    base.metadata.get(digestOf(base.def[0] ?? "")),
  );
  const run = decodeOp(definition.def[2] ?? new Uint8Array(0));
  assert.ok(run.kind === "exec");
  assert.deepEqual(run.platform, platform, "the platform of the result is that of its last op");
  assert.ok(stateFromDefinition(marshal(scratch(), options)).isScratch);
});

test("an output of a finished definition can be chosen", () => {
  const run = image("base").run({ args: ["x"], mounts: [{ kind: "bind", target: "/out" }] });
  const definition = marshal(run.root(), options);
  const other = marshal(stateFromDefinition(definition, 1), options);
  assert.deepEqual(other, marshal(run.getMount("/out"), options));
});

test("a definition that lacks an op or its terminal is refused", () => {
  const { def, ...rest } = marshal(image("base").run({ args: ["x"] }), options);
  assert.throws(() => stateFromDefinition({ ...rest, def: def.slice(1) }), invalid);
  assert.throws(() => stateFromDefinition({ ...rest, def: def.slice(0, -1) }), invalid);
});

test("law: random graphs marshal to valid ops, inputs first, and stay the same when read back as a state", () => {
  fc.assert(
    fc.property(graph(), state => {
      const definition = marshal(state, options);
      const seen = new Set<string>();
      for (const bytes of definition.def) {
        const op = decodeOp(bytes);
        if (op.kind !== "terminal") validateOp(op);
        for (const { digest } of op.inputs) assert.ok(seen.has(digest), "an input comes before its user");
        assert.deepEqual(encodeOp(op), bytes);
        assert.ok(!seen.has(digestOf(bytes)), "each op is there once");
        seen.add(digestOf(bytes));
      }
      const again = marshal(stateFromDefinition(definition), options);
      assert.deepEqual(new Set(digestsOf(again)), seen);
      assert.equal(digestsOf(again).at(-1), digestsOf(definition).at(-1));
    }),
    { numRuns: 100 },
  );
});

/** A state after random steps, each on states made before. */
function graph(): fc.Arbitrary<State> {
  const step = fc.record({
    kind: fc.constantFrom("run", "copy", "merge", "diff", "mkdir"),
    a: fc.nat(),
    b: fc.nat(),
    name: fc.nat({ max: 3 }),
  });
  return fc.array(step, { maxLength: 12 }).map(steps => {
    const states: State[] = [
      image("base"),
      local("context"),
      scratch(),
      image("other", { platform: { os: "linux", architecture: "arm64" } }),
    ];
    for (const { kind, a, b, name } of steps) {
      const one = states[a % states.length] ?? scratch();
      const two = states[b % states.length] ?? scratch();
      if (kind === "run") {
        const run = one.run({
          args: [`x${name}`],
          mounts: [{ kind: "bind", target: `/m${name}`, from: two }],
        });
        states.push(name % 2 === 0 ? run.getMount(`/m${name}`) : run);
      } else if (kind === "copy") states.push(one.file(copy(two, "/a", `/b${name}`).mkdir("/c", 0o755)));
      else if (kind === "merge") states.push(merge([one, two]));
      else if (kind === "diff") states.push(diff(one, two));
      else states.push(one.file(mkdir(`/d${name}`, 0o755)));
    }
    return states.at(-1) ?? scratch();
  });
}
