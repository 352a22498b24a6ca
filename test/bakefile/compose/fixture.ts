// Compose files given as texts, for the tests of reading them.
import { renderDiagnostics } from "../../../src/diagnostic/render.ts";
import { runBake, type RunOptions } from "../fixture.ts";

type Targets = Record<string, Record<string, unknown>>;

/** Files by name: those named are read, the others can be referred to. */
export interface ComposeCase extends RunOptions {
  readonly others?: Readonly<Record<string, string>>;
}

function run(files: string | Readonly<Record<string, string>>, { others = {}, ...options }: ComposeCase) {
  const named = typeof files === "string" ? { "compose.yaml": files } : files;
  return runBake(named, {
    ...options,
    readFile: path => (Object.hasOwn(others, path) ? others[path] : named[path]),
  });
}

/** The targets that print; throws with the rendered problems when there are errors. */
export function compose(
  files: string | Readonly<Record<string, string>>,
  options: ComposeCase = {},
): Targets {
  const { printed, diagnostics } = run(files, options);
  if (printed === undefined) throw new Error(renderDiagnostics(diagnostics));
  return (JSON.parse(printed) as { target: Targets }).target;
}

/** Position, message and hint of every problem, one line each. */
export function composeProblems(
  files: string | Readonly<Record<string, string>>,
  options: ComposeCase = {},
): readonly string[] {
  return run(files, options).diagnostics.map(problem => {
    const [head = "", place = ""] = renderDiagnostics([problem]).split("\n");
    return [place.trim(), head, ...(problem.hint === undefined ? [] : [`(${problem.hint})`])].join(" ");
  });
}
