// Goal: file ops give the trees that LLB says they give, and are cached by what they read.
import assert from "node:assert/strict";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import type { Definition } from "../../src/llb/definition.ts";
import { copy, local, marshal, mkdir, mkfile, rm, scratch, type State, symlink } from "../../src/llb/mod.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { type EngineRig, engineRig, platform } from "../rig/engine.ts";
import { describeTree, isRoot, makeTree } from "../rig/tree.ts";

/** A directory lent as "context". */
async function context(rig: EngineRig, files: Readonly<Record<string, string>>): Promise<string> {
  const root = join(rig.dir.path, "context");
  mkdirSync(root);
  await makeTree(root, files);
  rig.locals.set("context", root);
  return root;
}

const from = (options: Parameters<typeof local>[1] = {}): State =>
  local("context", { uniqueId: "context", ...options });

test("actions of one op follow each other on the same tree", async () => {
  await using rig = await engineRig();
  const state = scratch().file(
    mkdir("/a/b", 0o750, { makeParents: true })
      .mkfile("/a/b/f", 0o640, "text")
      .symlink("b/f", "/a/link")
      .mkfile("/gone", 0o644, "x")
      .rm("/gone"),
  );
  const files = await rig.files(state);
  assert.equal(readFileSync(join(files, "a/b/f"), "utf8"), "text");
  assert.equal(lstatSync(join(files, "a/b/f")).mode & 0o777, 0o640);
  assert.equal(lstatSync(join(files, "a/b")).mode & 0o777, 0o750);
  assert.equal(readlinkSync(join(files, "a/link")), "b/f");
  assert.throws(() => lstatSync(join(files, "gone")));
});

test(
  "a copy keeps content, mode and links, and resets the owner of a user's files",
  { skip: !isRoot && "needs root" },
  async () => {
    await using rig = await engineRig();
    const root = await context(rig, { "dir/file": "one", "dir/run.sh": "#!/bin/sh" });
    chmodSync(join(root, "dir/run.sh"), 0o755);
    symlinkSync("file", join(root, "dir/link"));
    const files = await rig.files(
      scratch().file(copy(from(), "/dir", "/to/", { createDestPath: true, dirCopyContents: true })),
    );
    assert.deepEqual(
      (await describeTree(join(files, "to"))).map(line => line.replace(/ = .*/, "")),
      ['file: file 644 "one" 0:0', "link: symlink -> file 0:0", 'run.sh: file 755 "#!/bin/sh" 0:0'],
    );
  },
);

test("the result is reused until a byte that is read changes", async () => {
  await using rig = await engineRig();
  const root = await context(rig, { used: "1", unused: "1" });
  const state = scratch().file(copy(from(), "/used", "/copied"));
  const built = async (): Promise<string> => readFileSync(join(await rig.files(state), "copied"), "utf8");
  assert.equal(await built(), "1");
  assert.equal(rig.executed().length, 1);

  writeFileSync(join(root, "unused"), "2");
  utimesSync(join(root, "used"), 1, 1);
  await rig.reopen();
  assert.equal(await built(), "1");
  assert.deepEqual(rig.executed(), []);

  writeFileSync(join(root, "used"), "2");
  await rig.reopen();
  assert.equal(await built(), "2");
  assert.equal(rig.executed().length, 1);
});

test("other bytes with the same size and time are seen", async () => {
  await using rig = await engineRig();
  const root = await context(rig, { used: "aaaa" });
  const state = scratch().file(copy(from(), "/used", "/copied"));
  const old = new Date("2020-01-01");
  utimesSync(join(root, "used"), old, old);
  await rig.files(state);
  writeFileSync(join(root, "used"), "bbbb");
  utimesSync(join(root, "used"), old, old);
  await rig.reopen();
  assert.equal(readFileSync(join(await rig.files(state), "copied"), "utf8"), "bbbb");
});

test("a second source of a copy op counts too", async () => {
  await using rig = await engineRig();
  const root = await context(rig, { a: "1", b: "1" });
  const state = scratch().file(copy(from(), "/a", "/x/", { createDestPath: true }).copy(from(), "/b", "/x/"));
  await rig.files(state);
  writeFileSync(join(root, "b"), "2");
  assert.equal(readFileSync(join(await rig.files(state), "x/b"), "utf8"), "2");
});

test("a missing source that the ignore file hides says which pattern hides it", async () => {
  await using rig = await engineRig();
  await context(rig, { "secret.env": "x" });
  const state = scratch().file(copy(from({ excludePatterns: ["*.env"] }), "/secret.env", "/"));
  await assert.rejects(rig.files(state), (error: unknown) => {
    assert.ok(error instanceof BakeError);
    assert.match(error.message, /secret\.env/);
    assert.match(error.diagnostics[0]?.hint ?? "", /"\*\.env"/);
    return true;
  });
});

