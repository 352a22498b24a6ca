// Goal: a case's output names the lines a BuildKit client is told of, while people are shown the true ones.
import assert from "node:assert/strict";
import { test } from "node:test";
import { positionAt } from "../../src/diagnostic/source.ts";
import { BakeError } from "../../src/diagnostic/error.ts";
import { lowerCase } from "../../src/frontend/case.ts";
import { lowerText } from "./host.ts";

const long = `RUN echo ${"x".repeat(70_000)}`;
const image = { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [] } } as const;
const images = {
  "docker.io/library/alpine:latest": { digest: `sha256:${"0".repeat(64)}`, config: image },
};

/** What is wrong, the file, the true line, and the lines reported: a list a place. */
const rows = [
  ["a repeated directive", "# escape=`\n# escape=`\nFROM alpine\n", 2, [[1]]],
  ["a line that is too long", `FROM alpine\n\n${long}\n`, 3, [[2]]],
  ["a check directive", "# check=foo=bar\nFROM alpine\n", 1, []],
  ["a variable in --from", "FROM alpine AS b\nFROM alpine\nCOPY --from=$S a b\n", 3, []],
  ["an index out of range", "FROM alpine\nCOPY --from=7 a b\n", 2, []],
  ["an image that only a mount names", "FROM alpine\nRUN --mount=from=nil.x/y,target=/x true\n", 2, [[]]],
  ["an image that only COPY names", "FROM alpine\nCOPY --from=nil.x/y a b\n", 2, [[2]]],
  ["a platform", "FROM alpine\nFROM --platform=a/b/c/d/e alpine\n", 2, [[2], [2]]],
  ["an unknown instruction", "FROM alpine\n\nCPY a b\n", 3, [[3]]],
] as const;

for (const [what, dockerfile, line, reported] of rows) {
  test(`lines reported for ${what}`, async () => {
    const result = await lowerCase({ dockerfile, images });
    assert.ok("error" in result);
    assert.deepEqual(
      result.error.sources.map(({ ranges }) => ranges),
      reported.map(lines => lines.map(number => [number, number])),
    );
    await assert.rejects(lowerText(dockerfile), (thrown: unknown) => {
      assert.ok(thrown instanceof BakeError);
      const range = thrown.diagnostics[0]?.range;
      assert.ok(range !== undefined);
      assert.equal(positionAt(range.source, range.start).line, line);
      return true;
    });
  });
}
