// Words of a command line that are URLs, and the secrets that go with a host.
import assert from "node:assert/strict";
import { test } from "node:test";
import { bakeArguments, definitionSecrets } from "../../src/cli/remotearguments.ts";
import { BakeError } from "../../src/diagnostic/error.ts";

test("the first URL is the definition, the second one the command's context", () => {
  const [a, b] = ["https://example.com/a.git", "git@example.com:b.git"];
  assert.deepEqual(bakeArguments(["app"]), { url: undefined, commandContext: "cwd://", targets: ["app"] });
  assert.deepEqual(bakeArguments([a]), { url: a, commandContext: "cwd://", targets: [] });
  assert.deepEqual(bakeArguments([a, "app"]), { url: a, commandContext: "cwd://", targets: ["app"] });
  assert.deepEqual(bakeArguments([a, b, "app"]), { url: a, commandContext: b, targets: ["app"] });
});

test("a URL behind a target is an error", () => {
  assert.throws(
    () => bakeArguments(["app", "https://example.com/a.git"]),
    (error: unknown) => error instanceof BakeError && error.code === "usage",
  );
});

test("the token of a definition is for contexts on its host alone", () => {
  const env = { BUILDX_BAKE_GIT_AUTH_TOKEN: "x" };
  const secrets = (context: string): readonly string[] =>
    definitionSecrets("https://user@example.com:8443/a.git#v1", context, env).map(({ id }) => id);
  assert.deepEqual(secrets("https://example.com:8443/other.git"), ["GIT_AUTH_TOKEN.example.com:8443"]);
  assert.deepEqual(secrets("https://example.com/other.git"), []);
  assert.deepEqual(secrets("https://example.org/?x=example.com:8443"), []);
  assert.deepEqual(secrets("https://example.com:8443@example.org/x.git"), []);
});
