// What `bake explain` and `bake plan` print: the steps of targets with what became of them, or would.
import { InvalidArgumentError } from "commander";
import type { StepReport } from "../engine/engine.ts";
import { safeLine } from "../progress/lines.ts";

const REPORT_FORMATS = ["text", "json"] as const;
export type ReportFormat = (typeof REPORT_FORMATS)[number];

/** Steps of a target; `note` stands beside its name, `facts` are further members of its JSON. */
export interface TargetReport {
  readonly name: string;
  readonly note: string;
  readonly facts?: Readonly<Record<string, unknown>>;
  readonly steps: readonly StepReport[];
}

/** Words for steps that executed: what happened, or what would. */
export type Tense = "RAN" | "RUN";

/** For commander. @throws InvalidArgumentError */
export function parseFormat(text: string): ReportFormat {
  const format = REPORT_FORMATS.find(known => known === text);
  if (format === undefined) throw new InvalidArgumentError(`expected ${REPORT_FORMATS.join(" or ")}.`);
  return format;
}

/** The steps that matter, a target after the other, to be read by people. */
export function reportText(targets: readonly TargetReport[], tense: Tense): string {
  return targets
    .map(({ name, note, steps }) => {
      const lines = needed(steps).flatMap(step => stepLines(step, tense));
      return `${name}: ${note}\n${lines.map(line => `${safeLine(line, { color: false })}\n`).join("")}`;
    })
    .join("\n");
}

/** The same to be read by programs; it ends with a line break. */
export function reportJson(targets: readonly TargetReport[], tense: Tense): string {
  const target = Object.fromEntries(
    targets.map(({ name, facts, steps }) => [
      name,
      { ...facts, steps: needed(steps).map(step => stepJson(step, tense)) },
    ]),
  );
  return `${JSON.stringify({ target }, undefined, 2)}\n`;
}

/** "2 of 5 steps" with what `tense` says of them. */
export function countExecuted(steps: readonly StepReport[]): string {
  const all = needed(steps).filter(({ verdict }) => verdict.tag !== "read");
  const executed = all.filter(({ verdict }) => EXECUTED.has(verdict.tag)).length;
  return `${executed} of ${all.length} ${all.length === 1 ? "step" : "steps"}`;
}

const EXECUTED: ReadonlySet<string> = new Set(["ran", "failed", "canceled"]);

function needed(steps: readonly StepReport[]): readonly StepReport[] {
  return steps.filter(({ verdict }) => verdict.tag !== "unneeded");
}

const WIDTH = "CANCELED".length;

function stepLines({ name, verdict, emulated }: StepReport, tense: Tense): readonly string[] {
  const how = emulated === undefined ? "" : `  emulated ${emulated}`;
  const line = `  ${wordOf(verdict, tense).padEnd(WIDTH)}  ${oneLine(name)}${how}`;
  const indent = " ".repeat(WIDTH + 4);
  if ("reason" in verdict) return [line, `${indent}because ${verdict.reason}`];
  if (verdict.tag === "unknown" && verdict.until !== name)
    return [line, `${indent}until ${JSON.stringify(oneLine(verdict.until))} has run`];
  return [line];
}

function wordOf(verdict: StepReport["verdict"], tense: Tense): string {
  switch (verdict.tag) {
    case "cached":
      return "CACHED";
    case "read":
      return "READ";
    case "ran":
      return tense;
    case "failed":
      return "FAILED";
    case "canceled":
      return "CANCELED";
    case "unknown":
      return "UNKNOWN";
    case "unneeded":
      return "";
    default: {
      const never: never = verdict;
      return never;
    }
  }
}

function stepJson({ id, name, verdict, emulated }: StepReport, tense: Tense): object {
  return {
    digest: id,
    name,
    state: wordOf(verdict, tense).toLowerCase(),
    ...(emulated !== undefined && { emulated }),
    ...("reason" in verdict && { reason: verdict.reason }),
    ...(verdict.tag === "unknown" && { until: verdict.until }),
  };
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ");
}
