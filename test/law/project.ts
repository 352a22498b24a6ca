// Projects of the truth law, as data: what a Dockerfile may consist of, and the edits a user may make, with the folders
// they are made in.
import fc from "fast-check";
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { loadMakeNode, S_IFCHR, S_IFIFO } from "../../src/layer/mknod.ts";
import { loadXattrs } from "../../src/layer/xattr.ts";
import { tarOf } from "./tar.ts";

const xattrs = await loadXattrs();
const makeNode = await loadMakeNode();

const FILES = ["a", "b", "d/a", "d/b", "d/e/c", "x.log", "d/y.log", "odd 'n\"\nme"] as const;
const FOLDERS = ["d", "d/e", "f", "."] as const;
const EXTRA_FILES = ["extra", "f/extra"] as const;
const PATTERNS = ["*.log", "d/e", "**/b", "!d/y.log", "a", "d/*", "!d/a", "d", "!d/e/c"] as const;
const SOURCES = [".", "a", "d", "d/*", "d/e", "*", "b d/a"] as const;
const DESTS = ["/", "/one/", "/two/"] as const;

/** An instruction of the last stage. */
export type Line =
  | {
      readonly kind: "copy";
      readonly source: (typeof SOURCES)[number];
      readonly dest: (typeof DESTS)[number];
      readonly from: "context" | "all" | "extra";
      readonly flags: readonly string[];
    }
  | { readonly kind: "archive" | "heredoc" | "env" | "workdir" }
  /** Needs an OCI runtime. */
  | { readonly kind: "run"; readonly what: Command };

/** Commands whose result depends on what they can see alone; in which order a directory lists its entries is no content. */
const COMMANDS = {
  list: "RUN find /one /two 2>/dev/null | sort > /list",
  argument: "RUN echo $A > /argument",
  bound: `RUN --mount=type=bind,target=/m cd /m && find . | sort > /bound`,
  stage: `RUN --mount=type=bind,from=all,source=/src,target=/m find /m -type f | sort | xargs cat > /stage`,
  cache: `RUN --mount=type=cache,target=/held echo x >> /held/x && echo done > /cache`,
  folder: `RUN --mount=type=bind,source=d,target=/m cd /m && find . -type f | sort | xargs cat > /folder`,
  writes: `RUN --mount=type=bind,target=/m,rw echo x > /m/new && find /m | sort > /writes`,
  heredoc: "RUN <<EOF\nset -e\ncat /one/* > /all 2>/dev/null || true\nEOF",
  fails: "RUN test ! -e /one/a || test ! -e /two/b",
  removes: "RUN rm -rf /one/d /a",
} as const;
type Command = keyof typeof COMMANDS;

export type Edit =
  | {
      readonly kind: "write";
      readonly file: string;
      readonly text: string;
      readonly time: "now" | "old" | "kept";
    }
  | { readonly kind: "remove" | "touch" | "folder"; readonly file: string }
  | { readonly kind: "mode"; readonly file: string; readonly mode: number }
  | { readonly kind: "attribute"; readonly file: string; readonly value: string }
  | { readonly kind: "fifo" | "device"; readonly file: string }
  | { readonly kind: "link" | "hardlink"; readonly file: string; readonly to: string }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "ignore"; readonly patterns: readonly string[] }
  | { readonly kind: "lines"; readonly lines: readonly Line[] }
  | { readonly kind: "extra"; readonly file: string; readonly text: string }
  | { readonly kind: "archive"; readonly text: string }
  | { readonly kind: "argument" | "variable"; readonly value: string }
  /** Nothing: the same once more. */
  | { readonly kind: "nothing" };

export interface Project {
  readonly context: string;
  readonly extra: string;
  lines: readonly Line[];
  argument: string;
  /** A build argument that only some lines use. */
  variable: string;
}

const file = fc.constantFrom(...FILES);
const flags = fc.constantFrom<readonly string[]>(
  [],
  [],
  ["--link"],
  ["--exclude=*.log"],
  ["--chmod=0600"],
  ["--chown=7:8"],
  ["--link", "--exclude=**/a"],
  ["--exclude=d", "--exclude=!d/a"],
  ["--parents"],
  ["--chmod=u=rwX,go=r"],
);
const copy: fc.Arbitrary<Line> = fc.record({
  kind: fc.constant("copy" as const),
  source: fc.constantFrom(...SOURCES),
  dest: fc.constantFrom(...DESTS),
  from: fc.constantFrom("context" as const, "context" as const, "all" as const, "extra" as const),
  flags,
});

