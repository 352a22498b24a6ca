import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProgressEvent } from "../../src/progress/event.ts";
import { drawFrame, type FrameOptions } from "../../src/progress/frame.ts";
import { createSteps } from "../../src/progress/steps.ts";

const START = 1_700_000_000_000;

function frame(events: readonly ProgressEvent[], options: Partial<FrameOptions> = {}): readonly string[] {
  const steps = createSteps();
  for (const event of events) steps.fold(event);
  return drawFrame(steps, {
    columns: 40,
    rows: 12,
    now: START + 2_000,
    color: false,
    last: false,
    ...options,
  });
}

const begin = (id: string, ms = 0): readonly ProgressEvent[] => [
  { type: "step", id, name: `[${id}] RUN ${id}`, inputs: [] },
  { type: "started", id, at: START + ms },
];
const log = (id: string, text: string): ProgressEvent => ({
  type: "log",
  id,
  at: START + 1,
  stream: 1,
  data: Buffer.from(text),
});

test("a frame has counts, ended steps, running steps and the end of their output", () => {
  const lines = frame([
    { type: "step", id: "c", name: "[1/3] WORKDIR /", inputs: [] },
    { type: "cached", id: "c", at: START },
    ...begin("a"),
    { type: "done", id: "a", at: START + 300 },
    ...begin("b", 500),
    log("b", "cc one.c\ncc two.c\n"),
    { type: "step", id: "later", name: "later", inputs: [] },
  ]);
  assert.deepEqual(lines, [
    "[+] Building 2.0s (2/4), 1 cached",
    "◼ CACHED [1/3] WORKDIR /",
    "✔ [a] RUN a                        0.3s",
    "⠋ [b] RUN b                        1.5s",
    "  │ cc one.c",
    "  │ cc two.c",
  ]);
});

test("a step that waits for another process says so", () => {
  const part = "waiting for another bake (pid 7), which runs this step";
  const status = { type: "status", id: "a", part, at: START, current: 0, total: 0 } as const;
  const waiting: readonly ProgressEvent[] = [...begin("a"), { ...status, done: false }];
  assert.equal(
    frame(waiting, { columns: 80 })[1],
    "⠋ [a] RUN a  waiting for another bake (pid 7), which runs this step        2.0s",
  );
  assert.equal(frame([...waiting, { ...status, done: true }])[1], "⠋ [a] RUN a                        2.0s");
});

test("no line is wider than the terminal, and there are never more lines than it has", () => {
  const events = Array.from({ length: 60 }, (_, i) => [
    ...begin(`step-${i}-${"ﾊ漢字".repeat(i % 9)}-with-a-long-name`),
    log(`step-${i}-${"ﾊ漢字".repeat(i % 9)}-with-a-long-name`, `${"x".repeat(200)}\n`),
    ...(i % 3 === 0
      ? []
      : [
          { type: "done", id: `step-${i}-${"ﾊ漢字".repeat(i % 9)}-with-a-long-name`, at: START + i } as const,
        ]),
  ]).flat();
  for (const [columns, rows] of [
    [80, 24],
    [20, 6],
    [40, 3],
  ] as const) {
    const lines = frame(events, { columns, rows });
    assert.ok(lines.length < rows, `${lines.length} lines in ${rows} rows`);
    for (const line of lines)
      assert.ok([...line].reduce((sum, c) => sum + (/[\u4e00-\u9fff]/u.test(c) ? 2 : 1), 0) <= columns, line);
  }
});

test("when there is little room, failed steps and running ones are what is shown", () => {
  const many = Array.from({ length: 20 }, (_, i) => [
    ...begin(`ok${i}`),
    { type: "done", id: `ok${i}`, at: START + 900 } as const,
  ]).flat();
  const lines = frame(
    [
      ...begin("bad"),
      { type: "failed", id: "bad", at: START + 100, message: "exit code: 1" },
      ...many,
      ...begin("run"),
    ],
    { rows: 6 },
  );
  assert.ok(
    lines.some(line => line.startsWith("✖ ERROR [bad]")),
    lines.join("\n"),
  );
  assert.ok(
    lines.some(line => line.includes("[run] RUN run")),
    lines.join("\n"),
  );
});

test("the last frame lists every step that began", () => {
  const many = Array.from({ length: 30 }, (_, i) => [
    ...begin(`s${i}`),
    { type: "done", id: `s${i}`, at: START + 900 } as const,
  ]).flat();
  const lines = frame(many, { last: true, rows: 5 });
  assert.equal(lines.length, 31);
  assert.equal(lines[0], "[+] Built 2.0s (30/30)");
});

test("a part that moves shows how far it is", () => {
  const lines = frame([
    ...begin("a"),
    { type: "status", id: "a", part: "layer", at: START, current: 1_500_000, total: 3_000_000, done: false },
  ]);
  assert.equal(lines[1], "⠋ [a] RUN a        1.50MB / 3.00MB 2.0s");
});
