// Events go in at given times, the exact text comes out.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProgressEvent } from "../../src/progress/event.ts";
import { createPlainPrinter, type PlainOptions } from "../../src/progress/plain.ts";

const START = 1_700_000_000_000;

function printer(options: PlainOptions = {}) {
  let text = "";
  const plain = createPlainPrinter(piece => (text += piece), options);
  return {
    /** Feeds events and prints at the time of the last one. */
    feed(...events: readonly ProgressEvent[]) {
      for (const event of events) plain.update(event);
      const last = events.at(-1);
      plain.print(last !== undefined && "at" in last ? last.at : START);
    },
    print: (ms: number) => plain.print(START + ms),
    close: (ms = 0) => plain.close(START + ms),
    take: () => {
      const out = text;
      text = "";
      return out;
    },
  };
}

const step = (id: string, name = id, targets?: readonly string[]): ProgressEvent => ({
  type: "step",
  id,
  name,
  inputs: [],
  ...(targets && { targets }),
});
const started = (id: string, ms: number): ProgressEvent => ({ type: "started", id, at: START + ms });
const done = (id: string, ms: number): ProgressEvent => ({ type: "done", id, at: START + ms });
const log = (id: string, ms: number, text: string | Uint8Array, stream: 1 | 2 = 1): ProgressEvent => ({
  type: "log",
  id,
  at: START + ms,
  stream,
  data: typeof text === "string" ? Buffer.from(text) : text,
});

test("a step prints its name, its lines with times, and how long it took", () => {
  const out = printer();
  out.feed(step("a", "[build 1/2] RUN make"), started("a", 0), log("a", 123, "one\ntwo\n"), done("a", 1540));
  assert.equal(out.take(), "#1 [build 1/2] RUN make\n#1 0.123 one\n#1 0.123 two\n#1 DONE 1.5s\n");
});

test("cached, failed and canceled steps say so, with a blank line between steps", () => {
  const out = printer();
  out.feed(step("a"), { type: "cached", id: "a", at: START });
  out.feed(step("b"), started("b", 0), { type: "failed", id: "b", at: START + 10, message: "exit code: 2" });
  out.feed(step("c"), started("c", 0), { type: "canceled", id: "c", at: START + 20 });
  assert.equal(out.take(), "#1 a\n#1 CACHED\n\n#2 b\n#2 ERROR: exit code: 2\n\n#3 c\n#3 CANCELED\n");
});

test("a step that never begins is not mentioned", () => {
  const out = printer();
  out.feed(step("a"), step("b"));
  out.close();
  assert.equal(out.take(), "");
});

test("what is said of a step before it begins is printed", () => {
  const out = printer();
  out.feed(step("a"), step("b"), log("a", 0, "the server answered 503; trying again\n"));
  assert.equal(out.take(), "#1 a\n#1 0.000 the server answered 503; trying again\n");
  out.feed(started("a", 10), done("a", 20));
  out.close();
  assert.equal(out.take(), "#1 DONE 0.0s\n");
});

test("lines of two steps are not mixed: the other waits until the first ends", () => {
  const out = printer();
  out.feed(step("a"), started("a", 0), log("a", 100, "a1\n"));
  out.feed(step("b"), started("b", 100), log("b", 200, "b1\n"), log("a", 300, "a2\n"));
  assert.equal(out.take(), "#1 a\n#1 0.100 a1\n#1 0.300 a2\n");
  out.feed(done("a", 400));
  assert.equal(out.take(), "#1 DONE 0.4s\n\n#2 b\n#2 0.100 b1\n");
  out.feed(log("b", 500, "b2\n"));
  assert.equal(out.take(), "#2 0.400 b2\n");
});

test("a step that ends while another has the turn interrupts it visibly, and the other goes on", () => {
  const out = printer();
  out.feed(step("a"), started("a", 0), log("a", 100, "a1\n"));
  out.take();
  out.feed(step("b"), started("b", 100), done("b", 200));
  assert.equal(out.take(), "#1 ...\n\n#2 b\n#2 DONE 0.1s\n\n#1 a\n");
});