export function linesOf(canRun: boolean): fc.Arbitrary<readonly Line[]> {
  const plain = fc.record({
    kind: fc.constantFrom("archive" as const, "heredoc" as const, "env" as const, "workdir" as const),
  });
  const run = fc.record({
    kind: fc.constant("run" as const),
    what: fc.constantFrom(...(Object.keys(COMMANDS) as Command[])),
  });
  const line: fc.Arbitrary<Line> = fc.oneof(
    { weight: 5, arbitrary: copy },
    { weight: 2, arbitrary: plain },
    ...(canRun ? [{ weight: 2, arbitrary: run }] : []),
  );
  return fc.array(line, { minLength: 1, maxLength: 5 });
}

export function editOf(canRun: boolean): fc.Arbitrary<Edit> {
  const kinds: readonly (readonly [weight: number, arbitrary: fc.Arbitrary<Edit>])[] = [
    [
      6,
      fc.record({
        kind: fc.constant("write"),
        file,
        text: fc.constantFrom("1", "2", "3"),
        time: fc.constantFrom("now", "old", "kept"),
      }),
    ],
    [2, fc.record({ kind: fc.constant("remove"), file })],
    [1, fc.record({ kind: fc.constantFrom("touch", "folder"), file })],
    [
      2,
      fc.record({
        kind: fc.constant("mode"),
        file: fc.constantFrom(...FOLDERS),
        mode: fc.constantFrom(0o700, 0o2775, 0o755),
      }),
    ],
    [
      2,
      fc.record({
        kind: fc.constant("attribute"),
        file: fc.constantFrom(...FILES, ...FOLDERS),
        value: fc.constantFrom("1", "2"),
      }),
    ],
    [1, fc.record({ kind: fc.constantFrom("fifo", "device"), file })],
    [2, fc.record({ kind: fc.constant("mode"), file, mode: fc.constantFrom(0o600, 0o644, 0o755) })],
    [
      2,
      fc.record({
        kind: fc.constant("link"),
        file,
        to: fc.constantFrom("a", "b", "d/a", "nowhere", ".."),
      }),
    ],
    [2, fc.record({ kind: fc.constant("hardlink"), file, to: file })],
    [2, fc.record({ kind: fc.constant("rename"), from: file, to: file })],
    [
      1,
      fc.record({
        kind: fc.constant("ignore"),
        patterns: fc.uniqueArray(fc.constantFrom(...PATTERNS), { maxLength: 3 }),
      }),
    ],
    [3, fc.record({ kind: fc.constant("lines"), lines: linesOf(canRun) })],
    [
      1,
      fc.record({
        kind: fc.constant("extra"),
        file: fc.constantFrom(...EXTRA_FILES),
        text: fc.constantFrom("1", "2"),
      }),
    ],
    [1, fc.record({ kind: fc.constant("archive"), text: fc.constantFrom("1", "2") })],
    [2, fc.record({ kind: fc.constantFrom("argument", "variable"), value: fc.constantFrom("x", "y") })],
    [1, fc.record({ kind: fc.constant("nothing") })],
  ];
  return fc.oneof(...kinds.map(([weight, arbitrary]) => ({ weight, arbitrary })));
}

/** Later writes may claim the same time: only content and inode times tell them apart. */
const OLD_MS = Date.UTC(2020, 1, 2);

/** Another one for each: a file in the place of its equal is in a layer for its time alone, and times are in no key. */
function oldTimeOf(file: string): Date {
  return new Date(OLD_MS + 1000 * [...FILES, ...EXTRA_FILES].findIndex(name => name === file));
}

/** A project as it begins. */
export function createProject(folder: string, lines: readonly Line[]): Project {
  const project: Project = {
    context: join(folder, "context"),
    extra: join(folder, "extra"),
    lines,
    argument: "x",
    variable: "x",
  };
  mkdirSync(project.context);
  mkdirSync(project.extra);
  for (const name of FILES) applyEdit(project, { kind: "write", file: name, text: "0", time: "old" });
  for (const name of EXTRA_FILES) applyEdit(project, { kind: "extra", file: name, text: "0" });
  applyEdit(project, { kind: "archive", text: "0" });
  return project;
}

