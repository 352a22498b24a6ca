// The builder: what programs say and the bytes that follow. Digests written out here are BuildKit's own.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import type { RunOptions } from "../../src/llb/builder/exec.ts";
import { copy, mkdir, mkfile, rm, symlink } from "../../src/llb/builder/file.ts";
import { marshal } from "../../src/llb/marshal.ts";
import {
  decodeOp,
  type Op,
  type OpKind,
  type OpOf,
  type OpSpecs,
  type TerminalOp,
} from "../../src/llb/ops.ts";
import type { FileOp } from "../../src/llb/op/file.ts";
import {
  diff,
  git,
  http,
  image,
  local,
  merge,
  ociLayout,
  scratch,
  source,
  type State,
} from "../../src/llb/state.ts";
import { digestOf } from "../../src/oci/digest.ts";
import type { Platform } from "../../src/oci/platform.ts";

const platform: Platform = { os: "linux", architecture: "amd64" };
const arm: Platform = { os: "linux", architecture: "arm64" };
const alpine = image("alpine");
const invalid = (error: unknown): boolean => error instanceof BakeError && error.code === "llb-invalid";

const digests = (state: State): string[] => marshal(state, { platform }).def.map(bytes => digestOf(bytes));
const opsOf = (state: State): ReturnType<typeof decodeOp>[] =>
  marshal(state, { platform }).def.map(bytes => decodeOp(bytes));

/** The message of the op a state is the result of. */
function specOf<K extends OpKind>(state: State, kind: K): OpOf<K>["spec"] {
  const op = opsOf(state).at(-2);
  assert.ok(op !== undefined && isOfKind(op, kind));
  return op.spec;
}

function isOfKind<K extends OpKind>(op: Op | TerminalOp, kind: K): op is Extract<Op, OpOf<K>> {
  return op.kind === kind;
}

function metaOf(state: State): NonNullable<OpSpecs["exec"]["meta"]> {
  const { meta } = specOf(state, "exec");
  assert.ok(meta);
  return meta;
}

const actionsOf = (state: State): FileOp["actions"] => specOf(state, "file").actions;

test("an image, a copy from a local context and a command have BuildKit's digests", () => {
  const context = local("context", { uniqueId: "s43w96rwjsm9tf1zlxvn6nezg" });
  const built = image("docker.io/library/alpine")
    .file(copy(context, "/README.md", "/README.md"))
    .run({ shell: 'echo "programmatically built" > /built.txt' });
  assert.deepEqual(digests(built), [
    "sha256:a7f9733e307dd352c82d43053b783dd17bb2ec2c36214908ce393e41545c8b51",
    "sha256:5395f7835ee12dec8d20592784b231720ea19d32e53596f6d3b4d281cf72df79",
    "sha256:8774374230cb23850b7dbdaed3b774372c9c8b533c122e7328afa048ca9e4413",
    "sha256:6ae10077794259344e43e09bffab4e260313ebb7c656ae360422b89955b9b6b0",
    "sha256:9d5580aea38e9597374b2c552c646e7dbb8f9d3e535ddff0d90fc181a9b037b4",
  ]);
});

test("scratch marshals to nothing", () => {
  assert.deepEqual(marshal(scratch(), { platform }).def, []);
});

test("a redefined variable moves to the end of the environment of commands", () => {
  const state = alpine.addEnv("A", "1").addEnv("B", "2").addEnv("A", "3");
  assert.deepEqual(metaOf(state.run({ args: ["x"], env: { C: "4" } })).env, ["B=2", "A=3", "C=4"]);
  assert.deepEqual(state.envList(), ["B=2", "A=3"], "variables of one command do not stay");
});

test("states are immutable", () => {
  const before = alpine.addEnv("A", "1");
  before.addEnv("A", "2").dir("/x").user("u").file(mkdir("a", 0o755));
  assert.deepEqual(before.envList(), ["A=1"]);
  assert.equal(before.values.dir, "/");
  assert.equal(before.output, alpine.output);
});

test("an image config gives environment, directory and platform", () => {
  const state = scratch().withImageConfig({
    os: "linux",
    architecture: "arm64",
    variant: "v8",
    config: { Env: ["PATH=/bin", "EMPTY", "=odd", "A=b=c"], WorkingDir: "/srv", User: "nobody" },
  });
  assert.deepEqual(state.envList(), ["PATH=/bin", "EMPTY=", "A=b=c"]);
  assert.equal(state.values.dir, "/srv");
  assert.deepEqual(state.values.platform, arm);
  assert.equal(state.values.user, "");
});

test("relative directories add up, absolute ones are kept as written", () => {
  assert.equal(alpine.dir("a/../b").dir("c/").values.dir, "/b/c");
  assert.equal(alpine.dir("/x//y/").values.dir, "/x//y/");
});

