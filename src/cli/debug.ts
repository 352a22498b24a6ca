// `bake debug …`: looks into what builds are made of.
import { exitCodes } from "../diagnostic/codes.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { LowerCase } from "../frontend/case.ts";
import { collect } from "./arguments.ts";
import type { DefineCommand } from "./command.ts";

interface DebugLlbFlags {
  readonly file?: readonly string[];
  readonly set?: readonly string[];
  readonly var?: readonly string[];
  readonly case?: string;
  readonly raw?: boolean;
  readonly root?: string;
}

export const defineDebugLlb: DefineCommand = (command, { environment, signal }, done) => {
  command
    .usage("[OPTIONS] [TARGET...]")
    .description("Print the LLB of targets, one JSON object a vertex and line, without building them.")
    .argument("[target...]", "targets and groups (default: default)")
    .option("-f, --file <path>", "bake file to read; may be repeated", collect)
    .option("--set <override>", "override a target's value; may be repeated", collect)
    .option("--var <name=value>", "set a variable of the bake file; may be repeated", collect)
    .option("--raw", "write the definition of a single target and platform as bytes (pb.Definition)")
    .option(
      "--case <file>",
      "lower the Dockerfile of a test case instead and print what came out as one JSON object",
    )
    .option("--root <dir>", "folder for the cache and other state")
    .action(async (names: readonly string[], flags: DebugLlbFlags) => {
      if (flags.case !== undefined) {
        environment.stdout.write(await lowerCaseFile(flags.case, signal));
        return done(exitCodes.ok);
      }
      const [{ lowerTargets }, { dumpDefinition }] = await Promise.all([
        import("./lower.ts"),
        import("../llb/dump.ts"),
      ]);
      const { lowered } = await lowerTargets(names, flags, { environment, signal }, "requests");
      const definitions = lowered.flatMap(({ images }) => images.map(({ definition }) => definition));
      if (flags.raw === true) {
        const [only] = definitions;
        if (only === undefined || definitions.length > 1)
          throw new BakeError("usage", `--raw writes one definition, and there are ${definitions.length}`, {
            hint: "name one target and one platform",
          });
        const { writeDefinition } = await import("../llb/marshal.ts");
        environment.stdout.write(writeDefinition(only));
      } else {
        for (const definition of definitions)
          for (const line of dumpDefinition(definition)) environment.stdout.write(`${line}\n`);
      }
      done(exitCodes.ok);
    });
};

export const defineDumpLlb: DefineCommand = (command, { environment }, done) => {
  command
    .usage("[OPTIONS] < definition")
    .description(
      "Print an LLB definition (pb.Definition) read from standard input, one JSON object an op and line.",
    )
    .option("--dot", "print a graph for Graphviz instead")
    .action(async ({ dot }: { readonly dot?: boolean }) => {
      const { readStdinDefinition } = await import("./buildllb.ts");
      const { dumpDefinition, dumpDot } = await import("../llb/dump.ts");
      const definition = await readStdinDefinition(environment, "debug dump-llb");
      for (const line of dot === true ? dumpDot(definition) : dumpDefinition(definition))
        environment.stdout.write(`${line}\n`);
      done(exitCodes.ok);
    });
};

async function lowerCaseFile(path: string, signal: AbortSignal): Promise<string> {
  const [{ readFile }, { lowerCase }] = await Promise.all([
    import("node:fs/promises"),
    import("../frontend/case.ts"),
  ]);
  let given: unknown;
  try {
    given = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw new BakeError("file-missing", `the case "${path}" cannot be read`, { cause });
  }
  // The form of cases is that of a tool for developers; what is wrong with one shows in the comparison.
  return `${JSON.stringify(await lowerCase(given as LowerCase, signal))}\n`;
}