export function applyEdit(project: Project, edit: Edit): void {
  const at = (name: string): string => join(project.context, name);
  const place = (name: string): void => {
    // A link or file may stand where a folder is needed.
    for (let folder = dirname(name); folder !== "."; folder = dirname(folder)) {
      const stats = lstatSync(at(folder), { throwIfNoEntry: false });
      if (stats !== undefined && !stats.isDirectory()) rmSync(at(folder));
    }
    mkdirSync(dirname(at(name)), { recursive: true });
  };
  const clear = (name: string): void => {
    place(name);
    rmSync(at(name), { recursive: true, force: true });
  };
  const statOf = (name: string) => lstatSync(at(name), { throwIfNoEntry: false });
  const isFile = (name: string): boolean => statOf(name)?.isFile() === true;
  const isFolder = (name: string): boolean => statOf(name)?.isDirectory() === true;
  switch (edit.kind) {
    case "write": {
      const before = isFile(edit.file) ? statOf(edit.file) : undefined;
      // In place, as many programs do: another name of the file changes with it.
      if (before === undefined || edit.time === "old") clear(edit.file);
      writeFileSync(at(edit.file), edit.text);
      if (edit.time === "old") utimesSync(at(edit.file), oldTimeOf(edit.file), oldTimeOf(edit.file));
      if (edit.time === "kept" && before !== undefined) utimesSync(at(edit.file), before.atime, before.mtime);
      return;
    }
    case "remove":
      return rmSync(at(edit.file), { recursive: true, force: true });
    case "touch":
      if (isFile(edit.file)) utimesSync(at(edit.file), new Date(), new Date());
      return;
    case "folder":
      clear(edit.file);
      mkdirSync(at(edit.file));
      return;
    case "mode":
      if (isFile(edit.file) || isFolder(edit.file)) chmodSync(at(edit.file), edit.mode);
      return;
    case "attribute":
      if (isFile(edit.file) || isFolder(edit.file))
        xattrs.set(at(edit.file), "user.law", Buffer.from(edit.value));
      return;
    case "fifo":
    case "device":
      clear(edit.file);
      makeNode(at(edit.file), edit.kind === "fifo" ? S_IFIFO | 0o644 : S_IFCHR | 0o600, 1, 3);
      return;
    case "link":
      clear(edit.file);
      return symlinkSync(edit.to, at(edit.file));
    case "hardlink":
      if (edit.file === edit.to || !isFile(edit.to) || edit.to.startsWith(`${edit.file}/`)) return;
      clear(edit.file);
      if (isFile(edit.to)) linkSync(at(edit.to), at(edit.file));
      return;
    case "rename":
      if (edit.from === edit.to || !isFile(edit.from) || edit.to.startsWith(`${edit.from}/`)) return;
      renameSync(at(edit.from), at(`${edit.from}.moving`));
      clear(edit.to);
      if (isFile(`${edit.from}.moving`)) renameSync(at(`${edit.from}.moving`), at(edit.to));
      return;
    case "ignore":
      return writeFileSync(at(".dockerignore"), edit.patterns.join("\n"));
    case "lines":
      project.lines = edit.lines;
      return;
    case "extra":
      mkdirSync(dirname(join(project.extra, edit.file)), { recursive: true });
      return writeFileSync(join(project.extra, edit.file), edit.text);
    case "archive": {
      const files = { "in/file": edit.text, "in/other": "other" };
      return writeFileSync(at("packed.tar"), tarOf(files));
    }
    case "argument":
      project.argument = edit.value;
      return;
    case "variable":
      project.variable = edit.value;
      return;
    case "nothing":
      return;
  }
}

/** A first stage with everything, copied from by some of the copies of the last. Wildcards make no source missing. */
export function dockerfileOf({ lines }: Project): string {
  const needsShell = lines.some(line => line.kind === "run");
  return [
    "FROM scratch AS all",
    "COPY . /src/",
    "FROM scratch",
    "ARG A",
    ...(needsShell ? ["COPY --from=host busybox /bin/busybox", SHELL, "ENV PATH=/bin"] : []),
    ...lines.map(instructionOf),
  ].join("\n");
}

/** The names of busybox that the commands use, without a step that makes them. */
const SHELL = `SHELL ["/bin/busybox", "sh", "-c"]`;

function instructionOf(line: Line): string {
  switch (line.kind) {
    case "copy": {
      const from = line.from === "context" ? [] : [`--from=${line.from}`];
      const base = line.from === "all" ? "/src/" : "";
      const source = line.from === "extra" ? "." : line.source;
      const sources = source.split(" ").map(path => `${base}${path === "." ? "." : `${path}*`}`);
      return ["COPY", ...from, ...line.flags, ...sources, line.dest].join(" ");
    }
    case "archive":
      return "ADD packed.ta* /unpacked/";
    case "heredoc":
      return "COPY <<EOF /written\nvalue $A\nEOF";
    case "env":
      return "ARG V\nENV E=$V";
    case "workdir":
      return "WORKDIR /$A";
    case "run":
      return COMMANDS[line.what];
  }
}
