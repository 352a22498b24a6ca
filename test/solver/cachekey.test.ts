import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { digestOf } from "../../src/oci/digest.ts";
import { contentKeyOf, definitionKey, keyOfParts, saltedKey, storedPart } from "../../src/solver/cachekey.ts";
import type { CacheMap, KeyPart } from "../../src/solver/op.ts";

const [a, b, c] = [digestOf("a"), digestOf("b"), digestOf("c")];
const parts: readonly KeyPart[] = [{ label: "command", value: "make" }];
const readable = { contentKey: () => Promise.resolve({ digest: c }) };

function map(inputs: CacheMap<string>["inputs"], volatile = false): CacheMap<string> {
  return { parts, inputs, volatile };
}

describe("cache keys", () => {
  test("no two lists of parts share a key, however their texts are cut", () => {
    const part = fc.record({ label: fc.string({ maxLength: 4 }), value: fc.string({ maxLength: 4 }) });
    const list = fc.array(part, { maxLength: 4 });
    fc.assert(
      fc.property(list, list, (one, two) => {
        const equal = JSON.stringify(one) === JSON.stringify(two);
        assert.equal(keyOfParts(one).digest === keyOfParts(two).digest, equal);
      }),
    );
    const cut = keyOfParts([{ label: "a", value: "b\n1:c=1:d" }]);
    assert.notEqual(
      cut.digest,
      keyOfParts([
        { label: "a", value: "b" },
        { label: "c", value: "d" },
      ]).digest,
    );
  });

  test("neither what is shown nor details change a key", () => {
    const plain = keyOfParts([{ label: "env", value: "x" }]);
    assert.equal(
      keyOfParts([{ label: "env", value: "x", shown: "***" }], [{ label: "f", value: "1" }]).digest,
      plain.digest,
    );
  });

  test("a definition key depends on each input's identity, output and selector, and on their order", () => {
    const key = (inputs: readonly [typeof a, number][], selector = "/"): string | undefined =>
      definitionKey(
        map(inputs.map(() => ({ selector }))),
        inputs.map(([identity, index]) => ({ identity, index })),
      )?.digest;
    const keys = [
      key([
        [a, 0],
        [b, 0],
      ]),
      key([
        [b, 0],
        [a, 0],
      ]),
      key([
        [a, 1],
        [b, 0],
      ]),
      key(
        [
          [a, 0],
          [b, 0],
        ],
        "/src",
      ),
      key([[a, 0]]),
    ];
    assert.equal(new Set(keys).size, keys.length);
  });

  test("a volatile op or input has no definition key", () => {
    assert.equal(definitionKey(map([], true), []), undefined);
    assert.equal(definitionKey(map([{}]), [{ identity: "volatile", index: 0 }]), undefined);
  });

  test("a content key holds the content in place of the identity and no selector", () => {
    const inputs = (identity: typeof a | "volatile") => [
      { identity, index: 0 },
      { identity: b, index: 0 },
    ];
    const keyed = map([{ ...readable, selector: "/x" }, {}]);
    const key = contentKeyOf(keyed, inputs(a), [{ digest: c }, undefined]);
    assert.equal(
      key?.digest,
      contentKeyOf(map([readable, {}]), inputs("volatile"), [{ digest: c }, undefined])?.digest,
    );
    assert.notEqual(key?.digest, contentKeyOf(keyed, inputs(a), [{ digest: a }, undefined])?.digest);
    assert.equal(contentKeyOf(map([{}, {}]), inputs("volatile"), []), undefined);
  });

  test("definition and content keys never meet, nor do salted and plain ones", () => {
    const definition = definitionKey(map([readable]), [{ identity: c, index: 0 }]);
    const content = contentKeyOf(map([readable]), [{ identity: a, index: 0 }], [{ digest: c }]);
    assert.ok(definition !== undefined && content !== undefined);
    const all = [definition, content, saltedKey(definition, "1"), saltedKey(definition, "2")].map(
      key => key.digest,
    );
    assert.equal(new Set(all).size, 4);
  });

  test("stored parts keep only what may be shown", () => {
    assert.deepEqual(storedPart({ label: "env TOKEN", value: "hunter2" }), {
      label: "env TOKEN",
      value: digestOf("hunter2"),
    });
    assert.equal(storedPart({ label: "command", value: "x", shown: "make" }).shown, "make");
  });
});
