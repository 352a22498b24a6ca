// One frame of the terminal display, as text: a pure function of the steps, the size of the terminal and the time.
//
//   [+] Building 3.4s (7/12), 4 cached
//   ✔ [internal] load Dockerfile                              0.1s
//   ◼ CACHED [build 2/4] WORKDIR /src
//   ⠋ [build 3/4] RUN make -j4                                2.9s
//     │ cc -c parse.c
//     │ cc -c scan.c
import { safeLine } from "./lines.ts";
import { formatAmount, isEnded, type Step, type Steps } from "./steps.ts";

export interface FrameOptions {
  readonly columns: number;
  readonly rows: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly color: boolean;
  /** The last frame: everything that ended is listed, whatever the height. */
  readonly last: boolean;
}

/** How many lines of output a running step shows at most. */
const MAX_LOG_LINES = 6;
const SPINNER = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const SPINNER_MS = 100;
const STYLES = { red: 31, green: 32, yellow: 33, blue: 34, dim: 90 } as const;

/** The lines of a frame, none wider than the terminal. */
export function drawFrame(steps: Steps, options: FrameOptions): readonly string[] {
  const { columns, rows, last } = options;
  const all = [...steps.byId.values()];
  const begun = all.filter(step => step.state !== "waiting");
  const running = begun.filter(step => step.state === "running");
  const ended = begun.filter(isEnded);
  const head = [headline(all, ended, options)];
  if (last)
    return [
      ...head,
      ...ended.flatMap(step => stepLines(step, 0, options)),
      ...running.flatMap(step => stepLines(step, 0, options)),
    ];

  // Running steps come first in importance; what is left of the height shows the steps that ended last.
  const budget = Math.max(1, rows - 2);
  const shownRunning = running.slice(0, Math.max(1, budget - 1));
  const hidden = budget > 1 ? running.length - shownRunning.length : 0;
  let free = budget - shownRunning.length - (hidden > 0 ? 1 : 0);
  const logLines =
    shownRunning.length === 0 ? 0 : Math.min(MAX_LOG_LINES, Math.floor(free / shownRunning.length));
  const runningLines = shownRunning.flatMap(step => stepLines(step, logLines, options));
  free = budget - runningLines.length - (hidden > 0 ? 1 : 0);
  // Failures stay in view.
  const byEnd = [...ended].sort(
    (a, b) =>
      Number(a.state === "failed") - Number(b.state === "failed") || (a.endedAt ?? 0) - (b.endedAt ?? 0),
  );
  const shownEnded = new Set(free > 0 ? byEnd.slice(-free) : []);
  return [
    ...head,
    ...ended.filter(step => shownEnded.has(step)).flatMap(step => stepLines(step, 0, options)),
    ...runningLines,
    ...(hidden > 0 ? [fit(`  and ${hidden} more running`, columns)] : []),
  ];
}

function headline(
  all: readonly Step[],
  ended: readonly Step[],
  { now, columns, last }: FrameOptions,
): string {
  const starts = all.flatMap(step => step.startedAt ?? []);
  const seconds = starts.length === 0 ? 0 : (now - Math.min(...starts)) / 1000;
  const count = (state: Step["state"]): number => ended.filter(step => step.state === state).length;
  const notes = [
    [count("cached"), "cached"],
    [count("failed"), "failed"],
    [count("canceled"), "canceled"],
  ] as const;
  const suffix = notes.flatMap(([number, word]) => (number > 0 ? `, ${number} ${word}` : [])).join("");
  return fit(
    `[+] ${!last ? "Building" : count("failed") > 0 ? "Failed" : "Built"} ${seconds.toFixed(1)}s (${ended.length}/${all.length})${suffix}`,
    columns,
  );
}

function stepLines(step: Step, logLines: number, { columns, now, color }: FrameOptions): readonly string[] {
  const paint = (style: keyof typeof STYLES, text: string): string =>
    color ? `\x1b[${STYLES[style]}m${text}\x1b[39m` : text;
  const elapsed = step.startedAt === undefined ? 0 : ((step.endedAt ?? now) - step.startedAt) / 1000;
  const timer = step.state === "cached" ? "" : `${Math.max(0, elapsed).toFixed(1)}s`;
  const { icon, style, word } = looks(step, now);
  const moving = [...step.parts.values()].filter(part => !part.done).at(-1);
  const amount = step.state === "running" && moving !== undefined ? formatAmount(moving) : "";
  const right = `${amount.trim()}${amount === "" ? "" : " "}${timer}`;
  const because = step.reason === undefined ? "" : `  because ${step.reason}`;
  // A part of no size says by its name what goes on, such as waiting for another process.
  const doing = step.state === "running" && moving !== undefined && amount === "" ? `  ${moving.name}` : "";
  const emulated = step.emulated === undefined ? "" : `  emulated ${step.emulated}`;
  const left = fit(
    `${word}${safeLine(step.name + emulated + because + doing, { color: false })}`,
    columns - right.length - 4,
  );
  const gap = " ".repeat(Math.max(1, columns - 3 - width(left) - right.length));
  const lines = [`${paint(style, icon)} ${left}${right === "" ? "" : gap + right}`];
  for (const { text } of logLines > 0 ? step.tail.slice(-logLines) : []) {
    lines.push(paint("dim", fit(`  │ ${safeLine(text, { color: false })}`, columns - 1)));
  }
  return lines;
}

function looks(
  step: Step,
  now: number,
): { readonly icon: string; readonly style: keyof typeof STYLES; readonly word: string } {
  switch (step.state) {
    case "waiting":
      return { icon: " ", style: "dim", word: "" };
    case "running":
      return { icon: SPINNER[Math.floor(now / SPINNER_MS) % SPINNER.length] ?? "*", style: "blue", word: "" };
    case "cached":
      return { icon: "◼", style: "dim", word: "CACHED " };
    case "done":
      return { icon: "✔", style: "green", word: "" };
    case "failed":
      return { icon: "✖", style: "red", word: "ERROR " };
    case "canceled":
      return { icon: "◌", style: "yellow", word: "CANCELED " };
    default: {
      const never: never = step.state;
      return never;
    }
  }
}

let segmenter: Intl.Segmenter | undefined;

/** How many columns a text takes: wide East Asian characters and emoji take two. */
function width(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  segmenter ??= new Intl.Segmenter("en", { granularity: "grapheme" });
  let columns = 0;
  for (const { segment } of segmenter.segment(text)) columns += isWide(segment) ? 2 : 1;
  return columns;
}

function isWide(segment: string): boolean {
  return /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|^\p{Emoji_Presentation}/u.test(
    segment,
  );
}

function fit(text: string, columns: number): string {
  if (width(text) <= columns) return text;
  segmenter ??= new Intl.Segmenter("en", { granularity: "grapheme" });
  let out = "";
  let used = 0;
  for (const { segment } of segmenter.segment(text)) {
    used += isWide(segment) ? 2 : 1;
    if (used > columns - 1) break;
    out += segment;
  }
  return `${out}…`;
}
