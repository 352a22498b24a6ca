import assert from "node:assert/strict";
import { test } from "node:test";
import { isInitialNamespace, isMappedId, isPrivileged, parseIdMap } from "../../src/system/privilege.ts";

test("a map of ids is read as the kernel writes it", () => {
  assert.deepEqual(parseIdMap("         0       1001          1\n         1     100000      65536\n"), [
    { inside: 0, outside: 1001, count: 1 },
    { inside: 1, outside: 100000, count: 65536 },
  ]);
  assert.deepEqual(parseIdMap("\nnonsense\n0 0\n"), []);
});

test(
  "outside of user namespaces every id means something",
  { skip: !isInitialNamespace() && "in a namespace" },
  () => {
    assert.equal(isMappedId("uid", 0), true);
    assert.equal(isMappedId("gid", 4_000_000_000), true);
  },
);

test("whoever is not root is not privileged", { skip: process.geteuid?.() === 0 && "root" }, () => {
  assert.equal(isPrivileged(), false);
});
