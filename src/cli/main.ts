// The program's entry: picks the command, and is the boundary where whatever was thrown becomes a message and an exit
// code. Commands are loaded when asked for, so that `--version` and `--print` start fast.
import { setMaxListeners } from "node:events";
import { BakeError } from "../diagnostic/error.ts";
import { exitCodes } from "../diagnostic/codes.ts";
import { renderDiagnostics } from "../diagnostic/render.ts";
import { type Environment, readEnvironment } from "./environment.ts";
import { version } from "./version.ts";

// Everything that a build does at the same time listens to one signal: that is no leak to warn of.
setMaxListeners(0);

const environment = readEnvironment();

// A reader that stops reading (`bake --print | head`) is no failure.
environment.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(exitCodes.ok);
  throw error;
});
environment.stderr.on("error", () => undefined);

const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    // The second time the user means it: what is left behind is swept by the next run.
    if (interruption.signal.aborted) process.exit(exitCodes.interrupted);
    interruption.abort();
    // Whoever waits for more input waits in vain.
    environment.stdin.destroy();
  });
}
process.on("uncaughtException", error => {
  process.exitCode = report(error, environment);
  process.exit();
});

void run(environment, interruption.signal).then(async code => {
  await Promise.all([environment.stdout, environment.stderr].map(written));
  // At once: taking the engine's heap down piece by piece takes longer than many a command.
  process.exit(code);
});

/** Resolves when everything given to a stream so far has gone out, or never will. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise(resolve => stream.write("", () => resolve()));
}

async function run(environment: Environment, signal: AbortSignal): Promise<number> {
  try {
    if (environment.argv.length === 1 && environment.argv[0] === "--version") {
      environment.stdout.write(`bake ${version}\n`);
      return exitCodes.ok;
    }
    const { runProgram } = await import("./program.ts");
    return await runProgram(environment, signal);
  } catch (thrown) {
    return report(thrown, environment);
  }
}

/** Tells the user about a failure and gives the exit code for it. */
function report(thrown: unknown, { argv, stderr, color }: Environment): number {
  const cause = BakeError.from(thrown);
  // What fails in unforeseen ways once everything is being stopped fails because of that.
  const error =
    interruption.signal.aborted && cause.code === "internal"
      ? new BakeError("interrupted", "interrupted", { cause })
      : cause;
  if (error.code === "interrupted") stderr.write("interrupted\n");
  else stderr.write(renderDiagnostics(error.diagnostics, { color }));
  if (argv.includes("--debug") || argv.includes("-D")) stderr.write(stacks(error));
  else if (error.code === "internal")
    stderr.write("this is a defect of llbake; --debug shows where it comes from\n");
  return error.exitCode;
}

function stacks(error: Error): string {
  let out = "";
  for (let at: unknown = error; at instanceof Error; at = at.cause) out += `${at.stack ?? at.message}\n`;
  return out;
}
