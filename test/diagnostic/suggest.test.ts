import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { didYouMean, editDistance, nearest } from "../../src/diagnostic/suggest.ts";

test("slips of a letter or two find the name that was meant", () => {
  const names = ["context", "contexts", "dockerfile", "tags", "target"];
  assert.equal(nearest("contxt", names), "context");
  assert.equal(nearest("Dockerfile", names), "dockerfile");
  assert.equal(nearest("tasg", names), "tags");
  assert.equal(didYouMean("tagret", names), 'did you mean "target"?');
});

test("a name that resembles nothing gets no suggestion", () => {
  assert.equal(nearest("platforms", ["tags", "args"]), undefined);
  assert.equal(nearest("a", ["b", "c"]), undefined);
  assert.equal(nearest("ab", []), undefined);
});

test("ties go to the first by name, not by order of mention", () => {
  assert.equal(nearest("cat", ["hat", "bat"]), "bat");
});

test("the distance is a metric where nothing cuts it off", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 6 });
  fc.assert(
    fc.property(word, word, (a, b) => {
      const distance = editDistance(a, b);
      assert.equal(distance, editDistance(b, a));
      assert.equal(distance === 0, a === b);
      assert.ok(distance <= Math.max(a.length, b.length) && distance >= Math.abs(a.length - b.length));
    }),
  );
});
