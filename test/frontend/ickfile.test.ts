// Goal: an Ickfile gives what the same Dockerfile gives, and its author is answered in Ickfile words.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import { renderDiagnostics } from "../../src/diagnostic/render.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { lower, lowerText } from "./host.ts";

const dockerfile = `ARG BASE=alpine
FROM --platform=linux/arm64 $BASE AS work
COPY --chmod=755 a b /
RUN --network=none <<EOT
make
EOT
FROM scratch
COPY --from=work /out /
CMD ["/out"]
`;
const ickfile = dockerfile
  .replaceAll("FROM ", "COME FROM ")
  .replaceAll("COPY", "STASH")
  .replaceAll("RUN", "PLEASE");
const syntax = "# syntax=llbake/ickfile\n";

async function problems(text: string): Promise<readonly string[]> {
  const thrown = await lowerText(text).then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(thrown instanceof BakeError, "no BakeError was thrown");
  return renderDiagnostics(thrown.diagnostics).split("\n");
}

test("an Ickfile is lowered to the ops of the same Dockerfile", async () => {
  const [one] = (await lowerText(dockerfile)).images;
  const [other] = (await lowerText(syntax + ickfile)).images;
  assert.ok(one !== undefined && other !== undefined);
  assert.deepEqual(other.definition.def.map(digestOf), one.definition.def.map(digestOf));
  assert.deepEqual(other.config, one.config);
});

test("words may be in lower case, and COME_FROM is one word", async () => {
  const { images, warnings } = await lowerText(`${syntax}come_from scratch\nstash a /\n`);
  assert.deepEqual([images.length, warnings.length], [1, 0]);
});

test("the build arg asks for a frontend as the first line does", async () => {
  const options = { "build-arg:BUILDKIT_SYNTAX": "llbake/ickfile" };
  assert.equal((await lowerText(ickfile, { options })).images.length, 1);
  await assert.rejects(lowerText(ickfile), /unknown instruction "COME"/);
});

test("an unknown frontend is answered with those there are, at the line that asks", async () => {
  assert.deepEqual(await problems("# syntax=agbell/ick\nFROM scratch\n"), [
    'error: the frontend image "agbell/ick" cannot be run',
    "  Dockerfile:1:1",
    "   1 | # syntax=agbell/ick",
    "     | ^^^^^^^^^^^^^^^^^^^  available: docker/dockerfile, llbake/ickfile, llbake/mockerfile",
    "",
  ]);
  assert.match((await problems("# syntax=llbake/ikfile\n")).join("\n"), /did you mean "llbake\/ickfile"\?/);
});

test("problems are told in the words of the file", async () => {
  const text = `${syntax}COME FROM scratch\nRUN a\nPLEAS b\nPLEASE --network=x c\n`;
  const all = (await problems(text)).join("\n");
  assert.match(all, /Dockerfile:3:1[^]*an Ickfile says "PLEASE"/);
  assert.match(all, /Dockerfile:4:1[^]*did you mean "PLEASE"\?/);
  assert.match(
    (await problems(`${syntax}COME FROM scratch\nPLEASE --network=x c\n`)).join("\n"),
    /PLEASE has the unknown network "x"\n {2}Dockerfile:3:1/,
  );
});

test("an Ickfile answers calls", async () => {
  const { frontend } = await import("../../src/frontend/dockerfile/frontend.ts");
  const { createHost, amd64 } = await import("./host.ts");
  const host = createHost({ files: { "dockerfile/Dockerfile": syntax + ickfile } });
  const request = { options: {}, inputs: {}, sessionId: "s", buildPlatform: amd64 };
  const answer = await frontend.call?.(request, host, new AbortController().signal, "targets");
  assert.equal(answer?.method, "targets");
  assert.equal((await lower({ files: { "dockerfile/Dockerfile": syntax + ickfile } })).images.length, 1);
});
