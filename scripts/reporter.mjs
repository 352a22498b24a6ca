// The test reporter: one line per file, every failure in full when it happens and again by name at the end, then the
// skipped tests with their reasons and the runner's own summary (`# tests 12`, `# pass 12`, ...).
import { relative } from "node:path";
import { inspect } from "node:util";

export default async function* report(events) {
  const root = process.cwd();
  const failed = [];
  const skipped = [];
  const summary = [];
  const path = [];
  /** The file whose results are coming in: the runner reports one file after the other. */
  let current = { file: "", tests: 0, ms: 0 };
  for await (const { type, data } of events) {
    switch (type) {
      case "test:start":
        path.length = data.nesting;
        path.push(data.name);
        break;
      case "test:stdout":
      case "test:stderr":
        yield data.message;
        break;
      case "test:diagnostic":
        if (
          data.nesting === 0 &&
          /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) /.test(data.message)
        ) {
          summary.push(`# ${data.message}`);
        } else yield `  ${data.message}\n`;
        break;
      case "test:pass":
      case "test:fail": {
        const file = data.file === undefined ? "" : relative(root, data.file);
        if (file !== current.file) {
          yield fileLine(current);
          current = { file, tests: 0, ms: 0 };
        }
        const isFile = data.name === data.file;
        if (!isFile && data.details.type !== "suite") current.tests++;
        if (data.nesting === 0) current.ms += data.details.duration_ms;
        const name = isFile ? "the file as a whole" : [...path.slice(0, data.nesting), data.name].join(" > ");
        if (data.skip !== undefined) {
          skipped.push(
            `  ${file}: ${name} (${typeof data.skip === "string" && data.skip ? data.skip : "no reason given"})`,
          );
        }
        const { error } = data.details;
        if (type === "test:fail" && data.todo === undefined && !isOfSubtest(error)) {
          failed.push(`  ${file}: ${name}`);
          yield `\nFAILED ${file}: ${name}\n${indent(describe(error))}\n\n`;
        }
        break;
      }
      default:
    }
  }
  yield fileLine(current);
  if (skipped.length > 0) yield `\nSkipped:\n${skipped.join("\n")}\n`;
  if (failed.length > 0) yield `\nFailed:\n${failed.join("\n")}\n`;
  yield `\n${summary.join("\n")}\n`;
}

function fileLine({ file, tests, ms }) {
  return file === "" ? "" : `${file}: ${tests} ${tests === 1 ? "test" : "tests"}, ${Math.round(ms)} ms\n`;
}

/** A suite that fails because one of its tests failed has nothing to add. */
function isOfSubtest(error) {
  return error?.failureType === "subtestsFailed";
}

function describe(error) {
  const cause = error?.code === "ERR_TEST_FAILURE" ? (error.cause ?? error) : error;
  if (typeof cause !== "string") return withoutRunnerFrames(inspect(cause, { depth: 6 }));
  const { exitCode, signal } = error;
  if (signal) return `${cause}: ended by ${signal}`;
  return exitCode === undefined ? cause : `${cause}: exit code ${exitCode}`;
}

function withoutRunnerFrames(text) {
  return text.replace(
    /^ +at .*node:(?:internal\/(?:test_runner|per_context)\/|async_hooks).*?( \{)?$\n?/gm,
    (_, brace) => (brace ? "  {\n" : ""),
  );
}

function indent(text) {
  return text.trimEnd().replace(/^(?=.)/gm, "    ");
}
