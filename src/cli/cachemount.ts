// `bake cache-mount save` and `load`: what `RUN --mount=type=cache` has gathered, carried from one machine to another.
import { resolve } from "node:path";
import { exitCodes } from "../diagnostic/codes.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { CacheMount, SaveOptions } from "../engine/cachemounts.ts";
import type { DefineCommand } from "./command.ts";
import { rootPath } from "./engine.ts";
import { hasTerminal } from "./keptshell.ts";
import { takeRights } from "./rights.ts";

interface SaveFlags {
  readonly output: string;
  readonly root?: string;
}

export const defineCacheMountSave: DefineCommand = (command, { environment, signal }, done) => {
  command
    .usage("[OPTIONS] [ID...]")
    .description(
      "Write cache mounts of RUN steps to an archive. A build that writes to one meanwhile may be seen half-way; one with sharing=locked is waited for.",
    )
    .argument("[id...]", "ids as in the Dockerfile, or targets of mounts that have none (default: all)")
    .requiredOption(
      "-o, --output <file>",
      `archive to write: .tar, .tar.gz or .tar.zst, or "-" for standard output`,
    )
    .option("--root <dir>", "folder for the cache and other state")
    .action(async (ids: readonly string[], flags: SaveFlags) => {
      const root = rootPath(flags, environment);
      const compression = compressionOf(flags.output);
      if (flags.output === "-" && hasTerminal())
        throw new BakeError("usage", "an archive is not for a terminal", { hint: "use -o FILE, or a pipe" });
      await takeRights(environment, root);
      const { saveCacheMounts } = await import("../engine/cachemounts.ts");
      const dest = flags.output === "-" ? environment.stdout : resolve(environment.cwd, flags.output);
      const select = (all: readonly CacheMount[]) => chooseCaches(all, ids);
      const saved = await saveCacheMounts(root, dest, { select, compression, signal });
      environment.stderr.write(report("saved", saved));
      done(exitCodes.ok);
    });
};

export const defineCacheMountLoad: DefineCommand = (command, { environment, signal }, done) => {
  command
    .usage("[OPTIONS] [FILE]")
    .description("Take cache mounts from an archive. They replace those of the same id.")
    .argument("[file]", `archive that \`bake cache-mount save\` wrote (default: "-", standard input)`)
    .option("--root <dir>", "folder for the cache and other state")
    .action(async (file: string | undefined, flags: { readonly root?: string }) => {
      const root = rootPath(flags, environment);
      await takeRights(environment, root);
      const { loadCacheMounts } = await import("../engine/cachemounts.ts");
      const archive = file === undefined || file === "-" ? environment.stdin : resolve(environment.cwd, file);
      const loaded = await loadCacheMounts(root, archive, signal);
      environment.stderr.write(report("loaded", loaded));
      done(exitCodes.ok);
    });
};

/** Those of the given ids, or all. @throws BakeError "file-missing" when there is none of an id */
function chooseCaches(all: readonly CacheMount[], ids: readonly string[]): readonly CacheMount[] {
  if (ids.length === 0) return all;
  const named = (wanted: string) => all.filter(({ id }) => id === wanted || id.endsWith(`/${wanted}`));
  const missing = ids.filter(wanted => named(wanted).length === 0);
  if (missing.length > 0)
    throw new BakeError("file-missing", `there is no cache mount "${missing.join(`", "`)}"`, {
      hint: "`bake du --filter type=cache-mount` lists what there is",
    });
  return [...new Set(ids.flatMap(named))];
}

/** By the end of a file's name. */
function compressionOf(file: string): SaveOptions["compression"] {
  if (/\.(gz|tgz)$/.test(file)) return "gzip";
  if (/\.(zst|tzst)$/.test(file)) return "zstd";
  return "none";
}

function report(verb: string, caches: readonly CacheMount[]): string {
  const names = caches.map(({ shown }) => shown);
  const count = `${verb} ${names.length} cache ${names.length === 1 ? "mount" : "mounts"}`;
  return names.length === 0 ? `${count}\n` : `${count}: ${[...names].sort().join(", ")}\n`;
}
