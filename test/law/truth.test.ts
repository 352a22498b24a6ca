// Goal: after any sequence of edits, what the cache gives is what a clean build gives.
// Method: random projects (a Dockerfile with several stages, an ignore file, a context with files, links and modes) are
// edited at random; after each edit the tree of the incremental build is compared with that of a build in a new state
// directory. LAW_RUNS sets the number of sequences (default 25), LAW_SEED the seed.
import assert from "node:assert/strict";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import type { SolveRequest } from "../../src/engine/engine.ts";
import { type EngineRig, engineRig, platform } from "../rig/engine.ts";
import { describeTree } from "../rig/tree.ts";

const FILES = ["a", "b", "d/a", "d/b", "d/e/c", "x.log", "d/y.log"] as const;
const PATTERNS = ["*.log", "d/e", "**/b", "!d/y.log", "a"] as const;
const SOURCES = [".", "a", "d", "d/*", "d/e", "*", "b d/a"] as const;

type Edit =
  | { readonly kind: "write"; readonly file: string; readonly text: string; readonly keepTime: boolean }
  | { readonly kind: "remove"; readonly file: string }
  | { readonly kind: "mode"; readonly file: string; readonly mode: number }
  | { readonly kind: "touch"; readonly file: string }
  | { readonly kind: "link"; readonly file: string; readonly to: string }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "ignore"; readonly patterns: readonly string[] }
  | { readonly kind: "copies"; readonly copies: readonly Copy[] }
  | { readonly kind: "argument"; readonly value: string };

interface Copy {
  readonly source: string;
  readonly dest: string;
  readonly stage: boolean;
}

const file = fc.constantFrom(...FILES);
const copy: fc.Arbitrary<Copy> = fc.record({
  source: fc.constantFrom(...SOURCES),
  dest: fc.constantFrom("/", "/one/", "/two/"),
  stage: fc.boolean(),
});
const edit: fc.Arbitrary<Edit> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("write" as const),
      file,
      text: fc.constantFrom("1", "2", "3"),
      keepTime: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("remove" as const), file }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("mode" as const),
      file,
      mode: fc.constantFrom(0o600, 0o644, 0o755),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("touch" as const), file }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("link" as const),
      file,
      to: fc.constantFrom("a", "b", "d/a", "nowhere", ".."),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("rename" as const), from: file, to: file }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("ignore" as const),
      patterns: fc.uniqueArray(fc.constantFrom(...PATTERNS), { maxLength: 3 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("copies" as const),
      copies: fc.array(copy, { minLength: 1, maxLength: 4 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("argument" as const), value: fc.constantFrom("x", "y") }),
  },
);

interface Project {
  readonly context: string;
  copies: readonly Copy[];
  argument: string;
}

/** Later writes may claim the same time: only content and inode times tell them apart. */
const OLD = new Date("2020-02-02T02:02:02Z");

function apply(project: Project, change: Edit): void {
  const at = (name: string): string => join(project.context, name);
  const place = (name: string): void => {
    // A link or file may stand where a folder is needed.
    for (let folder = dirname(name); folder !== "."; folder = dirname(folder)) {
      const stats = lstatSync(at(folder), { throwIfNoEntry: false });
      if (stats !== undefined && !stats.isDirectory()) rmSync(at(folder));
    }
    mkdirSync(dirname(at(name)), { recursive: true });
    rmSync(at(name), { recursive: true, force: true });
  };
  const exists = (name: string): boolean => lstatSync(at(name), { throwIfNoEntry: false })?.isFile() === true;
  switch (change.kind) {
    case "write":
      place(change.file);
      writeFileSync(at(change.file), change.text);
      if (change.keepTime) utimesSync(at(change.file), OLD, OLD);
      return;
    case "remove":
      rmSync(at(change.file), { recursive: true, force: true });
      return;
    case "mode":
      if (exists(change.file)) chmodSync(at(change.file), change.mode);
      return;
    case "touch":
      if (exists(change.file)) utimesSync(at(change.file), new Date(), new Date());
      return;
    case "link":
      place(change.file);
      symlinkSync(change.to, at(change.file));
      return;
    case "rename":
      if (change.from === change.to || !exists(change.from) || change.to.startsWith(`${change.from}/`))
        return;
      renameSync(at(change.from), at(`${change.from}.moving`));
      place(change.to);
      renameSync(at(`${change.from}.moving`), at(change.to));
      return;
    case "ignore":
      writeFileSync(at(".dockerignore"), change.patterns.join("\n"));
      return;
    case "copies":
      project.copies = change.copies;
      return;
    case "argument":
      project.argument = change.value;
      return;
  }
}

/** A first stage with everything, copied from by some of the copies of the second. Wildcards make no source missing. */
function dockerfile({ copies }: Project): string {
  const lines = copies.map(({ source, dest, stage }) => {
    const sources = source.split(" ").map(path => (path === "." ? "." : `${path}*`));
    return `COPY ${stage ? "--from=all " : ""}${sources.map(path => (stage ? `/src/${path}` : path)).join(" ")} ${dest}`;
  });
  return [
    "FROM scratch AS all",
    "COPY . /src/",
    "FROM scratch",
    "ARG A",
    "ENV A=$A",
    "WORKDIR /$A",
    ...lines,
  ].join("\n");
}

async function build(rig: EngineRig, project: Project, name: string): Promise<readonly string[]> {
  const dest = join(rig.dir.path, name);
  const folder = join(rig.dir.path, "dockerfile");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "Dockerfile"), dockerfile(project));
  rig.locals.set("context", project.context).set("dockerfile", folder);
  const request: SolveRequest = {
    name: "app",
    work: {
      tag: "frontend",
      frontend: "dockerfile.v0",
      request: {
        options: { "build-arg:A": project.argument },
        sessionId: "session",
        buildPlatform: platform,
      },
      links: {},
    },
    exports: [{ type: "local", attrs: {}, dest }],
  };
  try {
    await rig.engine.solve([request], {
      session: {
        localDir: local => rig.locals.get(local),
        secret: () => Promise.resolve(undefined),
        credentials: () => Promise.resolve(undefined),
      },
      emit: () => undefined,
      signal: new AbortController().signal,
    });
    return await describeTree(dest);
  } catch (error) {
    // A failure must be the same failure.
    return [`failed: ${error instanceof Error ? error.message : String(error)}`];
  } finally {
    rmSync(dest, { recursive: true, force: true });
  }
}

test("incremental builds give what clean builds give, whatever was edited", async () => {
  const runs = Number(process.env["LAW_RUNS"] ?? 25);
  const seed = process.env["LAW_SEED"];
  let built = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 2, maxLength: 8 }), async edits => {
      await using kept = await engineRig();
      const context = join(kept.dir.path, "context");
      mkdirSync(context);
      for (const name of FILES)
        apply(
          { context, copies: [], argument: "" },
          { kind: "write", file: name, text: "0", keepTime: true },
        );
      const project: Project = {
        context,
        copies: [{ source: "d", dest: "/one/", stage: false }],
        argument: "x",
      };
      await build(kept, project, "warm");
      for (const [index, change] of edits.entries()) {
        apply(project, change);
        // Every other build is by a new process.
        if (index % 2 === 0) await kept.reopen();
        const incremental = await build(kept, project, "incremental");
        await using fresh = await engineRig();
        assert.deepEqual(
          incremental,
          await build(fresh, project, "clean"),
          `after ${JSON.stringify(change)}`,
        );
        built++;
      }
    }),
    { numRuns: runs, ...(seed !== undefined && { seed: Number(seed) }), endOnFailure: false },
  );
  assert.ok(built >= runs * 2);
});
