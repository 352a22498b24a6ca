import assert from "node:assert/strict";
import { test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import { frontends, loadFrontend } from "../../src/frontend/frontends.ts";

test("every frontend of the table loads", async () => {
  for (const name of Object.keys(frontends))
    assert.equal(typeof (await loadFrontend(name)).lower, "function");
});

test("an unknown frontend is refused with the nearest name", async () => {
  for (const [name, hint] of [
    ["dockerfile.v1", 'did you mean "dockerfile.v0"?'],
    ["toString", "known: dockerfile.v0, llbake/ickfile, llbake/mockerfile"],
  ] as const) {
    await assert.rejects(loadFrontend(name), (error: unknown) => {
      assert.ok(error instanceof BakeError);
      assert.deepEqual([error.code, error.diagnostics[0]?.hint], ["frontend-unknown", hint]);
      return true;
    });
  }
});
