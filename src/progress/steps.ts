// The fold of progress events: what is known of every step of a build at a moment. Renderers draw from it.
import type { Diagnostic } from "../diagnostic/diagnostic.ts";
import type { ProgressEvent, StepId } from "./event.ts";
import { createLineSplitter, type LineSplitter } from "./lines.ts";

/** How many last lines of a step are kept to be shown when it fails. */
const TAIL_LINES = 20;

/** How many target names a step's name shows; the rest is counted. */
const MAX_TARGETS = 3;

/** `waiting` steps are known but have not begun; a `cached` one may never have been running. */
export type StepState = "waiting" | "running" | "cached" | "done" | "failed" | "canceled";

export interface Part {
  readonly name: string;
  readonly startedAt: number;
  at: number;
  current: number;
  total: number;
  done: boolean;
}

/** A line of a step's output. `stamp` is the time since the step's start, as plain progress shows it. */
export interface LogLine {
  readonly stamp: string;
  readonly text: string;
}

export interface Step {
  readonly id: StepId;
  /** The name to show, with target names when several targets are built. */
  readonly name: string;
  readonly inputs: readonly StepId[];
  state: StepState;
  startedAt: number | undefined;
  endedAt: number | undefined;
  message: string | undefined;
  /** Why it runs. */
  reason: string | undefined;
  /** The platform that is emulated for it. */
  emulated: string | undefined;
  readonly parts: Map<string, Part>;
  /** The last lines of output. */
  readonly tail: LogLine[];
  /** How many lines of output there were. */
  lineCount: number;
}

/** What an event changed: the step and the lines of output it completed. */
export interface Change {
  readonly step: Step;
  readonly lines: readonly LogLine[];
  readonly part?: Part;
}

export interface Steps {
  readonly byId: ReadonlyMap<StepId, Step>;
  readonly warnings: readonly Diagnostic[];
  /** Takes one event; undefined when it changes no step (a warning, or an event of an unknown step). */
  fold(event: ProgressEvent): Change | undefined;
}

export interface StepsOptions {
  /** Put the names of targets into the names of steps, as is done when several targets are built; default false. */
  readonly showTargets?: boolean;
}

export function createSteps({ showTargets = false }: StepsOptions = {}): Steps {
  const byId = new Map<StepId, Step>();
  const outputs = new Map<StepId, Map<1 | 2, LineSplitter>>();
  const warnings: Diagnostic[] = [];
  const seenWarnings = new Set<string>();

  const addLines = (step: Step, at: number, texts: readonly string[]): readonly LogLine[] => {
    const stamp = formatStamp(at - (step.startedAt ?? at));
    const lines = texts.map(text => ({ stamp, text }));
    step.lineCount += lines.length;
    step.tail.push(...lines.slice(-TAIL_LINES));
    step.tail.splice(0, Math.max(0, step.tail.length - TAIL_LINES));
    return lines;
  };
  const end = (step: Step, state: StepState, at: number, message?: string): Change => {
    const lines: LogLine[] = [];
    for (const splitter of outputs.get(step.id)?.values() ?? [])
      lines.push(...addLines(step, at, splitter.flush()));
    outputs.delete(step.id);
    step.state = state;
    step.endedAt = at;
    step.message = message;
    return { step, lines };
  };

  const fold = (event: ProgressEvent): Change | undefined => {
    if (event.type === "warning") {
      const { diagnostic } = event;
      const key = JSON.stringify([
        diagnostic.message,
        diagnostic.range?.source.name,
        diagnostic.range?.start,
      ]);
      if (!seenWarnings.has(key)) warnings.push(diagnostic);
      seenWarnings.add(key);
      return undefined;
    }
    if (event.type === "step") {
      const known = byId.get(event.id);
      if (known !== undefined) return { step: known, lines: [] };
      const step: Step = {
        id: event.id,
        name: showTargets ? nameWithTargets(event.name, event.targets ?? []) : event.name,
        inputs: event.inputs,
        state: "waiting",
        startedAt: undefined,
        endedAt: undefined,
        message: undefined,
        reason: undefined,
        emulated: undefined,
        parts: new Map(),
        tail: [],
        lineCount: 0,
      };
      byId.set(event.id, step);
      return { step, lines: [] };
    }
    const step = byId.get(event.id);
    if (step === undefined) return undefined;
    switch (event.type) {
      case "started":
        step.state = "running";
        step.startedAt ??= event.at;
        step.endedAt = undefined;
        return { step, lines: [] };
      case "reason":
        step.reason = event.text;
        return { step, lines: [] };
      case "emulated":
        step.emulated = event.platform;
        return { step, lines: [] };
      case "cached":
      case "done":
      case "canceled":
        return end(step, event.type, event.at);
      case "failed":
        return end(step, "failed", event.at, event.message);
      case "log": {
        const streams = outputs.get(step.id) ?? new Map<1 | 2, LineSplitter>();
        outputs.set(step.id, streams);
        const splitter = streams.get(event.stream) ?? createLineSplitter();
        streams.set(event.stream, splitter);
        return { step, lines: addLines(step, event.at, splitter.feed(event.data)) };
      }
      case "status": {
        const part = step.parts.get(event.part) ?? {
          name: event.part,
          startedAt: event.at,
          at: 0,
          current: 0,
          total: 0,
          done: false,
        };
        step.parts.set(event.part, part);
        part.at = event.at;
        part.current = event.current;
        part.total = event.total;
        part.done = event.done;
        return { step, lines: [], part };
      }
      default: {
        const never: never = event;
        return never;
      }
    }
  };
  return { byId, warnings, fold };
}

/** Whether nothing more is to come from a step. */
export function isEnded(step: Step): boolean {
  return step.state !== "waiting" && step.state !== "running";
}

/** `[stage 2/5] RUN x` wanted by target app becomes `[app stage 2/5] RUN x`, as buildx names it. */
function nameWithTargets(name: string, targets: readonly string[]): string {
  if (targets.length === 0) return name;
  const shown =
    targets.slice(0, MAX_TARGETS).join(" ") +
    (targets.length > MAX_TARGETS ? ` +${targets.length - MAX_TARGETS}` : "");
  return name.startsWith("[") ? `[${shown} ${name.slice(1)}` : `[${shown}] ${name}`;
}

/** Seconds with four significant figures or so: `0.123`, `12.34`, `123.4`. */
function formatStamp(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  return seconds.toFixed(seconds < 10 ? 3 : seconds < 100 ? 2 : 1);
}

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** Bytes in decimal units, as BuildKit prints them: `512B`, `3.41MB`. */
export function formatBytes(sizeBytes: number): string {
  let value = sizeBytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? String(value) : value.toFixed(2)}${UNITS[unit] ?? "B"}`;
}

/** ` 1.05MB / 3.41MB`, ` 1.05MB`, or nothing when no size is known. */
export function formatAmount(part: Part): string {
  if (part.total > 0) return ` ${formatBytes(part.current)} / ${formatBytes(part.total)}`;
  return part.current > 0 ? ` ${formatBytes(part.current)}` : "";
}