test("beside one that says a lot, a step with something to say gets a turn after ten seconds", () => {
  const out = printer();
  out.feed(step("a"), started("a", 0));
  const talk = (from: number, to: number): void => {
    for (let ms = from; ms < to; ms += 10) out.feed(log("a", ms, "a\n"));
  };
  talk(1, 1_000);
  out.feed(step("b"), started("b", 1_000), log("b", 1_000, "b1\n"));
  talk(1_001, 11_000);
  assert.doesNotMatch(out.take(), /#2/);
  out.feed(log("a", 11_001, "a\n"));
  assert.equal(out.take(), "#1 11.00 a\n#1 ...\n\n#2 b\n#2 0.000 b1\n");
});

test("a line cut anywhere, even inside a character, is printed whole", () => {
  const out = printer();
  const bytes = Buffer.from("héllo\n");
  out.feed(step("a"), started("a", 0), log("a", 1, bytes.subarray(0, 2)));
  assert.equal(out.take(), "#1 a\n");
  out.feed(log("a", 2, bytes.subarray(2)));
  assert.equal(out.take(), "#1 0.002 héllo\n");
});

test("the two streams of a step do not cut each other's lines, and the last line needs no end", () => {
  const out = printer();
  out.feed(
    step("a"),
    started("a", 0),
    log("a", 1, "out"),
    log("a", 2, "err\n", 2),
    log("a", 3, "put"),
    done("a", 4),
  );
  assert.equal(out.take(), "#1 a\n#1 0.002 err\n#1 0.004 output\n#1 DONE 0.0s\n");
});

test("moving parts are printed at most every five percent or five seconds, and when they end", () => {
  const out = printer();
  const part = (ms: number, current: number, end = false): ProgressEvent => ({
    type: "status",
    id: "a",
    part: "sha256:ab",
    at: START + ms,
    current,
    total: 1_000_000,
    done: end,
  });
  out.feed(step("a", "[1/2] FROM alpine"), started("a", 0));
  out.take();
  out.feed(part(0, 0));
  out.feed(part(100, 10_000));
  out.feed(part(200, 60_000));
  out.feed(part(5_300, 61_000));
  out.feed(part(5_400, 1_000_000, true));
  assert.equal(
    out.take(),
    "#1 sha256:ab 0B / 1.00MB\n#1 sha256:ab 60.00kB / 1.00MB 0.2s\n#1 sha256:ab 61.00kB / 1.00MB 5.3s\n#1 sha256:ab 1.00MB / 1.00MB 5.4s done\n",
  );
});

test("with several targets the names carry those that want the step", () => {
  const out = printer({ showTargets: true });
  out.feed(step("a", "[build 1/2] RUN make", ["app", "web"]), started("a", 0), done("a", 0));
  out.feed(step("b", "exporting to oci", ["app"]), started("b", 0), done("b", 0));
  out.feed(step("c", "[1/1] RUN x", ["a", "b", "c", "d", "e"]), started("c", 0), done("c", 0));
  const names = out
    .take()
    .split("\n")
    .filter(line => !/DONE|^$/.test(line));
  assert.deepEqual(names, [
    "#1 [app web build 1/2] RUN make",
    "#2 [app] exporting to oci",
    "#3 [a b c +2 1/1] RUN x",
  ]);
});

test("at the end the last lines of failed steps are repeated, and the warnings told once", () => {
  const out = printer();
  const source = { name: "Dockerfile", text: "FROM alpine as x\n" };
  const warning: ProgressEvent = {
    type: "warning",
    diagnostic: {
      severity: "warning",
      code: "dockerfile-lower",
      message: "keyword in lower case",
      range: { source, start: 12, end: 14 },
    },
  };
  out.feed(step("a", "[2/2] RUN make"), started("a", 0));
  for (let i = 1; i <= 25; i++) out.feed(log("a", i, `line ${i}\n`));
  out.feed({ type: "failed", id: "a", at: START + 30, message: "exit code: 2" }, warning, warning);
  out.take();
  out.close();
  const text = out.take();
  assert.ok(text.startsWith("------\n > [2/2] RUN make:\n(5 lines before these)\n0.006 line 6\n"), text);
  assert.ok(
    text.includes(
      "0.025 line 25\n------\n\n1 warning found:\nwarning: keyword in lower case\n  Dockerfile:1:13\n",
    ),
    text,
  );
});

test("what is not printed yet is printed when the build ends", () => {
  const out = printer();
  out.feed(step("a"), started("a", 0));
  out.feed(step("b"), started("b", 0), log("b", 5, "kept\n"));
  out.take();
  out.close(10);
  assert.match(out.take(), /#2 b\n#2 0\.005 kept\n/);
});

test("on a terminal, logs cannot move the cursor; elsewhere they pass as they are", () => {
  const line = "\x1b[2J50%\r\x1b[31mred\x1b[0m\x07\n";
  const onTerminal = printer({ terminal: true, color: false });
  onTerminal.feed(step("a"), started("a", 0), log("a", 0, line));
  assert.equal(onTerminal.take(), "#1 a\n#1 0.000 red\n");
  const piped = printer();
  piped.feed(step("a"), started("a", 0), log("a", 0, line));
  assert.equal(piped.take(), `#1 a\n#1 0.000 ${line}`);
});

test("a step says once why it runs", () => {
  const plain = printer();
  const reason = (id: string, text: string): ProgressEvent => ({ type: "reason", id, text });
  plain.feed(step("a"), started("a", 0), reason("a", 'file "x" changed'), log("a", 100, "hello\n"));
  plain.feed(log("a", 200, "again\n"), done("a", 300));
  plain.close(600);
  assert.equal(
    plain.take(),
    '#1 a\n#1 because file "x" changed\n#1 0.100 hello\n#1 0.200 again\n#1 DONE 0.3s\n',
  );
});

test("a step says once that it is emulated, and for which platform", () => {
  const plain = printer();
  plain.feed(
    step("a"),
    started("a", 0),
    { type: "emulated", id: "a", platform: "linux/arm64" },
    done("a", 300),
  );
  plain.close(600);
  assert.equal(plain.take(), "#1 a\n#1 emulated linux/arm64\n#1 DONE 0.3s\n");
});

test("a step whose output would pile up is printed at once, turn or not", () => {
  const out = printer();
  out.feed(step("a"), started("a", 0), log("a", 1, "first\n"));
  out.take();
  out.feed(step("b"), started("b", 2), log("b", 3, "b\n"));
  assert.equal(out.take(), "");
  const line = `${"x".repeat(1023)}\n`;
  let printed = "";
  for (let sent = 0; sent < 4096 && printed === ""; sent++) {
    out.feed(log("b", 4, line));
    printed = out.take();
  }
  assert.match(printed, /^#1 \.\.\.\n\n#2 b\n#2 0\.001 b\n#2 0\.002 x{1023}\n/);
});
