#!/usr/bin/env node
// The file that is run. It reads the whole program as text (scripts/build.mjs puts it beside) and starts it with the code
// that the engine compiled in an earlier run, kept below the user's cache folder: compiling takes longer than most of
// what `bake --print` does. Without that folder, or when it is damaged, the program just starts more slowly.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";
import { Script } from "node:vm";

/** Another one for each other text. */
declare const PROGRAM_ID: string;

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
if (cachedData === undefined || script.cachedDataRejected === true) process.on("exit", writeCompiled);
(script.runInThisContext() as (...args: readonly unknown[]) => void)(createRequire(__filename), process);

/** Runs of one kind need about the same functions; what a run did not need is not among the compiled code it leaves. */
function kindOfRun(args: readonly string[]): "short" | "print" | "build" {
  if (args.some(arg => /^(?:--version|--help|-h|help)$/.test(arg))) return "short";
  return args.some(arg => /^--(?:print|list)/.test(arg)) ? "print" : "build";
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
    renameSync(draft, join(folder, name));
  } catch {
    // A full disk or a home folder that cannot be written to.
  }
}