test("a missing source fails and nothing is written", async () => {
  await using rig = await engineRig();
  await context(rig, { a: "1" });
  const dest = join(rig.dir.path, "never");
  const state = scratch().file(copy(from(), "/nope", "/"));
  await assert.rejects(rig.solve(state, [{ type: "local", attrs: {}, dest }]), /nope/);
  assert.throws(() => lstatSync(dest));
});

test("removing what is not there fails unless it is allowed", async () => {
  await using rig = await engineRig();
  const base = scratch().file(mkfile("/kept", 0o644, ""));
  await assert.rejects(rig.files(base.file(rm("/nope"))), /nope/);
  const files = await rig.files(
    base.file(rm("/nope", { allowNotFound: true }).rm("/k*", { allowWildcard: true })),
  );
  assert.throws(() => lstatSync(join(files, "kept")));
});

test(
  "an owner by name is looked up in the tree that the action names",
  { skip: !isRoot && "needs root" },
  async () => {
    await using rig = await engineRig();
    const base = scratch().file(
      mkdir("/etc", 0o755)
        .mkfile("/etc/passwd", 0o644, "app:x:1234:56::/:/bin/sh\n")
        .mkfile("/etc/group", 0o644, "staff:x:78:\n"),
    );
    const owned = base.file(mkfile("/f", 0o644, "", { owner: { user: "app", group: "staff" } }));
    const stats = lstatSync(join(await rig.files(owned), "f"));
    assert.deepEqual([stats.uid, stats.gid], [1234, 78]);
    const unknown = base.file(mkfile("/f", 0o644, "", { owner: "nobody" }));
    await assert.rejects(rig.files(unknown), /unknown user "nobody"/);
  },
);

test("two copies of one source by different paths are different results", async () => {
  await using rig = await engineRig();
  await context(rig, { "one/name": "1", "two/name": "2" });
  const one = await rig.files(scratch().file(copy(from(), "/one/name", "/name")));
  const two = await rig.files(scratch().file(copy(from(), "/two/name", "/name")));
  assert.equal(readFileSync(join(one, "name"), "utf8"), "1");
  assert.equal(readFileSync(join(two, "name"), "utf8"), "2");
});

test(
  "a folder whose content is taken back from an ignore file is copied like one that nobody ignores",
  { skip: !isRoot && "needs root" },
  async () => {
    await using rig = await engineRig();
    await context(rig, { "src/d/file": "" });
    const base = scratch().file(mkdir("/to/d", 0o700, { makeParents: true, owner: "7:8" }));
    for (const excludePatterns of [["src/d", "!src/d/file"], []]) {
      const files = await rig.files(
        base.file(copy(from({ excludePatterns }), "/src", "/to/", { dirCopyContents: true })),
      );
      // The second time this is the first one's result: nothing differs in what the step reads.
      assert.deepEqual(await describeTree(join(files, "to")), ["d: dir 755 0:0", 'd/file: file 644 "" 0:0']);
    }
  },
);

test("a copy named after its source is keyed by that name, however the path is written", async () => {
  await using rig = await engineRig();
  await context(rig, { "one/file": "", "two/file": "" });
  const copied = async (source: string): Promise<readonly string[]> => {
    const state = scratch().file(mkdir("/to", 0o755).copy(from(), `/${source}/x`, "/to"));
    const definition = respelled(marshal(state, { platform }), `/${source}/x`, `/${source}/.`);
    const dest = join(rig.dir.path, source);
    await rig.engine.solve(
      [
        {
          name: "app",
          work: { tag: "definition", definition, platform },
          exports: [{ type: "local", attrs: {}, dest }],
        },
      ],
      {
        session: {
          localDir: name => rig.locals.get(name),
          secret: () => Promise.resolve(undefined),
          credentials: () => Promise.resolve(undefined),
        },
        emit: () => undefined,
        signal: new AbortController().signal,
      },
    );
    return readdirSync(join(dest, "to"));
  };
  assert.deepEqual(await copied("one"), ["one"]);
  assert.deepEqual(await copied("two"), ["two"]);
});

/** A definition as another program may write it: with `written` for `plain`, which is as long, in its ops. */
function respelled({ def, ...rest }: Definition, plain: string, written: string): Definition {
  const renamed = new Map<string, string>();
  const respell = (bytes: Uint8Array): Uint8Array => {
    let text = Buffer.from(bytes).toString("latin1").replace(plain, written);
    for (const [before, after] of renamed) text = text.replaceAll(before, after);
    const changed = Buffer.from(text, "latin1");
    renamed.set(digestOf(bytes), digestOf(changed));
    return changed;
  };
  return { ...rest, def: def.map(respell) };
}

test("a symlink in the base cannot lead a write out of the tree", async () => {
  await using rig = await engineRig();
  const outside = join(rig.dir.path, "outside");
  mkdirSync(outside);
  const state = scratch().file(
    symlink(outside, "/out").mkdir(outside, 0o755, { makeParents: true }).mkfile("/out/f", 0o644, "inside"),
  );
  const files = await rig.files(state);
  assert.throws(() => lstatSync(join(outside, "f")));
  assert.equal(readFileSync(join(files, outside, "f"), "utf8"), "inside");
});
