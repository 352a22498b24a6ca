// `bake --watch`: builds, and builds again whenever a bake file, a Dockerfile or a file of a context changes.
import { readFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import type { BuildPlan, WatchedInput } from "../build/requests.ts";
import { exitCodes } from "../diagnostic/codes.ts";
import { renderDiagnostics } from "../diagnostic/render.ts";
import { parseIgnoreFile } from "../frontend/dockerfile/dockerignore.ts";
import { includedPaths } from "../frontend/dockerfile/include.ts";
import type { WatchInputs } from "../watch/inputs.ts";
import { watch } from "../watch/watch.ts";
import type { BakeFlags } from "./flags.ts";
import { watchedBakeFiles } from "./bakefiles.ts";
import { allowDefinition, noteRung, planFromDefinition, progressMode, runPlan } from "./buildrun.ts";
import type { CommandContext } from "./command.ts";
import { loadDefinition } from "./definition.ts";
import { createEngine, rootPath } from "./engine.ts";

/** How many changed paths a line names. */
const SHOWN_PATHS = 3;

/** Ends when `signal` aborts; which is how watching is meant to end. @throws BakeError */
export async function runWatch(
  names: readonly string[],
  flags: BakeFlags,
  { environment, signal }: CommandContext,
): Promise<number> {
  const { cwd, stderr, color } = environment;
  const mode = progressMode(flags, environment);
  const say = (text: string): void => {
    // Programs that read events are told by events alone.
    if (mode !== "rawjson") stderr.write(text);
  };
  noteRung(environment, mode);
  await using engine = await createEngine(flags, environment);
  const bakeFiles = watchedBakeFiles(flags.file, environment);
  const outputs = [rootPath(flags, environment)];
  let definitions = 0;
  await watch(
    {
      inputs: { contexts: [], files: bakeFiles, outputs },
      rebuild: async run => {
        if (run.changed.length > 0) say(`\n${changeLine(run.changed, cwd)}\n`);
        const definition = await loadDefinition(names, flags, { environment, signal: run.signal });
        await allowDefinition(definition, { environment, flags, mode, signal: run.signal });
        const plan = planFromDefinition(definition, environment, flags);
        await run.watching(
          await inputsFromPlan(
            plan,
            [...bakeFiles, ...definition.files],
            [...outputs, ...destinations(plan, cwd, flags)],
          ),
        );
        definitions = plan.linkable.length;
        await runPlan(plan, definition, { engine, flags, environment, mode, signal: run.signal });
      },
      onError: error => stderr.write(renderDiagnostics(error.diagnostics, { color })),
      onIdle: () =>
        say(
          `watching ${definitions === 1 ? "1 target" : `${definitions} targets`} for changes, Ctrl-C ends\n`,
        ),
    },
    signal,
  );
  return exitCodes.ok;
}

function changeLine(paths: readonly string[], cwd: string): string {
  const shown = paths.slice(0, SHOWN_PATHS).map(path => relative(cwd, path));
  const more = paths.length > SHOWN_PATHS ? ` and ${paths.length - SHOWN_PATHS} more` : "";
  return `changed: ${shown.join(", ")}${more}`;
}

async function inputsFromPlan(
  plan: BuildPlan,
  bakeFiles: readonly string[],
  outputs: readonly string[],
): Promise<WatchInputs> {
  const contexts = await Promise.all(
    plan.inputs.flatMap(input => (input.kind === "context" ? [contextInput(input)] : [])),
  );
  const files = plan.inputs.flatMap(input => (input.kind === "file" ? [input.path] : []));
  for (const input of plan.inputs)
    if (input.kind === "context" && input.dockerfile !== undefined)
      files.push(...(await includedFiles(input.dockerfile, input.path)));
  const ignoreFiles = contexts.map(({ path }) => join(path, ".dockerignore"));
  return { contexts, files: [...new Set([...bakeFiles, ...files, ...ignoreFiles])].sort(), outputs };
}

/** The places where a Dockerfile's includes are looked for, and those of files that are there. Absolute paths. */
async function includedFiles(dockerfile: string, context: string): Promise<readonly string[]> {
  const places = new Set<string>();
  const todo = [dockerfile];
  for (let file = todo.pop(); file !== undefined; file = todo.pop()) {
    const text = await readFile(file, "utf8").catch(() => "");
    for (const path of includedPaths(text)) {
      for (const folder of [dirname(file), dirname(dockerfile), context]) {
        const place = join(folder, path);
        if (places.has(place)) continue;
        places.add(place);
        todo.push(place);
      }
    }
  }
  return [...places];
}

/** A context with the patterns that apply to it: the ignore file of its Dockerfile comes before its own. */
async function contextInput({
  path,
  dockerfile,
}: Extract<WatchedInput, { kind: "context" }>): Promise<{ path: string; ignore: readonly string[] }> {
  const candidates = [
    ...(dockerfile === undefined ? [] : [join(dirname(dockerfile), `${basename(dockerfile)}.dockerignore`)]),
    join(path, ".dockerignore"),
  ];
  for (const candidate of candidates) {
    const bytes = await readFile(candidate).catch(() => undefined);
    if (bytes !== undefined) return { path, ignore: parseIgnoreFile(bytes) };
  }
  return { path, ignore: [] };
}

/** What the build writes: a folder output may lie within a context, and must not set off the next build. */
function destinations(plan: BuildPlan, cwd: string, { metadataFile }: BakeFlags): readonly string[] {
  const written = plan.requests.flatMap(({ exports }) =>
    exports.flatMap(({ dest }) => (dest === undefined || dest === "-" ? [] : [dest])),
  );
  return [...written, ...(metadataFile === undefined ? [] : [join(cwd, metadataFile)])];
}
