// `bake shell TARGET[@STEP]`: a shell in the container of a step, as it left it or as it found it.
import type { KeptStep } from "../session/session.ts";
import { collect } from "./arguments.ts";
import type { CommandContext, DefineCommand } from "./command.ts";

interface ShellFlags {
  readonly file?: readonly string[];
  readonly set?: readonly string[];
  readonly var?: readonly string[];
  readonly allow?: readonly string[];
  readonly cgroupParent?: string;
  readonly before?: boolean;
  readonly progress?: string;
  readonly root?: string;
  readonly ociRuntime?: string;
}

export const defineShell: DefineCommand = (command, context, done) => {
  command
    .usage("[OPTIONS] [TARGET[@STEP]] [-- COMMAND...]")
    .description(
      "Build a target up to a step and open a shell in the step's container. A step that fails is opened as it left " +
        "it. What is done there is thrown away, except in cache mounts.",
    )
    .argument(
      "[target]",
      `a target, or a step of one: "app@build" (the last step of a stage), "app@build 2/4" (a number, as progress shows it), "app@make" (text of one step) (default: default)`,
    )
    .argument("[command...]", "command to run instead of a shell; its exit code is the result")
    .option("--before", "open the container as it is before the step has run")
    .option("-f, --file <path>", "bake file to read; may be repeated", collect)
    .option("--set <override>", "override a target's value; may be repeated", collect)
    .option("--var <name=value>", "set a variable of the bake file; may be repeated", collect)
    .option("--allow <entitlement>", "grant a target more than the default; may be repeated", collect)
    .option("--cgroup-parent <cgroup>", "the cgroup below which steps have theirs, as /builds")
    .option("--progress <mode>", "auto, plain, tty, quiet or rawjson")
    .option("--oci-runtime <path>", "OCI runtime to use")
    .option("--root <dir>", "folder for the cache and other state")
    .action(async (first: string | undefined, others: readonly string[], flags: ShellFlags) => {
      const words = first === undefined ? [] : [first, ...others];
      const hasTarget = words.length > wordsAfterDashes(context.environment.argv);
      const [place, command] = hasTarget ? [first, others] : [undefined, words];
      done(await runShell(place ?? "default", command, flags, context));
    });
};

/** How many arguments follow `--`, which are the command's even when no target is before it. */
function wordsAfterDashes(argv: readonly string[]): number {
  const dashes = argv.indexOf("--");
  return dashes < 0 ? 0 : argv.length - dashes - 1;
}

async function runShell(
  place: string,
  words: readonly string[],
  flags: ShellFlags,
  { environment, signal }: CommandContext,
): Promise<number> {
  const [
    { BakeError },
    { loadDefinition },
    { allowDefinition, planFromDefinition, progressMode },
    { createEngine, rootPath },
    { takeRights },
    { createCredentials },
    { sessionFromPlan },
    { createRenderer },
    { keepFirst, openShell },
  ] = await Promise.all([
    import("../diagnostic/error.ts"),
    import("./definition.ts"),
    import("./buildrun.ts"),
    import("./engine.ts"),
    import("./rights.ts"),
    import("./credentials.ts"),
    import("../build/buildtargets.ts"),
    import("../progress/choose.ts"),
    import("./keptshell.ts"),
  ]);
  const at = place.indexOf("@");
  const target = at < 0 ? place : place.slice(0, at);
  const step = at < 0 ? undefined : place.slice(at + 1);
  const all = { file: [], set: [], var: [], allow: [], policy: [], ...flags };
  const mode = progressMode(flags, environment);
  await takeRights(environment, rootPath(flags, environment));
  const definition = await loadDefinition([target], all, { environment, signal });
  await allowDefinition(definition, { environment, flags: all, mode, signal });
  const plan = planFromDefinition(definition, environment, flags);
  const names = definition.targets.map(({ name }) => name);
  const [name] = names;
  if (name === undefined || names.length > 1)
    throw new BakeError("usage", `"${target}" is ${names.length} targets; a shell is opened in one`, {
      hint: `name one of: ${names.join(", ")}`,
    });
  // The engine outlives the container, and this the container that was kept.
  await using engine = await createEngine(flags, environment);
  const failed = keepFirst();
  const session = {
    ...sessionFromPlan(plan, { credentials: createCredentials(environment), env: environment.env }),
    keepFailed: failed.keep,
  };
  const renderer = await createRenderer(mode, environment.stderr, { color: environment.color });
  let opened: KeptStep;
  try {
    opened = await engine.open(
      plan.requests,
      name,
      { ...(step !== undefined && { step }), before: flags.before ?? false },
      { session, emit: renderer.emit, signal },
    );
  } catch (error) {
    if (failed.step === undefined) throw error;
    opened = failed.step;
  } finally {
    await renderer.close();
  }
  await using container = opened;
  if (failed.step !== undefined)
    environment.stderr.write(`"${failed.step.command}" failed; this is its container as it left it\n`);
  return await openShell(container, words, { env: environment.env, signal });
}
