// Goal: exec ops run real commands on real mounts, keep what they may keep, and are cached by what they can see.
import assert from "node:assert/strict";
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { describe, test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import { local, merge, mkfile, scratch } from "../../src/llb/mod.ts";
import { busyboxBase, engineRig, skipWithoutContainers } from "../rig/engine.ts";
import { makeTree } from "../rig/tree.ts";

describe("exec", { skip: skipWithoutContainers }, () => {
  test("a command sees its environment, directory and user, and its files become the result", async () => {
    await using rig = await engineRig();
    const state = busyboxBase().run({
      shell: `echo "$A $(pwd) $(id -u)" > /out`,
      env: { A: "a" },
      cwd: "/bin",
      user: "0",
    });
    assert.equal(readFileSync(join(await rig.files(state.root()), "out"), "utf8"), "a /bin 0\n");
  });

  test("a step that has run is not run again by the next process", async () => {
    await using rig = await engineRig();
    const state = busyboxBase().run({ shell: "cat /proc/sys/kernel/random/uuid > /uuid" }).root();
    const first = readFileSync(join(await rig.files(state), "uuid"), "utf8");
    rig.executed();
    await rig.reopen();
    assert.equal(readFileSync(join(await rig.files(state), "uuid"), "utf8"), first);
    assert.deepEqual(rig.executed(), []);
  });

  test("a failing command says what it was and how it ended, and runs again the next time", async () => {
    await using rig = await engineRig();
    const state = busyboxBase().run({ shell: "echo before; exit 7" }).root();
    for (let attempt = 0; attempt < 2; attempt++) {
      await assert.rejects(rig.files(state), (error: unknown) => {
        assert.ok(error instanceof BakeError);
        assert.equal(error.code, "step-failed");
        assert.match(error.message, /exit code 7/);
        assert.match(error.message, /echo before; exit 7/);
        return true;
      });
    }
    const logs = rig.events
      .filter(event => event.type === "log")
      .map(event => Buffer.from(event.data).toString());
    assert.deepEqual(logs.join("").match(/before/g)?.length, 2);
  });

  test("exit codes that are declared valid are no failure", async () => {
    await using rig = await engineRig();
    const state = busyboxBase().run({ shell: "echo x > /out; exit 3", validExitCodes: [3] });
    assert.equal(readFileSync(join(await rig.files(state.root()), "out"), "utf8"), "x\n");
  });

  test("a bind mount shows another result; read-only ones cannot be written, others keep nothing in the root", async () => {
    await using rig = await engineRig();
    const data = scratch().file(mkfile("/f", 0o644, "data"));
    const base = busyboxBase();
    const readonly = base.run({
      shell: "cat /mnt/f > /seen; touch /mnt/no 2>/dev/null || echo denied >> /seen",
      mounts: [{ kind: "bind", target: "/mnt", from: data, readonly: true }],
    });
    const files = await rig.files(readonly.root());
    assert.equal(readFileSync(join(files, "seen"), "utf8"), "datadenied\n");
    assert.ok(!existsSync(join(files, "mnt")));

    const written = base.run({
      shell: "echo more >> /mnt/f",
      mounts: [{ kind: "bind", target: "/mnt", from: data }],
    });
    assert.equal(readFileSync(join(await rig.files(written.getMount("/mnt")), "f"), "utf8"), "datamore\n");
    assert.equal(readFileSync(join(await rig.files(data), "f"), "utf8"), "data");
  });

  test("a bind mount of a user's directory cannot change it and counts by content", async () => {
    await using rig = await engineRig();
    const root = join(rig.dir.path, "src");
    mkdirSync(root);
    await makeTree(root, { "a.txt": "1", "hidden.log": "secret" });
    rig.locals.set("src", root);
    const state = busyboxBase()
      .run({
        shell: "ls /src > /list; cat /src/a.txt >> /list; echo no > /src/a.txt || true",
        mounts: [
          {
            kind: "bind",
            target: "/src",
            from: local("src", { uniqueId: "src", excludePatterns: ["*.log"] }),
            noOutput: true,
          },
        ],
      })
      .root();
    assert.equal(readFileSync(join(await rig.files(state), "list"), "utf8"), "a.txt\n1");
    assert.equal(readFileSync(join(root, "a.txt"), "utf8"), "1");
    rig.executed();
    writeFileSync(join(root, "hidden.log"), "other");
    await rig.files(state);
    assert.deepEqual(rig.executed(), []);
    writeFileSync(join(root, "a.txt"), "2");
    assert.equal(readFileSync(join(await rig.files(state), "list"), "utf8"), "a.txt\n2");
  });

  test("a bind mount of a piece of a user's directory takes that piece alone, and nothing of it is kept", async () => {
    await using rig = await engineRig();
    const root = join(rig.dir.path, "src");
    await makeTree(root, {
      "d/file": { kind: "file", data: "1", mode: 0o640 },
      "d/sub/x": "2",
      "d/hidden.log": "",
      other: "3",
      link: { kind: "symlink", target: "d/sub" },
      d: { kind: "dir", mode: 0o750 },
    });
    rig.locals.set("src", root);
    const source = local("src", { uniqueId: "src", excludePatterns: ["**/*.log"] });
    const shown = (target: string, selector: string, readonly: boolean) =>
      ({ kind: "bind", target, from: source, source: selector, readonly, noOutput: true }) as const;
    const state = busyboxBase()
      .run({
        shell: "cd / && find /d /f /l /w -exec stat -c '%n %a %u' {} + | sort > /list; touch /w/new",
        mounts: [
          shown("/d", "d", true),
          shown("/f", "d/file", true),
          shown("/l", "link", true),
          shown("/w", "d/sub", false),
        ],
      })
      .root();
    assert.deepEqual(
      readFileSync(join(await rig.files(state), "list"), "utf8")
        .trim()
        .split("\n"),
      [
        "/d 750 0",
        "/d/file 640 0",
        "/d/sub 755 0",
        "/d/sub/x 644 0",
        "/f 640 0",
        "/l 755 0",
        "/l/x 644 0",
        "/w 755 0",
        "/w/x 644 0",
      ],
    );
    const kept = readdirSync(join(rig.dir.path, "state"), { recursive: true, encoding: "utf8" });
    assert.deepEqual(
      kept.filter(path => /\/(?:other|x|file)$/.test(path)),
      [],
    );
  });

  test("a cache mount begins with what the ignore file leaves of a user's directory, and is root's", async () => {
    await using rig = await engineRig();
    const root = join(rig.dir.path, "src");
    await makeTree(root, { "a.txt": { kind: "file", data: "1", uid: 7, gid: 8 }, "hidden.log": "secret" });
    chownSync(root, 7, 8);
    rig.locals.set("src", root);
    const state = busyboxBase()
      .run({
        shell: "find /cache -exec stat -c '%n %u:%g' {} + | sort > /list",
        mounts: [
          {
            kind: "cache",
            target: "/cache",
            id: "begun",
            from: local("src", { uniqueId: "src", excludePatterns: ["*.log"] }),
          },
        ],
      })
      .root();
    assert.equal(
      readFileSync(join(await rig.files(state), "list"), "utf8"),
      "/cache 0:0\n/cache/a.txt 0:0\n",
    );
  });

  test("a cache mount outlives builds and is not part of the result", async () => {
    await using rig = await engineRig();
    const step = (text: string) =>
      busyboxBase()
        .run({
          shell: `echo ${text} >> /cache/log; cp /cache/log /seen`,
          mounts: [{ kind: "cache", target: "/cache", id: "c" }],
        })
        .root();
    await rig.files(step("one"));
    await rig.reopen();
    const files = await rig.files(step("two"));
    assert.equal(readFileSync(join(files, "seen"), "utf8"), "one\ntwo\n");
    assert.ok(!existsSync(join(files, "cache")));
  });

  test("a step may mount one locked cache twice, and two steps two of them the other way round", async () => {
    await using rig = await engineRig();
    const locked = (target: string, id: string) =>
      ({ kind: "cache", target, id, sharing: "locked" }) as const;
    const base = busyboxBase();
    const twice = base.run({
      shell: "touch /a/x && ls /b > /twice",
      mounts: [locked("/a", "one"), locked("/b", "one")],
    });
    assert.equal(readFileSync(join(await rig.files(twice.root()), "twice"), "utf8"), "x\n");
    const crossed = ["1", "2", "3", "4"].map(n =>
      base
        .run({
          shell: `echo ${n} > /done${n}`,
          mounts:
            n < "3" ? [locked("/a", "one"), locked("/b", "two")] : [locked("/a", "two"), locked("/b", "one")],
        })
        .root(),
    );
    const files = await rig.files(merge(crossed));
    for (const n of ["1", "2", "3", "4"]) assert.ok(existsSync(join(files, `done${n}`)));
  });

  test("a tmpfs is empty, writable and gone afterwards", async () => {
    await using rig = await engineRig();
    const state = busyboxBase().run({
      shell: "ls /tmpfs > /seen; touch /tmpfs/x",
      mounts: [{ kind: "tmpfs", target: "/tmpfs" }],
    });
    const files = await rig.files(state.root());
    assert.equal(readFileSync(join(files, "seen"), "utf8"), "");
    assert.ok(!existsSync(join(files, "tmpfs")));
  });

  test("a secret reaches the command and nothing else", async () => {
    await using rig = await engineRig();
    const value = "hunter2-6f1c9a";
    rig.secrets.set("token", value);
    const state = busyboxBase()
      .run({
        shell: "wc -c < /run/secrets/token > /length; stat -c %a /run/secrets/token >> /length",
        mounts: [{ kind: "secret", target: "/run/secrets/token", id: "token" }],
      })
      .root();
    const files = await rig.files(state);
    assert.equal(readFileSync(join(files, "length"), "utf8"), `${value.length}\n400\n`);
    assert.ok(!existsSync(join(files, "run/secrets")));
    assert.equal(filesHolding(join(rig.dir.path), value), "");
  });

  test("a secret that was not given fails before the command runs, unless it is optional", async () => {
    await using rig = await engineRig();
    const step = (optional: boolean) =>
      busyboxBase()
        .run({
          shell: "test ! -e /s && echo none > /seen",
          mounts: [{ kind: "secret", target: "/s", id: "nope", optional }],
        })
        .root();
    await assert.rejects(rig.files(step(false)), /secret "nope"/);
    assert.equal(readFileSync(join(await rig.files(step(true)), "seen"), "utf8"), "none\n");
  });

  test("mount points leave no stubs in the result", async () => {
    await using rig = await engineRig();
    const files = await rig.files(
      scratch()
        .file(mkfile("/empty", 0o644, ""))
        .run({
          args: ["/tools/busybox", "true"],
          mounts: [
            {
              kind: "bind",
              target: "/tools",
              from: local("busybox", { uniqueId: "busybox", followPaths: ["busybox"] }),
              readonly: true,
            },
          ],
        })
        .root(),
    );
    assert.deepEqual(readdirSync(files), ["empty"]);
    assert.ok(lstatSync(join(files, "empty")).isFile());
  });

  test("a command that is not in the image is named", async () => {
    await using rig = await engineRig();
    await assert.rejects(
      rig.files(
        busyboxBase()
          .run({ args: ["/no/such/program"] })
          .root(),
      ),
      /\/no\/such\/program/,
    );
    await assert.rejects(rig.files(busyboxBase().run({ shell: "no-such-command" }).root()), /127/);
  });
});

/** The files below `folder` that hold `text`, as grep prints them. */
function filesHolding(folder: string, text: string): string {
  try {
    return execFileSync("grep", ["-rlaF", text, folder], { encoding: "utf8" });
  } catch {
    return "";
  }
}
