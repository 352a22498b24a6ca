// bcrypt against known hashes (those of the crypt_blowfish and jBCrypt test suites).
import assert from "node:assert/strict";
import { test } from "node:test";
import { bcryptHash } from "../../../../src/bakefile/hcl/functions/bcrypt.ts";
import { BakeError } from "../../../../src/diagnostic/error.ts";
import { bake, problems } from "../../fixture.ts";

const ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

function saltOf(hash: string): Uint8Array {
  const bits = [...hash.slice(7, 29)]
    .map(letter => ALPHABET.indexOf(letter).toString(2).padStart(6, "0"))
    .join("");
  return Uint8Array.from({ length: 16 }, (_, i) => parseInt(bits.slice(i * 8, i * 8 + 8), 2));
}

const known: Readonly<Record<string, string>> = {
  "U*U": "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
  "U*U*": "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK",
  abc: "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i",
};

for (const [password, hash] of Object.entries(known)) {
  test(`the hash of ${JSON.stringify(password)}`, () => {
    const cost = Number(hash.slice(4, 6));
    assert.equal(
      bcryptHash(password, cost, saltOf(hash), () => undefined),
      hash,
    );
  });
}

test("wrong costs, long passwords and hashes that take too long are refused", () => {
  const salt = new Uint8Array(16);
  for (const cost of [3, 32]) assert.throws(() => bcryptHash("a", cost, salt, () => undefined), BakeError);
  assert.throws(() => bcryptHash("é".repeat(37), 4, salt, () => undefined), /longer than 72 bytes/);
  assert.match(problems('target "default" { args = { A = bcrypt("a", 31) } }'), /too much work/);
});

test("the function takes a cost of 10 unless told otherwise", () => {
  const { target } = bake('target "default" { args = { A = bcrypt("a"), B = bcrypt("a", 4) } }');
  const args = target["default"]?.["args"] as Record<string, string>;
  assert.match(args["A"] ?? "", /^\$2a\$10\$.{53}$/);
  assert.match(args["B"] ?? "", /^\$2a\$04\$.{53}$/);
});