test("commands take the platform of the image they stand on, else the default; files have none", () => {
  const [base, file, run] = opsOf(
    image("alpine", { platform: { ...arm, variant: "v8" } })
      .file(mkdir("/a", 0o755))
      .run({ args: ["x"] }),
  );
  assert.ok(base?.kind === "source" && file?.kind === "file" && run?.kind === "exec");
  assert.deepEqual(base.platform, { ...arm, variant: "v8" }, "the source keeps the platform as given");
  assert.equal(file.platform, undefined);
  assert.deepEqual(run.platform, arm, "the command has it normalised");
  const [, plain] = opsOf(alpine.run({ args: ["x"] }));
  assert.ok(plain?.kind === "exec");
  assert.deepEqual(plain.platform, platform);
});

test("only image and OCI layout sources carry a platform", () => {
  const has = (state: State): boolean => {
    const [op] = opsOf(state);
    return op?.kind === "source" && op.platform !== undefined;
  };
  assert.deepEqual([alpine, ociLayout("x@sha256:00")].map(has), [true, true]);
  assert.deepEqual(
    [local("c", { sessionId: "s" }), git("https://example.com/r"), http("https://example.com/f")].map(has),
    [false, false, false],
  );
});

test("mounts are sorted by bytes, outputs numbered in that order, secrets and agents last", () => {
  const run = alpine.run({
    args: ["x"],
    mounts: [
      { kind: "ssh" },
      { kind: "bind", target: "/z", from: alpine },
      { kind: "secret", id: "token", target: "/run/secrets/token" },
      { kind: "tmpfs", target: "/t" },
      { kind: "cache", target: "/c", id: "c", sharing: "locked" },
      { kind: "bind", target: "/a", source: "/sub", from: image("busybox") },
      { kind: "bind", target: "/r", from: alpine, readonly: true },
      { kind: "bind", target: "/n", from: alpine, noOutput: true },
    ],
  });
  const { mounts, meta } = specOf(run, "exec");
  assert.deepEqual(
    mounts.map(({ dest, input, output, type }) => [dest, input, output, type]),
    [
      ["/", 0, 0, "bind"],
      ["/a", 1, 1, "bind"],
      ["/c", -1, -1, "cache"],
      ["/n", 0, -1, "bind"],
      ["/r", 0, -1, "bind"],
      ["/t", -1, -1, "tmpfs"],
      ["/z", 0, 2, "bind"],
      ["/run/secrets/token", -1, 0, "secret"],
      ["/run/buildkit/ssh_agent.0", -1, 0, "ssh"],
    ],
  );
  assert.deepEqual(meta?.env, ["SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0"]);
  assert.equal(meta.removeMountStubsRecursive, true);
  assert.deepEqual(opsOf(run.getMount("/z")).at(-1)?.inputs[0]?.index, 2);
  assert.equal(run.getMount("/r").output, alpine.output, "a read-only mount stays what it was");
  for (const target of ["/c", "/t", "/n"]) assert.throws(() => run.getMount(target), invalid);
  assert.throws(() => run.getMount("/missing"), invalid);
});

test("a read-only root gives back the state itself", () => {
  const run = alpine.run({ args: ["x"], readonlyRoot: true, mounts: [{ kind: "bind", target: "/out" }] });
  assert.equal(run.output, alpine.output);
  assert.equal(specOf(run.getMount("/out"), "exec").mounts[1]?.output, 0);
});

test("a secret may be a file, a variable or both", () => {
  const { secretEnv, mounts } = specOf(
    alpine.run({
      args: ["x"],
      mounts: [
        { kind: "secret", id: "a", env: "A" },
        { kind: "secret", id: "b", target: "/b", env: "B", mode: 0o440, uid: 1, optional: true },
      ],
    }),
    "exec",
  );
  assert.deepEqual(secretEnv, [
    { id: "a", name: "A", optional: false },
    { id: "b", name: "B", optional: true },
  ]);
  assert.deepEqual(mounts[1]?.secret, { id: "b", uid: 1, gid: 0, mode: 0o440, optional: true });
  assert.equal(mounts.length, 2);
});

test("a command without arguments, or with two kinds of them, is refused", () => {
  const wrong: readonly RunOptions[] = [{}, { args: [] }, { args: ["a"], shell: "a" }];
  for (const options of wrong) assert.throws(() => alpine.run(options), invalid);
});

