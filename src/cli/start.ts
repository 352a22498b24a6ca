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
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";
import { Script } from "node:vm";

/** Another one for each other text. */
declare const PROGRAM_ID: string;

/** Which runs add the functions they needed; those after the last are as those before were. */
const TURNS: readonly number[] = [2, 8, 32];

/** Compiled code older than this is most likely of a program that is gone; if not, it is made again. */
const KEPT_MS = 14 * 24 * 3600_000;

// Below the home folder, not in the shared temporary one, where others could put code in our way.
const folder = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "llbake", "compiled");
const name = `${PROGRAM_ID}-${process.version}-${process.arch}-${kindOfRun(process.argv.slice(2))}`;

const cachedData = readCompiled();
/** A function of `require` and `process` that runs the program. It is ASCII, for which no decoding is needed. */
const text = readFileSync(join(__dirname, `program-${PROGRAM_ID}.js`), "latin1");
const script = new Script(text, {
  filename: __filename,
  ...(cachedData && { cachedData }),
});
process.on("exit", code => {
  // What failed needed other functions than what succeeds.
  if (cachedData === undefined || script.cachedDataRejected === true || (code === 0 && isTurn()))
    writeCompiled();
});
(script.runInThisContext() as (...args: readonly unknown[]) => void)(createRequire(__filename), process);

/** Runs of one kind need about the same functions; what no run needed is not among the compiled code they leave. */
function kindOfRun(args: readonly string[]): string {
  if (args.some(arg => /^(?:--version|--help|-h|help)$/.test(arg))) return "short";
  if (args.some(arg => /^--(?:print|list)/.test(arg))) return "print";
  return (
    /^(?:build-llb|cache-mount|context|debug|doctor|du|explain|plan|prune|shell)$/.exec(args[0] ?? "")?.[0] ??
    "build"
  );
}

/**
 * Whether this run is to add the functions it needed to what is kept: the first runs each need something else, later
 * ones hardly. Each leaves a byte in a file, to be counted.
 */
function isTurn(): boolean {
  try {
    const path = join(folder, `${name}.runs`);
    const runs = (statSync(path, { throwIfNoEntry: false })?.size ?? 0) + 1;
    if (runs > Math.max(...TURNS)) return false;
    appendFileSync(path, ".");
    return TURNS.includes(runs);
  } catch {
    return false;
  }
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
      if (Date.now() - statSync(path).mtimeMs > KEPT_MS) rmSync(path, { recursive: true });
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
