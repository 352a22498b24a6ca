// What stays to be read after a build: the last output of every failed step, and the warnings.
import { renderDiagnostics } from "../diagnostic/render.ts";
import { safeLine } from "./lines.ts";
import type { Steps } from "./steps.ts";

export interface EndReportOptions {
  readonly color: boolean;
  /** The output is a terminal: control sequences of logs are removed. */
  readonly terminal: boolean;
}

export function endReport({ byId, warnings }: Steps, { color, terminal }: EndReportOptions): string {
  let out = "";
  for (const step of byId.values()) {
    if (step.state !== "failed") continue;
    out += `------\n > ${safeLine(step.name, { color: false })}:\n`;
    if (step.lineCount > step.tail.length)
      out += `(${step.lineCount - step.tail.length} lines before these)\n`;
    for (const { stamp, text } of step.tail)
      out += `${stamp} ${terminal ? safeLine(text, { color }) : text}\n`;
    out += "------\n";
  }
  if (warnings.length > 0) {
    out += `\n${warnings.length} ${warnings.length === 1 ? "warning" : "warnings"} found:\n${renderDiagnostics(warnings, { color })}`;
  }
  return out;
}
