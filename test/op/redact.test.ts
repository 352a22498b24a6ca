// Goal: no value of a secret leaves a step's output, however its bytes are cut, and nothing else is changed.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createRedactor } from "../../src/op/redact.ts";

function redact(secrets: readonly string[], chunks: readonly string[]): string {
  const redactor = createRedactor(secrets.map(secret => Buffer.from(secret)));
  if (redactor === undefined) return chunks.join("");
  const out = chunks.map(chunk => redactor.feed(Buffer.from(chunk)));
  return Buffer.concat([...out, redactor.flush()]).toString();
}

test("a secret is masked wherever its bytes are cut", () => {
  const text = "login --token=s3cr3t-token ok\n";
  for (let cut = 0; cut <= text.length; cut++)
    assert.equal(redact(["s3cr3t-token\n"], [text.slice(0, cut), text.slice(cut)]), "login --token=*** ok\n");
});

test("each line of a longer secret is masked by itself, a short one only with the others", () => {
  const key = "-----BEGIN KEY-----\nAAAABBBBCCCC\n}\n-----END KEY-----\n";
  assert.equal(redact([key], ["x AAAABBBBCCCC } y\n"]), "x *** } y\n");
  assert.equal(redact([key], [key]), "***\n");
});

test("values too short to be told from anything else stay", () => {
  assert.equal(createRedactor([Buffer.from("1\n"), Buffer.from("")]), undefined);
});

test("law: what comes out has no secret in it, and is the same without secrets in the input", () => {
  const piece = fc.string({ unit: fc.constantFrom("a", "b", "c", "*"), maxLength: 6 });
  const secret = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 4, maxLength: 6 });
  fc.assert(
    fc.property(fc.array(secret, { maxLength: 3 }), fc.array(piece, { maxLength: 12 }), (secrets, chunks) => {
      const out = redact(secrets, chunks);
      for (const each of secrets) assert.ok(!out.includes(each));
      const text = chunks.join("");
      if (!secrets.some(each => text.includes(each))) assert.equal(out, text);
    }),
  );
});