test("file actions chain: each works on the one before, only the last has an output", () => {
  const other = image("busybox");
  const state = alpine
    .dir("/w")
    .file(
      mkdir("a", 0o4755, { makeParents: true })
        .copy(other.dir("/src"), "x/../y", "d/")
        .mkfile("/f", 0o644, "hé", { timestamp: 5n })
        .rm("g*", { allowWildcard: true })
        .symlink("../t", "l"),
    );
  const actions = actionsOf(state);
  assert.deepEqual(
    actions.map(({ input, secondaryInput, output, action }) => [action?.kind, input, secondaryInput, output]),
    [
      ["mkdir", 0, -1, -1],
      ["copy", 2, 1, -1],
      ["mkfile", 3, -1, -1],
      ["rm", 4, -1, -1],
      ["symlink", 5, -1, 0],
    ],
  );
  const [made, copied, written, removed, linked] = actions.map(({ action }) => action);
  assert.ok(made?.kind === "mkdir" && copied?.kind === "copy" && written?.kind === "mkfile");
  assert.ok(removed?.kind === "rm" && linked?.kind === "symlink");
  assert.deepEqual([made.value.path, made.value.mode, made.value.timestamp], ["/w/a", 0o755, -1n]);
  assert.deepEqual([copied.value.src, copied.value.dest, copied.value.mode], ["/src/y", "/w/d/", -1]);
  assert.deepEqual([Buffer.from(written.value.data).toString(), written.value.timestamp], ["hé", 5n]);
  assert.equal(removed.value.path, "/w/g*");
  assert.deepEqual([linked.value.oldpath, linked.value.newpath], ["../t", "l"], "links are written as given");
});

test("a trailing slash or dot of a copy's destination is kept", () => {
  const dest = (path: string): string | undefined => {
    const [first] = actionsOf(
      scratch()
        .dir("/w")
        .file(copy(alpine, "/", path)),
    );
    return first?.action?.kind === "copy" ? first.action.value.dest : undefined;
  };
  assert.deepEqual(["x/", "x/.", ".", "./", "/", "/.", "a//b/"].map(dest), [
    "/w/x/",
    "/w/x/.",
    "/w",
    "/w/",
    "/",
    "/.",
    "/w/a/b/",
  ]);
});

test("a mode in symbols leaves the number at zero", () => {
  const [first] = actionsOf(scratch().file(copy(alpine, "/a", "/a", { modeStr: "u+x" })));
  assert.ok(first?.action?.kind === "copy");
  assert.deepEqual([first.action.value.mode, first.action.value.modeStr], [0, "u+x"]);
});

test("owners are ids when they are numbers or root, else names looked up in the base", () => {
  const owner = (base: State, text: string): unknown => {
    const [first] = actionsOf(base.file(mkdir("/a", 0o755, { owner: text })));
    return (
      first?.action?.kind === "mkdir" && [
        first.action.value.owner?.user?.user,
        first.action.value.owner?.group?.user,
      ]
    );
  };
  const id = (value: number): unknown => ({ kind: "byID", value });
  const name = (text: string, input: number): unknown => ({ kind: "byName", value: { name: text, input } });
  assert.deepEqual(owner(alpine, "root"), [id(0), undefined]);
  assert.deepEqual(owner(alpine, "1:app"), [id(1), name("app", 0)]);
  assert.deepEqual(owner(alpine, ":2"), [id(0), id(2)]);
  assert.deepEqual(owner(alpine, "app:"), [name("app", 0), id(0)]);
  assert.deepEqual(owner(scratch(), "4294967295"), [name("4294967295", -1), undefined]);
});

test("merge drops empty states and does not wrap one alone; diff on nothing is the upper side", () => {
  assert.equal(merge([scratch(), alpine, scratch()]), alpine);
  assert.ok(merge([scratch(), scratch()]).isScratch);
  assert.equal(diff(scratch(), alpine), alpine);
  assert.deepEqual(specOf(diff(alpine, scratch()), "diff"), { lower: { input: 0 }, upper: { input: -1 } });
  const twice = opsOf(merge([alpine, alpine])).at(-2);
  assert.equal(twice?.inputs.length, 2, "merge inputs are not shared");
  assert.equal(merge([alpine.dir("/x"), image("busybox")]).values.dir, "/x");
});

test("a local source without session needs an id; ids given by the caller are asked for once", () => {
  const both = merge([local("a"), local("b")]);
  assert.throws(() => marshal(both, { platform }), invalid);
  let asked = 0;
  const { def } = marshal(both, { platform, localUniqueId: () => `id${++asked}` });
  assert.equal(asked, 1);
  const [first] = def.map(bytes => decodeOp(bytes));
  assert.ok(first?.kind === "source");
  assert.deepEqual(first.spec.attrs, { "local.unique": "id1" });
});

test("local options become attributes; lists are JSON as Go writes it", () => {
  const { identifier, attrs } = specOf(
    local("ctx", {
      sessionId: "s",
      excludePatterns: ["a<b", "é"],
      followPaths: [],
      includePatterns: ["x"],
      sharedKeyHint: "h",
      differ: "none",
    }),
    "source",
  );
  assert.equal(identifier, "local://ctx");
  assert.deepEqual(attrs, {
    "local.session": "s",
    "local.excludepatterns": '["a\\u003cb","é"]',
    "local.includepattern": '["x"]',
    "local.sharedkeyhint": "h",
    "local.differ": "none",
  });
});

