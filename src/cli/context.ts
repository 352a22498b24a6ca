// `bake context [TARGET...]`: what a build reads of its contexts, and how large that is.
import { InvalidArgumentError } from "commander";
import type { ContextFile, ContextListing } from "../build/contexts.ts";
import { exitCodes } from "../diagnostic/codes.ts";
import { compareUtf8 } from "../oci/json.ts";
import { formatBytes } from "../progress/steps.ts";
import { collect } from "./arguments.ts";
import type { DefineCommand } from "./command.ts";

const SORTS = ["path", "size"] as const;
type Sort = (typeof SORTS)[number];

interface ContextFlags {
  readonly file?: readonly string[];
  readonly set?: readonly string[];
  readonly var?: readonly string[];
  readonly sort: Sort;
  readonly json?: boolean;
  readonly root?: string;
}

interface TargetContexts {
  readonly name: string;
  readonly contexts: readonly ContextListing[];
}

export const defineContext: DefineCommand = (command, { environment, signal }, done) => {
  command
    .usage("[OPTIONS] [TARGET...]")
    .description(
      "List the files that targets read of their contexts: what the ignore files leave and the Dockerfile asks for.",
    )
    .argument("[target...]", "targets and groups (default: default)")
    .option("-f, --file <path>", "bake file to read; may be repeated", collect)
    .option("--set <override>", "override a target's value; may be repeated", collect)
    .option("--var <name=value>", "set a variable of the bake file; may be repeated", collect)
    .option("--sort <order>", "path, or size: the largest first", parseSort, "path")
    .option("--json", "print one JSON object")
    .option("--root <dir>", "folder for the cache and other state")
    .action(async (names: readonly string[], flags: ContextFlags) => {
      const [{ lowerTargets }, { listContexts }] = await Promise.all([
        import("./lower.ts"),
        import("../build/contexts.ts"),
      ]);
      const { lowered, session } = await lowerTargets(names, flags, { environment, signal }, "linkable");
      const targets: TargetContexts[] = [];
      for (const request of lowered) {
        const contexts = await listContexts(request, session, signal);
        targets.push({
          name: request.name,
          contexts: contexts.map(context => ({ ...context, files: sorted(context.files, flags.sort) })),
        });
      }
      environment.stdout.write(flags.json === true ? contextsJson(targets) : contextsText(targets));
      done(exitCodes.ok);
    });
};

function parseSort(text: string): Sort {
  const sort = SORTS.find(known => known === text);
  if (sort === undefined) throw new InvalidArgumentError(`expected ${SORTS.join(" or ")}.`);
  return sort;
}

function sorted(files: readonly ContextFile[], sort: Sort): readonly ContextFile[] {
  return sort === "path" ? files : files.toSorted((a, b) => b.sizeBytes - a.sizeBytes);
}

function contextsText(targets: readonly TargetContexts[]): string {
  return targets
    .toSorted((a, b) => compareUtf8(a.name, b.name))
    .map(({ name, contexts }) =>
      contexts.length === 0
        ? `${name}: reads no files of a context\n`
        : contexts.map(context => contextText(name, context)).join("\n"),
    )
    .join("\n");
}

function contextText(target: string, { name, root, files, sizeBytes }: ContextListing): string {
  const rows = files.map(({ path, kind, sizeBytes: size }) => ({
    size: kind === "file" ? formatBytes(size) : kind,
    path: shown(path),
  }));
  const width = Math.max(0, ...rows.map(({ size }) => size.length));
  const count = files.length === 1 ? "1 file" : `${files.length} files`;
  const lines = rows.map(({ size, path }) => `  ${size.padStart(width)}  ${path}\n`).join("");
  return `${target}: ${name === "context" ? "build context" : `context "${name}"`} ${shown(root)}\n${lines}  total: ${formatBytes(sizeBytes)} in ${count}\n`;
}

/** A path without what would move the cursor or colour the terminal. */
function shown(path: string): string {
  return path.replace(/[\x00-\x1f\x7f-\x9f]/g, "\u{fffd}");
}

function contextsJson(targets: readonly TargetContexts[]): string {
  const target = Object.fromEntries(
    targets.map(({ name, contexts }) => [
      name,
      contexts.map(context => ({
        name: context.name,
        path: context.root,
        size: context.sizeBytes,
        files: context.files.map(({ path, kind, sizeBytes }) => ({ path, kind, size: sizeBytes })),
      })),
    ]),
  );
  return `${JSON.stringify({ target }, undefined, 2)}\n`;
}
