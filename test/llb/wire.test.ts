// The bytes: laws over arbitrary messages, and the points where protobuf leaves a choice that digests depend on.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BakeError } from "../../src/diagnostic/error.ts";
import { definitionMessage } from "../../src/llb/definitionmessage.ts";
import { int32, list, message, text } from "../../src/llb/message.ts";
import { execMeta } from "../../src/llb/op/exec.ts";
import { chown, userOption } from "../../src/llb/op/file.ts";
import { mergeOp } from "../../src/llb/op/merge.ts";
import { sourceOp } from "../../src/llb/op/source.ts";
import { decodeOp, opMessage } from "../../src/llb/ops.ts";
import { decode, encode } from "../../src/llb/wire.ts";
import { arbitraryOf } from "./arbitrary.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const fromHex = (digits: string): Uint8Array =>
  new Uint8Array(Buffer.from(digits.replaceAll(" ", ""), "hex"));
const invalid = (error: unknown): boolean => error instanceof BakeError && error.code === "llb-invalid";

test("law: reading what was written gives the same value, for ops and for definitions", () => {
  for (const table of [opMessage, definitionMessage]) {
    fc.assert(
      fc.property(arbitraryOf<unknown>(table), value => {
        assert.deepEqual(decode<unknown>(table, encode<unknown>(table, value)), value);
      }),
      { numRuns: 150 },
    );
  }
});

test("law: two values that differ anywhere have different bytes", () => {
  fc.assert(
    fc.property(arbitraryOf(opMessage), arbitraryOf(opMessage), (a, b) => {
      const equal = isDeepEqual(a, b);
      assert.equal(hex(encode(opMessage, a)) === hex(encode(opMessage, b)), equal);
    }),
    { numRuns: 300 },
  );
});

test("law: the order of map entries does not matter", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.string({ unit: "grapheme" }), fc.string({ unit: "grapheme" }))),
      entries => {
        const attrs = Object.fromEntries(entries);
        const turned = Object.fromEntries(Object.entries(attrs).reverse());
        const write = (map: Record<string, string>): string =>
          hex(encode(sourceOp, { identifier: "x", attrs: map }));
        assert.equal(write(turned), write(attrs));
      },
    ),
  );
});

test("law: whatever the bytes, the reader gives a value or says that they are malformed", () => {
  const valid = arbitraryOf(opMessage).map(value => encode(opMessage, value));
  const damaged = fc.tuple(valid, fc.nat(), fc.nat({ max: 255 }), fc.nat()).map(([bytes, at, byte, end]) => {
    const copy = Uint8Array.from(bytes);
    if (copy.length > 0) copy[at % copy.length] = byte;
    return copy.subarray(0, end % (copy.length + 1));
  });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), damaged), bytes => {
      for (const read of [() => decodeOp(bytes), () => decode(definitionMessage, bytes)]) {
        try {
          read();
        } catch (error) {
          assert.ok(invalid(error), String(error));
        }
      }
    }),
    { numRuns: 1000 },
  );
});

test("members of a oneof come after plain fields of higher number", () => {
  const bytes = encode(opMessage, {
    inputs: [],
    op: { kind: "source", value: { identifier: "a", attrs: {} } },
    constraints: { filter: [] },
  });
  assert.equal(hex(bytes), "5a001a030a0161");
});

test("a zero member of a oneof is written, zero scalars and empty lists are not", () => {
  assert.equal(hex(encode(userOption, { user: { kind: "byID", value: 0 } })), "1000");
  assert.equal(hex(encode(chown, { user: {} })), "0a00", "a sub-message that is set is written when empty");
  assert.equal(hex(encode(sourceOp, { identifier: "", attrs: {} })), "");
  assert.equal(hex(encode(mergeOp, { inputs: [{ input: 0 }, { input: 1 }] })), "0a000a020801");
});

test("map entries are sorted by UTF-8 bytes and carry empty values", () => {
  // U+FF5E sorts after U+1F600 in UTF-16 but before it in UTF-8.
  const bytes = encode(sourceOp, { identifier: "", attrs: { "\u{1f600}": "x", "\uff5e": "", a: "" } });
  assert.equal(hex(bytes), "12050a01611200" + "12070a03efbd9e1200" + "12090a04f09f9880120178");
});

