// Plain progress, for logs and pipes: numbered steps in BuildKit's form. The output of one step is printed at a time;
// what other steps say meanwhile waits until they end, or until they have waited long enough to be given a turn.
import type { ProgressEvent, StepId } from "./event.ts";
import { safeLine } from "./lines.ts";
import { endReport } from "./endreport.ts";
import type { RendererOptions } from "./renderer.ts";
import { createSteps, formatAmount, isEnded, type LogLine, type Part, type Step } from "./steps.ts";

/** A step keeps the turn for at least this long, unless it ends. */
const MIN_TURN_MS = 5_000;
/** A step with something to say gets a turn after this long at the latest. */
const MAX_WAIT_MS = 10_000;
/** A step gets a turn at once when this many characters of its output wait: what waits takes memory. */
const MAX_WAITING_LENGTH = 1 << 20;
/** A moving part is printed again after this long, or after this share of its total. */
const PART_INTERVAL_MS = 5_000;
const PART_SHARE = 0.05;

export interface PlainOptions extends RendererOptions {
  /** The output is a terminal: control sequences of logs are removed, colours kept. Default false: logs pass as they are. */
  readonly terminal?: boolean;
}

/** A printer without a clock of its own: `print` is called now and then, `close` once. */
export interface PlainPrinter {
  update(event: ProgressEvent): void;
  /** Prints what is due. `now` in milliseconds since the epoch. */
  print(now: number): void;
  /** Prints everything that is left and the logs of failed steps. */
  close(now: number): void;
}

/** What waits to be printed of one step. */
interface Pending {
  readonly lines: LogLine[];
  /** Characters of the lines together. */
  length: number;
  readonly parts: Map<string, Part>;
  /** How many updates since the step last lost its turn, and when the first of them was. */
  count: number;
  since: number;
}

export function createPlainPrinter(
  write: (text: string) => void,
  { terminal = false, color = terminal, ...options }: PlainOptions = {},
): PlainPrinter {
  const steps = createSteps(options);
  const numbers = new Map<StepId, number>();
  const pending = new Map<StepId, Pending>();
  const dirty = new Set<StepId>();
  const explained = new Set<StepId>();
  const emulated = new Set<StepId>();
  const printedParts = new Map<string, { readonly at: number; readonly current: number }>();
  let turn: Step | undefined;
  let first = true;

  const pendingOf = (step: Step): Pending => {
    let entry = pending.get(step.id);
    if (entry === undefined)
      pending.set(step.id, (entry = { lines: [], length: 0, parts: new Map(), count: 0, since: 0 }));
    return entry;
  };

  const printStep = (step: Step): void => {
    const entry = pendingOf(step);
    let number = numbers.get(step.id);
    if (number === undefined) numbers.set(step.id, (number = numbers.size + 1));
    const line = (text: string): void => write(`#${number} ${text}\n`);
    if (turn !== step) {
      if (turn !== undefined) {
        write(`#${numbers.get(turn.id)} ...\n`);
        pendingOf(turn).count = 0;
      }
      if (!first) write("\n");
      first = false;
      line(safeLine(step.name, { color: false }));
    }
    if (step.reason !== undefined && !explained.has(step.id)) {
      explained.add(step.id);
      line(`because ${safeLine(step.reason, { color: false })}`);
    }
    if (step.emulated !== undefined && !emulated.has(step.id)) {
      emulated.add(step.id);
      line(`emulated ${step.emulated}`);
    }
    for (const part of entry.parts.values()) {
      const key = `${step.id} ${part.name}`;
      const last = printedParts.get(key);
      if (last !== undefined && !part.done) {
        const share = part.total > 0 ? (part.current - last.current) / part.total : 0;
        if (share < PART_SHARE && part.at - last.at < PART_INTERVAL_MS) continue;
      }
      printedParts.set(key, { at: part.at, current: part.current });
      const seconds = (part.at - part.startedAt) / 1000;
      line(
        `${part.name}${formatAmount(part)}${seconds > 0.01 ? ` ${seconds.toFixed(1)}s` : ""}${part.done ? " done" : ""}`,
      );
    }
    for (const { stamp, text } of entry.lines)
      line(`${stamp} ${terminal ? safeLine(text, { color }) : text}`);
    entry.lines.length = 0;
    entry.length = 0;
    entry.parts.clear();
    dirty.delete(step.id);
    turn = step;
    if (!isEnded(step)) return;
    turn = undefined;
    entry.count = 0;
    line(outcome(step));
  };

  const print = (now: number): void => {
    const changed = [...dirty].flatMap(id => steps.byId.get(id) ?? []);
    const ended = changed.filter(isEnded).sort((a, b) => (a.endedAt ?? 0) - (b.endedAt ?? 0));
    const before = turn;
    for (const step of ended) if (step === turn) printStep(step);
    for (const step of ended) if (dirty.has(step.id)) printStep(step);
    const open = changed.filter(step => !isEnded(step));
    if (open.length === 0) {
      // Something that runs stays in view, so that the last line tells what is being waited for.
      if (turn === undefined)
        for (const step of steps.byId.values()) if (step.state === "running") return printStep(step);
      return;
    }
    if (turn !== undefined && open.includes(turn)) printStep(turn);
    const speed = (step: Step): number => pendingOf(step).count / Math.max(1, now - pendingOf(step).since);
    const waiting = open.filter(step => step !== turn && dirty.has(step.id));
    if (waiting.length === 0) return;
    const busiest = waiting.reduce((best, step) => (speed(step) > speed(best) ? step : best));
    if (turn === undefined || turn !== before) return printStep(busiest);
    const overdue = waiting.find(step => now - pendingOf(step).since > MAX_WAIT_MS);
    if (overdue !== undefined) return printStep(overdue);
    // A step that says most of all is left the turn for longer.
    const share = speed(turn) / [turn, ...waiting].reduce((sum, step) => sum + speed(step), 0);
    if (MIN_TURN_MS / (1 - share) < now - pendingOf(turn).since) printStep(busiest);
  };

  return {
    update(event) {
      const change = steps.fold(event);
      if (change === undefined) return;
      // A step that waits has nothing to show, but for what is said while its key is found: that a server is asked again.
      if (change.step.state === "waiting" && change.lines.length === 0) return;
      const entry = pendingOf(change.step);
      for (const line of change.lines) {
        entry.lines.push(line);
        entry.length += line.text.length;
      }
      if (change.part !== undefined) entry.parts.set(change.part.name, change.part);
      if (entry.count === 0 && "at" in event) entry.since = event.at;
      entry.count++;
      dirty.add(change.step.id);
      if (entry.length > MAX_WAITING_LENGTH) printStep(change.step);
    },
    print,
    close(now) {
      print(now);
      for (const id of [...dirty]) {
        const step = steps.byId.get(id);
        if (step !== undefined) printStep(step);
      }
      write(endReport(steps, { color, terminal }));
    },
  };
}

function outcome(step: Step): string {
  switch (step.state) {
    case "cached":
      return "CACHED";
    case "canceled":
      return "CANCELED";
    case "failed":
      return `ERROR: ${step.message ?? "failed"}`;
    case "waiting":
    case "running":
    case "done":
      return step.startedAt === undefined
        ? "DONE"
        : `DONE ${(((step.endedAt ?? 0) - step.startedAt) / 1000).toFixed(1)}s`;
    default: {
      const never: never = step.state;
      return never;
    }
  }
}
