// Progress for programs: one JSON object a line, in the form BuildKit's clients print with `--progress=rawjson`
// (client.SolveStatus: vertexes, statuses, logs, warnings), one event in each.
import type { Diagnostic } from "../diagnostic/diagnostic.ts";
import { positionAt } from "../diagnostic/source.ts";
import type { ProgressEvent } from "./event.ts";
import type { Renderer, RendererOptions } from "./renderer.ts";
import { createSteps, type Part, type Step } from "./steps.ts";

export function createRawJsonRenderer(stream: NodeJS.WriteStream, options: RendererOptions = {}): Renderer {
  const steps = createSteps(options);
  return {
    emit(event) {
      const change = steps.fold(event);
      const status = statusOf(event, change?.step, change?.part);
      if (status !== undefined) stream.write(`${JSON.stringify(status)}\n`);
    },
    close: () => Promise.resolve(),
  };
}

function statusOf(event: ProgressEvent, step: Step | undefined, part: Part | undefined): object | undefined {
  switch (event.type) {
    case "warning":
      return { warnings: [warningOf(event.diagnostic)] };
    case "log":
      return {
        logs: [
          {
            vertex: event.id,
            stream: event.stream,
            data: Buffer.from(event.data).toString("base64"),
            timestamp: time(event.at),
          },
        ],
      };
    case "status":
      if (part === undefined) return undefined;
      return {
        statuses: [
          {
            id: part.name,
            vertex: event.id,
            ...(part.total > 0 && { total: part.total }),
            current: part.current,
            timestamp: time(part.at),
            started: time(part.startedAt),
            ...(part.done && { completed: time(part.at) }),
          },
        ],
      };
    case "reason":
      return step === undefined ? undefined : { vertexes: [vertexOf(step)] };
    case "step":
    case "started":
    case "emulated":
    case "cached":
    case "done":
    case "failed":
    case "canceled":
      return step === undefined ? undefined : { vertexes: [vertexOf(step)] };
    default: {
      const never: never = event;
      return never;
    }
  }
}

function vertexOf(step: Step): object {
  // A cached step is given a start, which readers of this format take for "has happened".
  const started = step.startedAt ?? step.endedAt;
  const error =
    step.state === "failed"
      ? (step.message ?? "failed")
      : step.state === "canceled"
        ? "context canceled"
        : undefined;
  return {
    digest: step.id,
    ...(step.inputs.length > 0 && { inputs: step.inputs }),
    name: step.name,
    ...(started !== undefined && { started: time(started) }),
    ...(step.endedAt !== undefined && { completed: time(step.endedAt) }),
    ...(step.state === "cached" && { cached: true }),
    ...(error !== undefined && { error }),
    // Not of that format: readers of it pass over what they do not know.
    ...(step.reason !== undefined && { reason: step.reason }),
  };
}

function warningOf({ message, hint, range }: Diagnostic): object {
  const bytes = (text: string): string => Buffer.from(text).toString("base64");
  return {
    level: 1,
    short: bytes(message),
    ...(hint !== undefined && { detail: [bytes(hint)] }),
    ...(range && {
      sourceInfo: { filename: range.source.name, data: bytes(range.source.text) },
      range: [
        {
          start: { line: positionAt(range.source, range.start).line },
          end: { line: positionAt(range.source, range.end).line },
        },
      ],
    }),
  };
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