test("negative numbers take ten bytes, repeated numbers are packed and read in both forms", () => {
  const table = message<{ readonly one: number; readonly many: readonly number[] }>("T", {
    one: int32(1),
    many: list(int32(2)),
  });
  const bytes = encode(table, { one: -1, many: [1, 300] });
  assert.equal(hex(bytes), "08ffffffffffffffffff01" + "1203" + "01ac02");
  assert.deepEqual(decode(table, fromHex("1001 10ac02")), { one: 0, many: [1, 300] });
});

test("texts of any length are written whole, with their length in as few bytes as it takes", () => {
  const texts = message<{ inner: { text: string } | undefined }>("Outer", {
    inner: {
      kind: "message",
      number: 1,
      message: () => message<{ text: string }>("Inner", { text: text(1) }),
    },
  });
  for (const length of [1, 63, 64, 65, 126, 127, 128, 16_383, 16_384]) {
    for (const char of ["a", "\u00e9", "\u6f22", "\u{1f600}"]) {
      const value = char.repeat(length);
      const block = (content: Buffer): Buffer =>
        Buffer.concat([Buffer.from([0x0a]), lengthOf(content), content]);
      const wanted = block(block(Buffer.from(value)));
      assert.deepEqual(Buffer.from(encode(texts, { inner: { text: value } })), wanted);
    }
  }
});

function lengthOf({ length }: Uint8Array): Buffer {
  const bytes: number[] = [];
  for (let rest = length; ; rest >>= 7) {
    bytes.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest);
    if (rest <= 0x7f) return Buffer.from(bytes);
  }
}

test("unknown fields of every wire type are skipped", () => {
  const bytes = fromHex("f80701 f90700000000000000 00 fa070161 fb0708 01fc07 fd0700000000 0a0161");
  assert.deepEqual(decode(sourceOp, bytes), { identifier: "a", attrs: {} });
});

test("a message in two pieces is their merge", () => {
  const table = message<{ readonly meta: { readonly a: string; readonly b: string } }>("T", {
    meta: { kind: "message", number: 1, message: () => message("M", { a: text(1), b: text(2) }) },
  });
  assert.deepEqual(decode(table, fromHex("0a030a0161 0a03120162")), { meta: { a: "a", b: "b" } });
});

const malformed: readonly (readonly [string, string])[] = [
  ["it ends within a number", "0a80"],
  ["it ends within a field", "0a05 61"],
  ["a number is longer than 64 bits", "f807ffffffffffffffffff7f"],
  ["a text is not valid UTF-8", "0a01ff"],
  ["field 1 has the wrong wire type", "0801"],
  ["a field number is out of range", "0201 61"],
  ["a field has the unknown wire type 7", "7f"],
  ["a group does not end as it began", "fb07 f407"],
];
for (const [why, digits] of malformed) {
  test(`the reader rejects bytes when ${why}`, () => {
    assert.throws(
      () => decode(sourceOp, fromHex(digits)),
      error => invalid(error) && String(error).includes(why),
    );
  });
}

test("the reader gives up on definitions nested without end", () => {
  let bytes: Uint8Array = new Uint8Array(0);
  for (let depth = 0; depth < 100; depth++) bytes = wrap(3, wrap(2, wrap(3, bytes)));
  assert.throws(() => decode(definitionMessage, bytes), invalid);
});

test("the writer rejects text that is not valid UTF-8, and numbers that do not fit", () => {
  const write = (identifier: string): Uint8Array => encode(sourceOp, { identifier, attrs: {} });
  assert.throws(
    () => write("a\ud800b"),
    error => invalid(error) && String(error).includes("SourceOp.identifier"),
  );
  assert.equal(hex(write("\u{1f600}")), "0a04f09f9880");
  const meta = decode(execMeta, new Uint8Array(0));
  assert.throws(() => encode(execMeta, { ...meta, validExitCodes: [2 ** 31] }), invalid);
  assert.throws(() => encode(execMeta, { ...meta, validExitCodes: [0.5] }), invalid);
  assert.throws(() => encode(execMeta, { ...meta, validExitCodes: [Number.NaN] }), invalid);
});

function wrap(field: number, content: Uint8Array): Uint8Array {
  const length = content.length;
  const size = length < 128 ? [length] : [(length & 127) | 128, length >> 7];
  return Uint8Array.from([field * 8 + 2, ...size, ...content]);
}

function isDeepEqual(a: unknown, b: unknown): boolean {
  try {
    assert.deepEqual(a, b);
    return true;
  } catch {
    return false;
  }
}
