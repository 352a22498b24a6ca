import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { Diagnostic } from "../../src/diagnostic/diagnostic.ts";
import { BakeError, invariant, isAbort } from "../../src/diagnostic/error.ts";

const range = { source: { name: "f", text: "abc" }, start: 0, end: 1 };

test("the first error among diagnostics leads, whatever stands before it", () => {
  const warning: Diagnostic = { severity: "warning", code: "usage", message: "w" };
  const first: Diagnostic = { severity: "error", code: "bake-syntax", message: "first", range, hint: "h" };
  const second: Diagnostic = { severity: "error", code: "usage", message: "second" };
  const error = BakeError.ofDiagnostics([warning, first, second]);
  assert.equal(error.code, "bake-syntax");
  assert.equal(error.message, "first");
  assert.deepEqual(error.diagnostics, [first, warning, second]);
});

test("diagnostics without an error are a defect of the caller", () => {
  assert.throws(() => BakeError.ofDiagnostics([]), /BUG/);
});

test("a place is added once and never replaced", () => {
  const bare = new BakeError("step-failed", "m", { hint: "h" });
  const located = bare.at(range);
  assert.deepEqual(located.diagnostics, [
    { severity: "error", code: "step-failed", message: "m", hint: "h", range },
  ]);
  assert.equal(located.at({ ...range, start: 2 }), located);
  assert.equal(bare.at(undefined), bare);
});

test("a place keeps the further diagnostics and the cause", () => {
  const cause = new Error("deep");
  const other: Diagnostic = { severity: "error", code: "usage", message: "other" };
  const located = new BakeError("usage", "m", { others: [other], cause }).at(range);
  assert.equal(located.cause, cause);
  assert.deepEqual(located.diagnostics.slice(1), [other]);
});

test("what the system refuses becomes a code, a path and a reason", () => {
  const thrown = (() => {
    try {
      return readFileSync("/nowhere/at all");
    } catch (error) {
      return error;
    }
  })();
  const error = BakeError.from(thrown);
  assert.equal(error.code, "file-missing");
  assert.equal(error.message, 'cannot use "/nowhere/at all": there is no such file or folder');
  assert.equal(error.cause, thrown);
  assert.equal(error.exitCode, 2);
});

test("an aborted signal is an interruption, anything unknown a defect", () => {
  const controller = new AbortController();
  controller.abort();
  assert.equal(BakeError.from(controller.signal.reason).code, "interrupted");
  assert.equal(BakeError.from(controller.signal.reason).exitCode, 130);
  assert.equal(BakeError.from("text").code, "internal");
  assert.equal(BakeError.from(new TypeError("t")).code, "internal");
});

test("an interruption is known as such before and after conversion", () => {
  const controller = new AbortController();
  controller.abort();
  assert.equal(isAbort(controller.signal.reason), true);
  assert.equal(isAbort(BakeError.from(controller.signal.reason)), true);
  assert.equal(isAbort(new BakeError("usage", "m")), false);
});

test("an invariant that does not hold names itself", () => {
  assert.doesNotThrow(() => invariant(true, "BUG: no"));
  assert.throws(() => invariant(0, "BUG: edge completed twice"), {
    code: "internal",
    message: "BUG: edge completed twice",
  });
});

test("what a scope failed with counts, not that giving back what it held failed as well", async () => {
  const scope = async (): Promise<void> => {
    await using _held = { [Symbol.asyncDispose]: () => Promise.reject(new Error("busy")) };
    throw new BakeError("step-failed", "command failed");
  };
  await assert.rejects(scope(), thrown => {
    assert.equal(BakeError.from(thrown).message, "command failed");
    return true;
  });
});
