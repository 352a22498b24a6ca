// Goal: each attribute of the actions of a file op does what BuildKit's file op does with it (solver/pb/ops.proto,
// solver/llbsolver/file/backend.go, fsutil's copy). Method: a table, a row or more for each attribute; the tree that
// comes of it is compared entry by entry.
import assert from "node:assert/strict";
import { lstatSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { FileAction } from "../../src/llb/mod.ts";
import { copy, mkdir, mkfile, rm, scratch, type State, symlink } from "../../src/llb/mod.ts";
import { engineRig } from "../rig/engine.ts";
import { describeTree, isRoot } from "../rig/tree.ts";

type CopyOptions = NonNullable<Parameters<typeof copy>[3]>;

const DAY = 86_400_000_000_000n;

/** What copies read: some files, two directories, links. */
const source = scratch().file(
  mkdir("/dir/sub", 0o750, { makeParents: true, timestamp: DAY })
    .mkfile("/dir/a.txt", 0o644, "a", { timestamp: DAY })
    .mkfile("/dir/b.md", 0o600, "b", { timestamp: DAY })
    .mkfile("/dir/sub/c.txt", 0o755, "c", { timestamp: DAY })
    .mkfile("/dir/sub/d.md", 0o644, "d", { timestamp: DAY })
    .mkfile("/file", 0o640, "f", { timestamp: DAY })
    .mkdir("/empty", 0o700)
    .symlink("file", "/link")
    .symlink("dir", "/dirlink")
    .symlink("nowhere", "/dangling"),
);

const c = (src: string, dest: string, options: CopyOptions = {}): FileAction =>
  copy(source, src, dest, options);
const make = { createDestPath: true };

const F = 'file 640 "f"';
const into = (prefix: string): readonly string[] => [
  `${prefix}: dir 750`,
  `${prefix}/a.txt: file 644 "a"`,
  `${prefix}/b.md: file 600 "b"`,
  `${prefix}/sub: dir 750`,
  `${prefix}/sub/c.txt: file 755 "c"`,
  `${prefix}/sub/d.md: file 644 "d"`,
];

interface Row {
  readonly name: string;
  readonly base?: State;
  readonly action: FileAction;
  /** The tree, or how it fails. */
  readonly gives: readonly string[] | RegExp;
}

const withDest = scratch().file(mkdir("/to", 0o700).mkfile("/taken", 0o600, "old"));

const rows: readonly Row[] = [
  // copy: where it goes
  { name: "a file to a name", action: c("/file", "/new"), gives: [`new: ${F}`] },
  {
    name: "a file into an existing directory",
    base: withDest,
    action: c("/file", "/to"),
    gives: ['taken: file 600 "old"', "to: dir 700", `to/file: ${F}`],
  },
  {
    name: "a file over a file",
    base: withDest,
    action: c("/file", "/taken"),
    gives: [`taken: ${F}`, "to: dir 700"],
  },
  {
    name: "createDestPath makes what is missing",
    action: c("/file", "/x/y/", make),
    gives: ["x: dir 755", "x/y: dir 755", `x/y/file: ${F}`],
  },
  {
    name: "without createDestPath a missing directory is an error",
    action: c("/file", "/x/y"),
    gives: /does not exist/,
  },
  // copy: directories
  { name: "a directory to a new name", action: c("/dir", "/new"), gives: into("new") },
  {
    name: "a directory into an existing one",
    base: scratch().file(mkdir("/to", 0o700)),
    action: c("/dir", "/to"),
    gives: ["to: dir 700", ...into("to/dir")],
  },
  {
    name: "dirCopyContents takes what is in it",
    base: scratch().file(mkdir("/to", 0o700)),
    action: c("/dir", "/to", { dirCopyContents: true }),
    gives: ["to: dir 700", ...into("to").slice(1)],
  },
  {
    name: "dirCopyContents to a new name gives that the default mode",
    action: c("/empty", "/new", { dirCopyContents: true }),
    gives: ["new: dir 755"],
  },
  {
    name: "a directory over a file is an error",
    base: withDest,
    action: c("/dir", "/taken", { dirCopyContents: true }),
    gives: /taken/,
  },
  {
    name: "a file over a directory is an error",
    base: scratch().file(mkdir("/to/file", 0o755, { makeParents: true })),
    action: c("/file", "/to/"),
    gives: /in the way/,
  },
  {
    name: "alwaysReplaceExistingDestPaths: a file over a directory",
    base: scratch().file(mkdir("/to/file/in", 0o755, { makeParents: true })),
    action: c("/file", "/to/", { alwaysReplaceExistingDestPaths: true }),
    gives: ["to: dir 755", `to/file: ${F}`],
  },
  {
    name: "alwaysReplaceExistingDestPaths: a directory over a file within a copied directory",
    base: scratch().file(mkdir("/to", 0o755).mkfile("/to/sub", 0o644, "old")),
    action: c("/dir", "/to", { dirCopyContents: true, alwaysReplaceExistingDestPaths: true }),
    gives: ["to: dir 755", ...into("to").slice(1)],
  },
  // copy: wildcards
  {
    name: "allowWildcard takes all that match",
    action: c("/dir/*.txt", "/x/", { ...make, allowWildcard: true }),
    gives: ["x: dir 755", 'x/a.txt: file 644 "a"'],
  },
  {
    name: "a wildcard does not cross directories",
    action: c("/*/*.txt", "/x/", { ...make, allowWildcard: true }),
    gives: ["x: dir 755", 'x/a.txt: file 644 "a"'],
  },
  {
    name: "without allowWildcard a star is a name",
    action: c("/dir/*.txt", "/x/", make),
    gives: /does not exist/,
  },
  {
    name: "no match is an error",
    action: c("/nope*", "/x/", { ...make, allowWildcard: true }),
    gives: /nope\*.*does not exist/,
  },
  {
    name: "allowEmptyWildcard: no match is nothing",
    action: c("/nope*", "/x/", { ...make, allowWildcard: true, allowEmptyWildcard: true }),
    gives: [],
  },
  {
    name: "allowEmptyWildcard does not excuse a plain name",
    action: c("/nope", "/x/", { ...make, allowWildcard: true, allowEmptyWildcard: true }),
    gives: /does not exist/,
  },
  // copy: links
  { name: "a link is copied as a link", action: c("/link", "/new"), gives: ["new: symlink -> file"] },
  {
    name: "followSymlink copies what it leads to",
    action: c("/link", "/new", { followSymlink: true }),
    gives: [`new: ${F}`],
  },
  {
    name: "followSymlink keeps the link's name in a directory",
    base: scratch().file(mkdir("/to", 0o755)),
    action: c("/link", "/to/", { followSymlink: true }),
    gives: ["to: dir 755", `to/link: ${F}`],
  },
  {
    name: "followSymlink to a directory",
    action: c("/dirlink", "/new", { followSymlink: true, dirCopyContents: true }),
    gives: ["new: dir 755", ...into("new").slice(1)],
  },
  {
    name: "links on the way are followed in any case",
    action: c("/dirlink/a.txt", "/new"),
    gives: ['new: file 644 "a"'],
  },
  {
    name: "followSymlink of a link that leads nowhere is an error",
    action: c("/dangling", "/new", { followSymlink: true }),
    gives: /does not exist/,
  },
  // copy: mode
  { name: "mode of a file", action: c("/file", "/new", { mode: 0o4711 }), gives: ['new: file 4711 "f"'] },
  {
    name: "mode of directories and what is in them",
    action: c("/dir/sub", "/new", { mode: 0o700 }),
    gives: ["new: dir 700", 'new/c.txt: file 700 "c"', 'new/d.md: file 700 "d"'],
  },
  {
    name: "mode of directories made on the way",
    action: c("/file", "/x/", { ...make, mode: 0o700 }),
    gives: ["x: dir 700", 'x/file: file 700 "f"'],
  },
  { name: "mode 0", action: c("/file", "/new", { mode: 0 }), gives: ['new: file 0 "f"'] },
  {
    name: "mode of a link is none",
    action: c("/link", "/new", { mode: 0o700 }),
    gives: ["new: symlink -> file"],
  },
  ...(
    [
      ["u+x", 0o740, 0o750],
      ["g=rX,o=", 0o640, 0o750],
      ["a-rwx,u=rw", 0o600, 0o600],
      ["go-r", 0o600, 0o710],
      ["+x", 0o751, 0o751],
      ["u=rwX,go=rX", 0o644, 0o755],
      ["o=u", 0o646, 0o757],
      ["u+s,g+s", 0o6640, 0o6750],
      ["+t", 0o1640, 0o1750],
      ["0600", 0o600, 0o600],
    ] as const
  ).flatMap(([modeStr, file, directory]): readonly Row[] => [
    {
      name: `modeStr ${modeStr} of a file`,
      action: c("/file", "/new", { modeStr }),
      gives: [`new: file ${file.toString(8)} "f"`],
    },
    {
      name: `modeStr ${modeStr} of a directory`,
      action: c("/dir/sub", "/new", { modeStr, excludePatterns: ["*"] }),
      gives: [`new: dir ${directory.toString(8)}`],
    },
  ]),
  {
    name: "a modeStr that is none",
    action: c("/file", "/new", { modeStr: "u~x" }),
    gives: /invalid mode "u~x"/,
  },
  // copy: patterns
  {
    name: "includePatterns",
    action: c("/dir", "/new", { includePatterns: ["**/*.txt"] }),
    gives: ["new: dir 750", 'new/a.txt: file 644 "a"', "new/sub: dir 750", 'new/sub/c.txt: file 755 "c"'],
  },
  {
    name: "includePatterns that match nothing make no directories below",
    action: c("/dir", "/new", { includePatterns: ["*.none"] }),
    gives: ["new: dir 750"],
  },
  {
    name: "excludePatterns",
    action: c("/dir", "/new", { excludePatterns: ["**/*.md", "sub"] }),
    gives: ["new: dir 750", 'new/a.txt: file 644 "a"'],
  },
  {
    name: "excludePatterns with exceptions",
    action: c("/dir", "/new", { excludePatterns: ["*", "!sub/c.txt"] }),
    gives: ["new: dir 750", "new/sub: dir 750", 'new/sub/c.txt: file 755 "c"'],
  },
  {
    name: "includePatterns and excludePatterns",
    action: c("/dir", "/new", { includePatterns: ["sub"], excludePatterns: ["sub/*.md"] }),
    gives: ["new: dir 750", "new/sub: dir 750", 'new/sub/c.txt: file 755 "c"'],
  },
  {
    name: "a directory that only holds what is included gets the source's mode where it was before",
    base: scratch().file(mkdir("/new/sub", 0o777, { makeParents: true })),
    action: c("/dir", "/new", { dirCopyContents: true, includePatterns: ["sub/c.txt"] }),
    gives: ["new: dir 777", "new/sub: dir 750", 'new/sub/c.txt: file 755 "c"'],
  },
  {
    name: "requiredPaths that are there",
    action: c("/", "/new", { dirCopyContents: true, includePatterns: ["file"], requiredPaths: ["file"] }),
    gives: ["new: dir 755", `new/file: ${F}`],
  },
  {
    name: "requiredPaths that are not",
    action: c("/", "/new", { dirCopyContents: true, includePatterns: ["nope"], requiredPaths: ["nope"] }),
    gives: /"nope" does not exist/,
  },
  // mkdir
  { name: "mkdir", action: mkdir("/d", 0o2751), gives: ["d: dir 751"] },
  { name: "mkdir without its parent", action: mkdir("/a/d", 0o755), gives: /no such file/ },
  {
    name: "mkdir with parents, all of one mode",
    action: mkdir("/a/b", 0o700, { makeParents: true }),
    gives: ["a: dir 700", "a/b: dir 700"],
  },
  {
    name: "mkdir of what is there",
    base: withDest,
    action: mkdir("/to", 0o755).mkdir("/to", 0o755, { makeParents: true }),
    gives: ['taken: file 600 "old"', "to: dir 700"],
  },
  {
    name: "mkdir where a file is",
    base: withDest,
    action: mkdir("/taken", 0o755),
    gives: ['taken: file 600 "old"', "to: dir 700"],
  },
  {
    name: "mkdir with parents where a file is",
    base: withDest,
    action: mkdir("/taken/x", 0o755, { makeParents: true }),
    gives: /not a directory/,
  },
  // mkfile
  { name: "mkfile", action: mkfile("/f", 0o4755, "x"), gives: ['f: file 755 "x"'] },
  {
    name: "mkfile over a file keeps its mode",
    base: withDest,
    action: mkfile("/taken", 0o777, "new"),
    gives: ['taken: file 600 "new"', "to: dir 700"],
  },
  { name: "mkfile without its parent", action: mkfile("/a/f", 0o644, ""), gives: /no such file/ },
  {
    name: "mkfile where a directory is",
    base: withDest,
    action: mkfile("/to", 0o644, ""),
    gives: /directory/,
  },
  {
    name: "mkfile through a link",
    base: source,
    action: mkfile("/dangling", 0o644, "x").rm("/dir").rm("/empty").rm("/file").rm("/link").rm("/dirlink"),
    gives: ["dangling: symlink -> nowhere", 'nowhere: file 644 "x"'],
  },
  // rm
  {
    name: "rm of a file and a directory",
    base: source,
    action: rm("/dir").rm("/file").rm("/empty/").rm("/link").rm("/dirlink"),
    gives: ["dangling: symlink -> nowhere"],
  },
  { name: "rm of what is not there", action: rm("/nope"), gives: /cannot remove "\/nope": no such file/ },
  {
    name: "rm with allowNotFound",
    action: mkfile("/f", 0o644, "").rm("/nope", { allowNotFound: true }),
    gives: ['f: file 644 ""'],
  },
  { name: "rm with a star is a name", action: mkfile("/f", 0o644, "").rm("/*"), gives: /no such file/ },
  {
    name: "rm with allowWildcard",
    base: source,
    action: rm("/d*", { allowWildcard: true }).rm("/[el]*", { allowWildcard: true }),
    gives: [`file: ${F}`],
  },
  {
    name: "rm with allowWildcard that matches nothing",
    action: mkfile("/f", 0o644, "").rm("/x*", { allowWildcard: true }),
    gives: ['f: file 644 ""'],
  },
  { name: "rm of the root", action: mkfile("/f", 0o644, "").rm("/"), gives: /it is the root/ },
  // symlink
  { name: "symlink", action: symlink("any/../thing", "/l"), gives: ["l: symlink -> any/../thing"] },
  {
    name: "symlink where something is",
    base: withDest,
    action: symlink("x", "/taken"),
    gives: /exists already/,
  },
  {
    name: "symlink at a link goes where that leads",
    action: symlink("/real", "/l").symlink("x", "/l"),
    gives: ["l: symlink -> /real", "real: symlink -> x"],
  },
  { name: "symlink without its parent", action: symlink("x", "/a/l"), gives: /no such file/ },
];

test("attributes of file actions, one by one", async t => {
  await using rig = await engineRig();
  for (const { name, base = scratch(), action, gives } of rows) {
    await t.test(
      name,
      { skip: name === "mode 0" && !isRoot && "nobody but root reads such a file" },
      async () => {
        const files = rig.files(base.file(action));
        if (gives instanceof RegExp) await assert.rejects(files, gives);
        else assert.deepEqual(await describeTree(await files, { owners: false }), gives);
      },
    );
  }
});

test("times: of everything made, of the source when none is given, and -1 for the present", async () => {
  await using rig = await engineRig();
  const at = (ns: bigint): number => Number(ns / 1_000_000_000n);
  const timestamp = 3n * DAY + 123_456_789n;
  const files = await rig.files(
    scratch().file(
      mkdir("/d/e", 0o755, { makeParents: true, timestamp })
        .mkfile("/f", 0o644, "", { timestamp })
        .symlink("x", "/l", { timestamp })
        .copy(source, "/dir", "/copied/here/", { ...make, timestamp })
        .copy(source, "/dir", "/kept"),
    ),
  );
  for (const path of [
    "d",
    "d/e",
    "f",
    "l",
    "copied",
    "copied/here",
    "copied/here/dir",
    "copied/here/dir/sub/c.txt",
  ])
    assert.equal(lstatSync(join(files, path), { bigint: true }).mtimeNs, timestamp, path);
  for (const path of ["kept/a.txt", "kept/sub/d.md"])
    assert.equal(Math.floor(lstatSync(join(files, path)).mtimeMs / 1000), at(DAY), path);
  const now = lstatSync(join(await rig.files(scratch().file(mkfile("/f", 0o644, ""))), "f")).mtimeMs;
  assert.ok(Date.now() - now < 60_000);
});

test(
  "owners: by id, by name in the tree below, by name in another input, user and group apart",
  { skip: !isRoot && "needs root" },
  async () => {
    await using rig = await engineRig();
    const users = scratch().file(
      mkdir("/etc", 0o755)
        .mkfile("/etc/passwd", 0o644, "app:x:1234:56::/:/bin/sh\n")
        .mkfile("/etc/group", 0o644, "staff:x:78:\napp:x:99:\n"),
    );
    const owners: readonly (readonly [NonNullable<CopyOptions["owner"]>, string])[] = [
      ["app", "1234:56"],
      ["app:staff", "1234:78"],
      ["7", "7:7"],
      ["7:8", "7:8"],
      [{ user: 7 }, "7:7"],
      [{ user: "app", group: 5 }, "1234:5"],
    ];
    for (const [owner, expected] of owners) {
      const files = await rig.files(
        users.file(
          mkdir("/d/e", 0o755, { makeParents: true, owner })
            .mkfile("/f", 0o644, "", { owner })
            .symlink("x", "/l", { owner })
            .copy(source, "/dir", "/c/", { ...make, owner }),
        ),
      );
      for (const path of ["d", "d/e", "f", "l", "c", "c/dir", "c/dir/sub/c.txt"]) {
        const { uid, gid } = lstatSync(join(files, path));
        assert.equal(`${uid}:${gid}`, expected, `${JSON.stringify(owner)} ${path}`);
      }
    }
    const setuid = scratch()
      .file(mkfile("/f", 0o755, ""))
      .file(copy(scratch().file(mkfile("/f", 0o755, "")), "/f", "/g", { mode: 0o6755, owner: "7:8" }));
    assert.equal(
      lstatSync(join(await rig.files(setuid), "g")).mode & 0o7777,
      0o6755,
      "the owner does not take setuid away",
    );
  },
);
