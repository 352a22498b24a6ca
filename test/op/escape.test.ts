// Goal: steps on a hostile base image or context never reach the host: what its links, users and mount points name is
// looked for inside it. Method: a sentinel folder on the host that the images' links point to, compared afterwards.
import assert from "node:assert/strict";
import { lstatSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { copy, local, mkdir, mkfile, rm, scratch, type State, symlink } from "../../src/llb/mod.ts";
import { busyboxBase, type EngineRig, engineRig, skipWithoutContainers } from "../rig/engine.ts";
import { describeTree, isRoot, makeTree } from "../rig/tree.ts";

interface Host {
  readonly rig: EngineRig;
  readonly outside: string;
  expectUntouched(): Promise<void>;
}

async function hostOf(rig: EngineRig): Promise<Host> {
  const outside = join(rig.dir.path, "outside");
  await makeTree(rig.dir.path, {
    "outside/file": { kind: "file", data: "host", mode: 0o600, mtime: 1_000_000 },
    "outside/etc/passwd": { kind: "file", data: "victim:x:4242:4242::/:/bin/sh\n", mtime: 1_000_000 },
    "outside/etc/group": { kind: "file", data: "victim:x:4242:\n", mtime: 1_000_000 },
    "outside/etc": { kind: "dir", mtime: 1_000_000 },
    outside: { kind: "dir", mtime: 1_000_000 },
  });
  const look = async (): Promise<readonly string[]> => [
    ...(await describeTree(outside, { times: true })),
    `${lstatSync(outside).mtimeMs} ${lstatSync(outside).mode}`,
  ];
  const before = await look();
  return { rig, outside, expectUntouched: async () => assert.deepEqual(await look(), before) };
}

/** Ways of an image to point at a folder of the host. */
const ways = (outside: string): readonly string[] => [
  outside,
  `../../../../../../../../..${outside}`,
  `/proc/1/root${outside}`,
];
const failed = (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => error);
const hostData = (lines: readonly string[]): readonly string[] =>
  lines.filter(line => /"host"|4242/.test(line));

test("file actions on a base image with links to the host stay in it", async () => {
  await using rig = await engineRig();
  const host = await hostOf(rig);
  for (const target of ways(host.outside)) {
    const base = scratch().file(symlink(target, "/out").symlink(`${target}/file`, "/file"));
    const states: readonly State[] = [
      base.file(mkfile("/out/file", 0o777, "x")),
      base.file(mkfile("/file", 0o777, "x")),
      base.file(mkdir("/out/etc/new", 0o777, { makeParents: true })),
      base.file(symlink("/", "/out/link")),
      base.file(rm("/out/file", { allowNotFound: true })),
      base.file(rm("/out/*", { allowWildcard: true, allowNotFound: true })),
      base.file(copy(base, "/file", "/copied", { followSymlink: true })),
      base.file(copy(base, "/out", "/copied", { followSymlink: true, dirCopyContents: true })),
      base.file(copy(scratch().file(mkfile("/f", 0o777, "x")), "/f", "/out/file")),
      base.file(copy(scratch().file(mkdir("/etc", 0o777)), "/", "/out", { dirCopyContents: true })),
    ];
    for (const state of states) {
      const dest = join(rig.dir.path, `tree${Math.random()}`);
      await failed(rig.solve(state, [{ type: "local", attrs: {}, dest }]));
      mkdirSync(dest, { recursive: true });
      assert.deepEqual(hostData(await describeTree(dest)), []);
    }
  }
  await host.expectUntouched();
});

test("a context's links are not followed to the host", async () => {
  await using rig = await engineRig();
  const host = await hostOf(rig);
  const context = join(rig.dir.path, "context");
  mkdirSync(context);
  rig.locals.set("context", context);
  ways(host.outside).forEach((target, index) => {
    symlinkSync(target, join(context, `dir${index}`));
    symlinkSync(`${target}/file`, join(context, `file${index}`));
  });
  for (const src of [
    "/dir0",
    "/dir*",
    "/file0",
    "/file*",
    "/dir0/file",
    "/dir1/etc/passwd",
    "/dir2/file",
    "/",
  ])
    for (const followSymlink of [true, false]) {
      const from = local("context", {
        uniqueId: "c",
        ...(src === "/" ? {} : { followPaths: [src.slice(1)] }),
      });
      const state = scratch().file(
        copy(from, src, "/to/", {
          allowWildcard: true,
          followSymlink,
          createDestPath: true,
          dirCopyContents: true,
        }),
      );
      const dest = join(rig.dir.path, `tree${Math.random()}`);
      await failed(rig.solve(state, [{ type: "local", attrs: {}, dest }]));
      mkdirSync(dest, { recursive: true });
      assert.deepEqual(hostData(await describeTree(dest)), [], `${src} ${followSymlink}`);
    }
  await host.expectUntouched();
});

test("owners are not looked up in the host's files", { skip: !isRoot && "needs root" }, async () => {
  await using rig = await engineRig();
  const host = await hostOf(rig);
  for (const target of ways(host.outside)) {
    for (const base of [
      scratch().file(symlink(`${target}/etc`, "/etc")),
      scratch().file(
        mkdir("/etc", 0o755)
          .symlink(`${target}/etc/passwd`, "/etc/passwd")
          .symlink(`${target}/etc/group`, "/etc/group"),
      ),
    ]) {
      await assert.rejects(
        rig.files(base.file(mkfile("/f", 0o644, "", { owner: "victim" }))),
        /unknown user "victim"/,
      );
      await assert.rejects(
        rig.files(base.file(mkfile("/f", 0o644, "", { owner: { user: 1, group: "victim" } }))),
        /unknown group "victim"/,
      );
    }
  }
  await host.expectUntouched();
});

test(
  "commands on a hostile image: users, working directories and mount points stay inside",
  { skip: skipWithoutContainers },
  async () => {
    await using rig = await engineRig();
    const host = await hostOf(rig);
    rig.secrets.set("s", "secret");
    for (const target of ways(host.outside).slice(0, 2)) {
      const base = busyboxBase().file(symlink(target, "/out").symlink(`${target}/etc`, "/etc"));
      await assert.rejects(rig.files(base.run({ args: ["true"], user: "victim" }).root()), /victim/);
      const data = scratch().file(mkfile("/d", 0o644, "x"));
      const runs: readonly State[] = [
        base.run({ args: ["true"], cwd: "/out/work/here" }).root(),
        base
          .run({
            args: ["sh", "-c", "echo x >/out/c/f"],
            mounts: [{ kind: "cache", target: "/out/c", id: `c${target.length}` }],
          })
          .root(),
        base
          .run({
            args: ["sh", "-c", "echo x >/out/b/f"],
            mounts: [{ kind: "bind", target: "/out/b", from: data }],
          })
          .root(),
        base
          .run({
            args: ["sh", "-c", "echo x >/out/file || true"],
            mounts: [{ kind: "tmpfs", target: "/out" }],
          })
          .root(),
        base.run({ args: ["true"], mounts: [{ kind: "secret", target: "/out/file", id: "s" }] }).root(),
        base.run({ args: ["sh", "-c", "echo x >/out/file; chmod 777 /out /out/file; rm -rf /out/*"] }).root(),
      ];
      for (const state of runs) await failed(rig.files(state));
      const linked = scratch().file(symlink(target, "/link"));
      for (const kind of ["bind", "cache"] as const) {
        const mount = {
          kind,
          target: "/m",
          from: linked,
          source: "/link",
          id: `l${target.length}`,
          readonly: true,
        } as const;
        const found = await failed(
          rig.files(base.run({ args: ["sh", "-c", "cp -r /m /found; ls /m"], mounts: [mount] }).root()),
        );
        if (typeof found === "string") assert.deepEqual(hostData(await describeTree(found)), []);
      }
    }
    await host.expectUntouched();
  },
);

test("a folder is not written through links in the result, nor through those already there", async () => {
  await using rig = await engineRig();
  const host = await hostOf(rig);
  const dest = join(rig.dir.path, "dest");
  const links = scratch().file(symlink(host.outside, "/out").symlink(`${host.outside}/file`, "/file"));
  const files = scratch().file(
    mkdir("/out", 0o755).mkfile("/out/file", 0o644, "x").mkfile("/file", 0o644, "x"),
  );
  await rig.solve(links, [{ type: "local", attrs: {}, dest }]);
  await rig.solve(files, [{ type: "local", attrs: {}, dest }]);
  await rig.solve(links, [{ type: "local", attrs: {}, dest }]);
  await rig.solve(files, [{ type: "local", attrs: {}, dest }]);
  assert.deepEqual([...(await describeTree(dest, { owners: false }))].sort(), [
    'file: file 644 "x"',
    'out/file: file 644 "x"',
    "out: dir 755",
  ]);
  await host.expectUntouched();
});
