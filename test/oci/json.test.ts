import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compareUtf8, goJson, sortedRecord } from "../../src/oci/json.ts";

test("what Go escapes for HTML is escaped", () => {
  assert.equal(
    goJson({ a: "<b> & \u2028\u2029 \u007f é" }),
    '{"a":"\\u003cb\\u003e \\u0026 \\u2028\\u2029 \u007f é"}',
  );
  assert.equal(goJson({ "<k>": 1 }), '{"\\u003ck\\u003e":1}');
});

test("half a surrogate pair becomes the replacement character, as in a Go string", () => {
  assert.equal(goJson("a\ud800b"), '"a\ufffdb"');
  assert.equal(goJson("a\u{1f600}b"), '"a\u{1f600}b"');
});

test("maps with number-like keys are printed in byte order", () => {
  assert.equal(goJson(sortedRecord({ b: 1, 10: 2, 9: 3, 1: 4 })), '{"1":4,"10":2,"9":3,"b":1}');
});

test("indenting is that of MarshalIndent, empty lists and objects staying closed", () => {
  assert.equal(
    goJson({ a: [1, { b: null }], c: [], d: {} }, "  "),
    JSON.stringify({ a: [1, { b: null }], c: [], d: {} }, undefined, 2),
  );
});

test("plain data without special characters is printed as JSON.stringify does", () => {
  const plain = fc.jsonValue().map(value => JSON.stringify(value));
  fc.assert(
    fc.property(plain, text => {
      const value: unknown = JSON.parse(text);
      assert.deepEqual(JSON.parse(goJson(value)), value);
      if (!/[<>&\u2028\u2029]|\\ud|"\d+":/.test(text)) {
        assert.equal(goJson(value), text);
        assert.equal(goJson(value, " "), JSON.stringify(value, undefined, 1));
      }
    }),
  );
});

test("strings are ordered by their UTF-8 bytes", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
      assert.equal(Math.sign(compareUtf8(a, b)), Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
  );
});