const remotes: readonly (readonly [string, string, string])[] = [
  [
    "https://user:pw@example.com/a/b.git?x=1#main",
    "git://example.com/a/b.git",
    "https://user:pw@example.com/a/b.git",
  ],
  ["example.com/a", "git://example.com/a", "https://example.com/a"],
  ["git@example.com:a/b", "git://example.com/a/b", "git@example.com:a/b"],
  ["ssh://git@example.com:22/a", "git://example.com:22/a", "ssh://git@example.com:22/a"],
];
for (const [url, identifier, full] of remotes) {
  test(`the git remote ${url} is ${identifier}`, () => {
    const spec = specOf(git(url), "source");
    assert.equal(spec.identifier, identifier);
    assert.equal(spec.attrs["git.fullurl"], full);
    assert.equal(spec.attrs["git.mountsshsock"], /^(ssh|git@)/.test(url) ? "default" : undefined);
  });
}

test("git ref and subdirectory are part of the identifier", () => {
  const of = (options: Parameters<typeof git>[1]): string =>
    specOf(git("https://example.com/r", options), "source").identifier;
  assert.equal(of({ ref: "v1" }), "git://example.com/r#v1");
  assert.equal(of({ ref: "v1", subdir: "/a/../b" }), "git://example.com/r#v1:b");
  assert.equal(of({ subdir: "b" }), "git://example.com/r#:b");
  assert.throws(() => git("ftp://example.com/r"), invalid);
});

test("http options become attributes", () => {
  const { attrs } = specOf(
    http("https://example.com/f", { filename: "f", perm: 0o755, uid: 0, gid: 7 }),
    "source",
  );
  assert.deepEqual(attrs, { "http.filename": "f", "http.perm": "0755", "http.gid": "7" });
  assert.throws(() => http("ftp://example.com/f"), invalid);
});

test("references are completed, resolve modes only written when they are not the default", () => {
  const { identifier, attrs } = specOf(image("alpine:3", { resolveMode: "pull" }), "source");
  assert.equal(identifier, "docker-image://docker.io/library/alpine:3");
  assert.deepEqual(attrs, { "image.resolvemode": "pull" });
  assert.throws(
    () => image("Alpine"),
    error => error instanceof BakeError && error.code === "reference-invalid",
  );
  assert.throws(() => source({ identifier: "", attrs: {}, caps: [] }), invalid);
});

test("names, cache flags and limits do not change digests; everything else does", () => {
  const base: RunOptions = { args: ["x"] };
  const digest = (options: RunOptions): string | undefined => digests(alpine.run(options)).at(-1);
  const same: readonly RunOptions[] = [
    { customName: "n" },
    { description: { a: "b" } },
    { ignoreCache: true },
    { exportCache: false },
    { progressGroup: { id: "1", name: "g" } },
    { linuxResources: { memory: 1 } },
  ];
  for (const options of same) assert.equal(digest({ ...base, ...options }), digest(base));
  const other: readonly RunOptions[] = [
    { args: ["y"] },
    { cwd: "/a" },
    { user: "u" },
    { hostname: "h" },
    { env: { A: "" } },
    { network: "host" },
    { security: "insecure" },
    { platform: arm },
    { proxyEnv: {} },
    { extraHosts: [{ host: "h", ip: "10.0.0.1" }] },
    { ulimits: [{ name: "nofile", soft: -1, hard: -1 }] },
    { cgroupParent: "c" },
    { validExitCodes: [1] },
    { devices: [{ name: "vendor.example/d=1" }] },
    { mounts: [{ kind: "tmpfs", target: "/t" }] },
  ];
  const all = new Set([digest(base), ...other.map(options => digest({ ...base, ...options }))]);
  assert.equal(all.size, other.length + 1);
});

test("a nested build reads its definition from a file of the state", () => {
  const spec = specOf(alpine.build({ filename: "/llb" }), "build");
  assert.deepEqual(spec, {
    builder: -1,
    inputs: { "buildkit.llb.definition": { input: 0 } },
    attrs: { "llbbuild.filename": "/llb" },
  });
  assert.throws(() => scratch().build(), invalid);
});

test("removing and linking alone are file ops too", () => {
  assert.deepEqual(actionsOf(alpine.file(rm("x", { allowNotFound: true })))[0]?.action, {
    kind: "rm",
    value: { path: "/x", allowNotFound: true, allowWildcard: false },
  });
  assert.equal(actionsOf(scratch().file(symlink("a", "b")))[0]?.input, -1);
  assert.equal(
    actionsOf(scratch().file(mkfile("a", 0o644, new Uint8Array([255]))))[0]?.action?.kind,
    "mkfile",
  );
});
