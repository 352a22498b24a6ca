// `bake [TARGET...]`: list, print, build, or build whenever something changes.
import { exitCodes } from "../diagnostic/codes.ts";
import { BakeError } from "../diagnostic/error.ts";
import { renderDiagnostics } from "../diagnostic/render.ts";
import { chooseProgressMode } from "../progress/choose.ts";
import type { BakeFlags } from "./flags.ts";
import type { CommandContext } from "./command.ts";
import { loadDefinition, loadDocument } from "./definition.ts";
import { rootPath } from "./engine.ts";
import { takeRights, takeRightsToRead } from "./rights.ts";

/** Gives the exit code. @throws BakeError */
export async function runBake(
  names: readonly string[],
  flags: BakeFlags,
  context: CommandContext,
): Promise<number> {
  const { environment } = context;
  // A wrong mode is told even when nothing will be shown in it.
  chooseProgressMode(flags.progress ?? environment.env["BUILDKIT_PROGRESS"] ?? "", environment.stderr);
  const listed =
    flags.list ??
    (flags.listTargets === true ? "targets" : flags.listVariables === true ? "variables" : undefined);
  if (listed !== undefined) {
    if (flags.print === true) throw new BakeError("usage", "--print and --list cannot be used together");
    const { parseListRequest, printList } = await import("./listing.ts");
    const request = parseListRequest(listed);
    const { document } = await loadDocument(names, flags, context);
    environment.stdout.write(printList(request, document));
    return exitCodes.ok;
  }
  if (flags.explainVar !== undefined) {
    const { explainVariable } = await import("../bakefile/explain.ts");
    const { document } = await loadDocument(names, flags, context);
    environment.stdout.write(explainVariable(document, flags.explainVar));
    return exitCodes.ok;
  }
  if (flags.print === true) {
    const { printBake } = await import("../bakefile/print.ts");
    const { resolved, warnings } = await loadDefinition(names, flags, context);
    environment.stderr.write(renderDiagnostics(warnings, { color: environment.color }));
    environment.stdout.write(printBake(resolved));
    return exitCodes.ok;
  }
  const root = rootPath(flags, environment);
  if (flags.watch === true) await takeRights(environment, root);
  else await takeRightsToRead(environment, root);
  if (flags.onError !== undefined) (await import("./keptshell.ts")).expectOnError(flags);
  if (flags.watch === true) {
    const { runWatch } = await import("./watchrun.ts");
    return runWatch(names, flags, context);
  }
  const { runBuild } = await import("./buildrun.ts");
  return runBuild(names, flags, context);
}
