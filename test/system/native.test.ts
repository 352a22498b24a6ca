// Goal: calls of the C library answer, however many are made at once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadNative } from "../../src/system/native.ts";

const native = await loadNative();
const skip = native === undefined && "there is no native library for this machine";

test("more calls on other threads than the library takes at once have their turn", { skip }, async () => {
  assert.ok(native);
  const sleep = native.bindAsync("int usleep(unsigned int)");
  const answers = await Promise.all(Array.from({ length: 600 }, () => sleep(1000)));
  assert.deepEqual(new Set(answers), new Set([0]));
});
