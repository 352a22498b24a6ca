// `bake plan [TARGET...]`: what a build would run, found out by asking the cache alone.
import { exitCodes } from "../diagnostic/codes.ts";
import { collect } from "./arguments.ts";
import type { DefineCommand } from "./command.ts";
import { onOff } from "./switch.ts";
import { countExecuted, parseFormat, type ReportFormat, reportJson, reportText } from "./stepreport.ts";

interface PlanFlags {
  readonly file?: readonly string[];
  readonly set?: readonly string[];
  readonly var?: readonly string[];
  readonly allow?: readonly string[];
  readonly cgroupParent?: string;
  readonly pull?: boolean;
  readonly noCache?: boolean;
  readonly format: ReportFormat;
  readonly root?: string;
}

export const definePlan: DefineCommand = (command, { environment, signal }, done) => {
  command
    .usage("[OPTIONS] [TARGET...]")
    .description("Tell which steps of targets would run, and why, without running them.")
    .argument("[target...]", "targets and groups (default: default)")
    .option("-f, --file <path>", "bake file to read; may be repeated", collect)
    .option("--set <override>", "override a target's value; may be repeated", collect)
    .option("--var <name=value>", "set a variable of the bake file; may be repeated", collect)
    .option("--allow <entitlement>", "grant a target more than the default; may be repeated", collect)
    .option("--cgroup-parent <cgroup>", "the cgroup below which steps have theirs, as /builds")
    .addOption(onOff("--pull", "look up every base image anew"))
    .addOption(onOff("--no-cache", "tell what runs when every step is executed"))
    .option("--format <format>", "text or json", parseFormat, "text")
    .option("--root <dir>", "folder for the cache and other state")
    .action(async (names: readonly string[], flags: PlanFlags) => {
      const [
        { loadDefinition },
        { allowDefinition, planFromDefinition },
        { createEngine, rootPath },
        { takeRightsToRead, withRights },
        { createCredentials },
        { sessionFromPlan },
        { definitionName },
      ] = await Promise.all([
        import("./definition.ts"),
        import("./buildrun.ts"),
        import("./engine.ts"),
        import("./rights.ts"),
        import("./credentials.ts"),
        import("../build/buildtargets.ts"),
        import("./history.ts"),
      ]);
      const all = { file: [], set: [], var: [], allow: [], policy: [], ...flags };
      const root = rootPath(flags, environment);
      await takeRightsToRead(environment, root);
      const definition = await loadDefinition(names, all, { environment, signal });
      await allowDefinition(definition, { environment, flags: all, mode: "quiet", signal });
      const { requests, ...plan } = planFromDefinition(definition, environment, flags);
      const session = sessionFromPlan(
        { requests, ...plan },
        { credentials: createCredentials(environment), env: environment.env },
      );
      const reports = await withRights(
        { environment, rootPath: root, canTry: true, signal },
        async ({ confined, signal }) => {
          await using engine = await createEngine(flags, environment, { confined });
          return await engine.plan(requests, {
            session,
            emit: () => undefined,
            signal,
            definition: definitionName(definition, all.file, environment),
          });
        },
      );
      const targets = reports.map(({ name, steps }) => ({
        name,
        note: `${countExecuted(steps)} would run`,
        steps,
      }));
      environment.stdout.write(
        flags.format === "json" ? reportJson(targets, "RUN") : reportText(targets, "RUN"),
      );
      done(exitCodes.ok);
    });
};
