// Goal: no Dockerfile, however broken, gives anything but an image or a BakeError that points into the file.
// Method: valid files, mutated by cutting, repeating, swapping and inserting pieces that mean something.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { BakeError } from "../../../src/diagnostic/error.ts";
import { timeLimit } from "../../rig/timelimit.ts";
import { lowerText } from "../host.ts";

const root = join(import.meta.dirname, "../../golden/dockerfile");
const seeds = readdirSync(root).map(name => readFileSync(join(root, name, "Dockerfile"), "utf8"));

const piece = fc.constantFrom(
  ..."\\|`|\"|'|$|${|}|${a:-|<<EOF|<<-'E'|\n|\r\n|\\\n|#|# escape=`\n|# check=error=true\n|--|--from=|--mount=|=|,|[|]|[\"a\",|:|/|..|\0|\ufeff|é|😀|\ud800|\u00a0|\u2028|ONBUILD |FROM |FROM scratch\n|COPY --from=0 a b\n|RUN |ARG x=${x\n|HEALTHCHECK |EXPOSE 9-1|ADD git@h:x y|*|?|scratch|alpine AS |-1|99999999999".split(
    "|",
  ),
);

const mutation = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  remove: fc.integer({ min: 0, max: 12 }),
  insert: fc.array(piece, { maxLength: 3 }).map(pieces => pieces.join("")),
});

const mutated = fc
  .tuple(fc.constantFrom(...seeds), fc.array(mutation, { minLength: 1, maxLength: 6 }))
  .map(([seed, mutations]) =>
    mutations.reduce((text, { at, remove, insert }) => {
      const start = Math.floor(at * text.length);
      return text.slice(0, start) + insert + text.slice(start + remove);
    }, seed),
  );

test("mutated Dockerfiles give an image or an error with a range within the file", async () => {
  let [runs, failed] = [0, 0];
  const isOver = timeLimit(3000);
  await fc.assert(
    fc.asyncProperty(mutated, async text => {
      if (isOver()) return;
      runs++;
      try {
        await lowerText(text);
      } catch (thrown) {
        assert.ok(thrown instanceof BakeError, `not a BakeError: ${String(thrown)}`);
        assert.notEqual(thrown.code, "internal", thrown.message);
        failed++;
        for (const { range, message } of thrown.diagnostics) {
          if (thrown.code === "dockerfile-lint" && range === undefined) continue;
          assert.ok(range !== undefined, `no range: ${message}`);
          assert.ok(
            range.start >= 0 && range.start <= range.end && range.end <= range.source.text.length,
            `bad range: ${message}`,
          );
        }
      }
    }),
    { numRuns: 2500 },
  );
  // The number of runs depends on the time they take; a few tell nothing.
  assert.ok(runs < 100 || failed * 20 > runs, "the mutations are too tame");
});
