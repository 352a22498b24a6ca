#!/usr/bin/env node
// The file that is run: turns on Node's cache of compiled code where there is one (22.8 and newer), then starts the
// program. It imports nothing of the program statically, since what is loaded before the cache is on is not in it.
import module from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

// Below the home folder, not in the shared temporary one, where others could put code in our way.
const folder = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "llbake", "compiled");
const { enableCompileCache } = module as { enableCompileCache?: (folder: string) => unknown };
enableCompileCache?.(folder);

await import("./main.ts");
