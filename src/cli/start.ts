#!/usr/bin/env node
// The file that is run. It carries the whole program as text (scripts/build.mjs puts it in) and starts it with the code
// that the engine compiled in an earlier run, kept below the user's cache folder: compiling takes longer than most of
// what `bake --print` does. Without that folder, or when it is damaged, the program just starts more slowly.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";
import { Script } from "node:vm";

/** A function of `require` and `process` that runs the program. */
declare const PROGRAM_TEXT: string;
/** Another one for each other text. */
declare const PROGRAM_ID: string;

// Below the home folder, not in the shared temporary one, where others could put code in our way.
const folder = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "llbake", "compiled");
const name = `${PROGRAM_ID}-${process.version}-${process.arch}-${kindOfRun(process.argv.slice(2))}`;

const cachedData = readCompiled();
const script = new Script(PROGRAM_TEXT, {
  filename: __filename,
  ...(cachedData && { cachedData }),
});
if (cachedData === undefined || script.cachedDataRejected === true) process.on("exit", writeCompiled);
(script.runInThisContext() as (...args: readonly unknown[]) => void)(createRequire(__filename), process);

/** Runs of one kind need about the same functions; what a run did not need is not among the compiled code it leaves. */
function kindOfRun(args: readonly string[]): "print" | "build" {
  return args.some(arg => arg === "--print" || arg === "--version" || arg.startsWith("--list"))
    ? "print"
    : "build";
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
    // What other builds of the program left is of no more use.
    for (const old of readdirSync(folder))
      if (!old.startsWith(PROGRAM_ID)) rmSync(join(folder, old), { recursive: true });
    const draft = join(folder, `${name}.${process.pid}`);
    writeFileSync(draft, script.createCachedData());
    renameSync(draft, join(folder, name));
  } catch {
    // A full disk or a home folder that cannot be written to.
  }
}
