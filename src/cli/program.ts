// The commands. `bake [TARGET...]` is the command without a name; the others are known by the first word. A target
// that is named like a command is reached by `bake -- NAME`.
import { Command, CommanderError } from "commander";
import { exitCodes } from "../diagnostic/codes.ts";
import { BakeError } from "../diagnostic/error.ts";
import { normalizeArguments, usageError } from "./arguments.ts";
import type { CommandContext, DefineCommand } from "./command.ts";
import type { Environment } from "./environment.ts";
import { version } from "./version.ts";

interface CommandRow {
  readonly summary: string;
  readonly load: () => Promise<DefineCommand>;
}

/** Every command by the words that begin it; the empty name is the build. */
export const commands: Readonly<Record<string, CommandRow>> = {
  "": {
    summary: "build targets of a bake file",
    load: async () => (await import("./bakecommand.ts")).defineBake,
  },
  "build-llb": {
    summary: "build an LLB definition read from standard input",
    load: async () => (await import("./buildllb.ts")).defineBuildLlb,
  },
  "cache-mount load": {
    summary: "take cache mounts of RUN steps from an archive",
    load: async () => (await import("./cachemount.ts")).defineCacheMountLoad,
  },
  "cache-mount save": {
    summary: "write cache mounts of RUN steps to an archive",
    load: async () => (await import("./cachemount.ts")).defineCacheMountSave,
  },
  context: {
    summary: "list the files that targets read of their contexts",
    load: async () => (await import("./context.ts")).defineContext,
  },
  "debug llb": {
    summary: "print the LLB of targets",
    load: async () => (await import("./debug.ts")).defineDebugLlb,
  },
  "debug dump-llb": {
    summary: "print an LLB definition read from standard input",
    load: async () => (await import("./debug.ts")).defineDumpLlb,
  },
  doctor: {
    summary: "check what this machine can do, and how to fix what it cannot",
    load: async () => (await import("./doctor.ts")).defineDoctor,
  },
  du: {
    summary: "show what the cache holds and what it takes on disk",
    load: async () => (await import("./du.ts")).defineDu,
  },
  explain: {
    summary: "tell which steps of the last run were cached, and why the others ran",
    load: async () => (await import("./explain.ts")).defineExplain,
  },
  plan: {
    summary: "tell what would run, without running it",
    load: async () => (await import("./plan.ts")).definePlan,
  },
  prune: {
    summary: "remove what is cached and not in use",
    load: async () => (await import("./prune.ts")).definePrune,
  },
  shell: {
    summary: "open a shell in the container of a step",
    load: async () => (await import("./shell.ts")).defineShell,
  },
};

/** Runs the command that `environment.argv` names. @throws BakeError */
export async function runProgram(environment: Environment, signal: AbortSignal): Promise<number> {
  const name = commandName(environment.argv);
  const command = await buildCommand(name, { environment, signal }, code => (exitCode = code));
  let exitCode: number = exitCodes.ok;
  const words = name === "" ? 0 : name.split(" ").length;
  try {
    await command.parseAsync([...normalizeArguments(command, environment.argv.slice(words))], {
      from: "user",
    });
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown;
    if (thrown.exitCode === 0) return exitCodes.ok;
    throw usageError(thrown, command.name());
  }
  return exitCode;
}

/** The commander program of one command; also what the documentation is made from. */
export async function buildCommand(
  name: string,
  context: CommandContext,
  done: (exitCode: number) => void,
): Promise<Command> {
  const row = commands[name] ?? commands[""];
  const command = new Command(`bake ${name}`.trim())
    .exitOverride()
    .showSuggestionAfterError()
    .helpOption("-h, --help", "show this help")
    .configureOutput({
      writeOut: text => void context.environment.stdout.write(text),
      // Refusals are told by the error boundary.
      writeErr: () => undefined,
    })
    // Switches take an optional value for the sake of `--push=false`; the help need not say so.
    .configureHelp({
      optionTerm: option => (option.optional ? option.flags.replace(/ \[\w+\]$/, "") : option.flags),
    });
  const define = await row?.load();
  define?.(command, context, done);
  // The error boundary looks for it.
  if (!command.options.some(option => option.long === "--debug"))
    command.option("-D, --debug", "tell where errors come from");
  if (name === "") {
    command.version(`bake ${version}`, "--version", "print the version");
    const others = Object.entries(commands).filter(([other]) => other !== "");
    const lines = others.map(([other, { summary }]) => `  bake ${other.padEnd(16)} ${summary}`);
    command.addHelpText(
      "after",
      `\nOther commands:\n${lines.join("\n")}\n\nA target named like a command is built by "bake -- NAME".`,
    );
  }
  return command;
}

function commandName(argv: readonly string[]): string {
  const [first = "", second = ""] = argv;
  const two = `${first} ${second}`;
  if (first !== "" && Object.hasOwn(commands, two)) return two;
  if (first !== "" && Object.hasOwn(commands, first)) return first;
  const known = Object.keys(commands).filter(name => name.startsWith(`${first} `));
  if (known.length > 0) {
    throw new BakeError(
      "usage",
      second.startsWith("-") || second === ""
        ? `"bake ${first}" needs a further word`
        : `unknown command "${first} ${second}"`,
      {
        hint: `one of: ${known.map(name => `bake ${name}`).join(", ")}; a target of this name is built by "bake -- ${first}"`,
      },
    );
  }
  return "";
}
