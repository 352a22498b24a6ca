#!/usr/bin/env node
// The file that is run. It reads the whole program as text (scripts/build.mjs puts it beside) and starts it with the code
// that the engine compiled in an earlier run, kept below the user's cache folder: compiling takes longer than most of
// what `bake --print` does. Without that folder, or when it is damaged, the program just starts more slowly.
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";
import { Script } from "node:vm";

/** Another one for each other text. */
declare const PROGRAM_ID: string;

/**
 * So many runs after each other are one that may add the functions it needed: the first ones each need something else,
 * and whoever begins to build in another way should not pay for it for long.
 */
const TURN = 8;
/** Bytes of compiled code that are worth writing all of it again. */
const WORTH_ADDING = 24 << 10;

/** Compiled code older than this is most likely not used any more; if it is, it is made again. */
const KEPT_MS = 14 * 24 * 3600_000;
/** That of another version, or build, of the program. */
const KEPT_OF_OTHERS_MS = 24 * 3600_000;

// Below the home folder, not in the shared temporary one, where others could put code in our way.
const folder = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "llbake", "compiled");
const name = `${PROGRAM_ID}-${process.version}-${process.arch}-${kindOfRun(process.argv.slice(2))}`;

const load = createRequire(__filename);
const cachedData = readCompiled();
/** A function of `require` and `process` that runs the program. It is ASCII, for which no decoding is needed. */
const text = readFileSync(join(__dirname, `program-${PROGRAM_ID}.js`), "latin1");
const script = new Script(text, {
  filename: __filename,
  ...(cachedData && { cachedData }),
});
if (cachedData === undefined || script.cachedDataRejected === true) process.on("exit", writeCompiled);
else if (isTurn()) {
  const before = codeSize();
  // What failed needed other functions than what succeeds.
  process.on("exit", code => {
    if (code === 0 && codeSize() - before > WORTH_ADDING) writeCompiled();
  });
}
(script.runInThisContext() as (...args: readonly unknown[]) => void)(load, process);

/** Runs of one kind need about the same functions; what no run needed is not among the compiled code they leave. */
function kindOfRun(args: readonly string[]): string {
  if (args.some(arg => /^(?:--version|--help|-h|help)$/.test(arg))) return "short";
  if (args.some(arg => /^--(?:print|list)/.test(arg))) return "print";
  return (
    /^(?:build-llb|cache-mount|context|debug|doctor|du|explain|plan|prune|shell)$/.exec(args[0] ?? "")?.[0] ??
    "build"
  );
}

/** Whether this run may add functions. Each leaves a byte in a file, to be counted. */
function isTurn(): boolean {
  try {
    const path = join(folder, `${name}.runs`);
    appendFileSync(path, ".");
    const { size } = statSync(path);
    if (size > TURN) truncateSync(path, 1);
    return size === 1 || size > TURN;
  } catch {
    return false;
  }
}

/** Bytes of code that the engine has compiled or been given. Telling takes it a millisecond. */
function codeSize(): number {
  return (load("node:v8") as typeof import("node:v8")).getHeapCodeStatistics().bytecode_and_metadata_size;
}

function readCompiled(): Buffer | undefined {
  try {
    return readFileSync(join(folder, name));
  } catch {
    return undefined;
  }
}

/** Never fails the run: the cache is only a shortcut. */
function writeCompiled(): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const other of readdirSync(folder)) {
      const path = join(folder, other);
      const kept = other.startsWith(PROGRAM_ID) ? KEPT_MS : KEPT_OF_OTHERS_MS;
      if (Date.now() - statSync(path).mtimeMs > kept) rmSync(path, { recursive: true });
    }
    const draft = join(folder, `${name}.${process.pid}`);
    writeFileSync(draft, script.createCachedData());
    // Some file systems write a file to disk when it replaces another one.
    rmSync(join(folder, name), { force: true });
    renameSync(draft, join(folder, name));
  } catch {
    // A full disk or a home folder that cannot be written to.
  }
}
