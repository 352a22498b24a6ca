import assert from "node:assert/strict";
import { test } from "node:test";
import { formOfRun } from "../../src/cli/runform.ts";

test("what can be read but once is known by its name", () => {
  const once = [["-f", "-"], ["-f-"], ["--file=-"], ["app", "-f", "/dev/stdin"], ["--file=/dev/fd/63"]];
  for (const argv of once) assert.equal(formOfRun(argv).readsOnce, true, argv.join(" "));
  const often = [["-f", "a-"], ["--set", "a.output=-x"], ["-"], []];
  assert.deepEqual(
    often.map(argv => formOfRun(argv).readsOnce),
    [false, false, true, false],
  );
  assert.deepEqual(
    formOfRun(["-f", "/dev/fd/63", "--file=/proc/self/fd/5", "/dev/fd/x"]).descriptors,
    [63, 5],
  );
});
