// `bake explain [TARGET...]`: what the last run of targets took from the cache, and why it ran the rest.
import { BakeError } from "../diagnostic/error.ts";
import { exitCodes } from "../diagnostic/codes.ts";
import { collect } from "./arguments.ts";
import type { DefineCommand } from "./command.ts";
import {
  countExecuted,
  parseFormat,
  type ReportFormat,
  reportJson,
  reportText,
  type TargetReport,
} from "./stepreport.ts";

interface ExplainFlags {
  readonly file?: readonly string[];
  readonly set?: readonly string[];
  readonly var?: readonly string[];
  readonly format: ReportFormat;
  readonly root?: string;
}

export const defineExplain: DefineCommand = (command, { environment, signal }, done) => {
  command
    .usage("[OPTIONS] [TARGET...]")
    .description("Tell for each step of the last run of targets whether it was cached, or why it ran.")
    .argument("[target...]", "targets and groups (default: default)")
    .option("-f, --file <path>", "bake file to read; may be repeated", collect)
    .option("--set <override>", "override a target's value; may be repeated", collect)
    .option("--var <name=value>", "set a variable of the bake file; may be repeated", collect)
    .option("--format <format>", "text or json", parseFormat, "text")
    .option("--root <dir>", "folder for the cache and other state")
    .action(async (names: readonly string[], flags: ExplainFlags) => {
      const [{ loadDefinition }, { createEngine, rootPath }, { definitionName }] = await Promise.all([
        import("./definition.ts"),
        import("./engine.ts"),
        import("./history.ts"),
      ]);
      const all = { file: [], set: [], var: [], allow: [], ...flags };
      const definition = await loadDefinition(names, all, { environment, signal });
      await using engine = await createEngine(flags, environment);
      const key = definitionName(definition, all.file, environment);
      const reports: TargetReport[] = [];
      for (const { name } of definition.targets) {
        const run = await engine.lastRun(key, name);
        if (run === undefined) continue;
        const endedAt = new Date(run.endedAt).toISOString();
        const result = run.succeeded ? "succeeded" : "failed";
        reports.push({
          name,
          note: `${countExecuted(run.steps)} ran; ${result} at ${endedAt}`,
          facts: { endedAt, succeeded: run.succeeded },
          steps: run.steps,
        });
      }
      if (reports.length === 0) {
        const targets = definition.targets.map(({ name }) => `"${name}"`).join(", ");
        throw new BakeError("file-missing", `there is no run of ${targets} to explain`, {
          hint: `build first; runs are remembered by bake file and target in "${rootPath(flags, environment)}"`,
        });
      }
      environment.stdout.write(
        flags.format === "json" ? reportJson(reports, "RAN") : reportText(reports, "RAN"),
      );
      done(exitCodes.ok);
    });
};
