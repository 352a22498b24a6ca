// Goal: questions about a Dockerfile are answered as BuildKit answers them, in data, JSON and text. Fake: FrontendHost.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BakeError } from "../../../src/diagnostic/error.ts";
import {
  answerJson,
  answerStatus,
  type CallAnswer,
  type CallMethod,
  callMethods,
  type LintAnswer,
} from "../../../src/frontend/answer.ts";
import { answerText } from "../../../src/frontend/answertext.ts";
import { loadFrontend } from "../../../src/frontend/frontends.ts";
import { amd64, createHost } from "../host.ts";

async function call(
  method: CallMethod,
  dockerfile: string,
  options: Readonly<Record<string, string>> = {},
  files: Readonly<Record<string, string>> = {},
): Promise<CallAnswer> {
  const { call: ask } = await loadFrontend("dockerfile.v0");
  assert.ok(ask);
  const host = createHost({ files: { "dockerfile/Dockerfile": dockerfile, ...files } });
  const request = { options, inputs: {}, sessionId: "session", buildPlatform: amd64 };
  return ask(request, host, new AbortController().signal, method);
}

async function lint(...given: Parameters<typeof call> extends [unknown, ...infer Rest] ? Rest : never) {
  const answer = await call("lint", ...given);
  assert.equal(answer.method, "lint");
  return answer;
}

const rules = ({ warnings }: LintAnswer): readonly string[] =>
  warnings.map(({ rule, place }) => `${rule}:${place.ranges[0]?.[0] ?? 0}`);

const TWO_STAGES = "FROM alpine AS unused\nCMD echo\nFROM alpine AS used\nENTRYPOINT echo\n";

test("a check looks at every stage, or at those a target needs", async () => {
  assert.deepEqual(rules(await lint(TWO_STAGES)), ["JSONArgsRecommended:2", "JSONArgsRecommended:4"]);
  assert.deepEqual(rules(await lint(TWO_STAGES, { target: "used" })), ["JSONArgsRecommended:4"]);
});

test("a check that cannot go on says why and keeps what it found before", async () => {
  const answer = await lint("FROM alpine\nENV A=$B\nFROM nowhere/at-all\n");
  assert.match(answer.failure?.message ?? "", /nowhere\/at-all/);
  assert.deepEqual(answer.failure?.place.ranges, [[3, 3]]);
  assert.equal(answerStatus(answer), 1);
  const broken = await lint("FROM alpine\nMAINTAINER me\nCOPPY \\\n a b\n");
  assert.deepEqual(rules(broken), ["MaintainerDeprecated:2"]);
  assert.deepEqual(broken.failure?.place.ranges, [
    [3, 3],
    [4, 4],
  ]);
  assert.equal(broken.failure.hint, 'did you mean "COPY"?');
});

test("variables missed before an expansion fails are told too", async () => {
  for (const word of ["${B:=x}", "${B:?}", "$B${C:#x}"])
    assert.deepEqual(rules(await lint(`FROM alpine\nENV A=${word}\n`)), ["UndefinedVar:2"]);
});

test("the questions are listed, each of which is answered", async () => {
  const answer = await call("subrequests.describe", TWO_STAGES);
  assert.equal(answer.method, "subrequests.describe");
  assert.deepEqual(
    answer.requests.map(({ name }) => name),
    callMethods,
  );
  assert.match(answerText(answer).text, /^NAME +VERSION +DESCRIPTION\nlint /);
});

test("capabilities asked for are those of the question, not of the build", async () => {
  const { failure } = await lint(TWO_STAGES, { "frontend.caps": "moby.buildkit.frontend.future" });
  assert.equal(failure, undefined);
});

test("skipped rules say nothing, and error=true makes a failure of warnings", async () => {
  assert.deepEqual(await lint(`# check=skip=JSONArgsRecommended\n${TWO_STAGES}`).then(answerStatus), 0);
  const strict = await lint(`# check=error=true\n${TWO_STAGES}`);
  assert.match(strict.failure?.message ?? "", /JSONArgsRecommended/);
});

test("a copy of an ignored file names the line that hides it", async () => {
  const { warnings } = await lint(
    "FROM scratch\nCOPY a.txt /\n",
    {},
    { "context/.dockerignore": "# x\n*.txt\n" },
  );
  assert.deepEqual(
    warnings.map(({ rule, hint }) => [rule, hint]),
    [["CopyIgnoredFile", 'excluded by the pattern "*.txt" in .dockerignore:2']],
  );
});

test("checks print as buildx prints them", async () => {
  const answer = await lint("FROM alpine\nCMD echo\n");
  assert.deepEqual(answerText(answer, { filename: "docker/Dockerfile" }), {
    text: `Check complete, 1 warning has been found!

WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
docker/Dockerfile:2
--------------------
   1 |     FROM alpine
   2 | >>> CMD echo
   3 |     
--------------------
`,
  });
  assert.equal(answerText(await lint("FROM alpine\n")).text, "Check complete, no warnings found.\n");
  assert.equal(answerText(await lint("FROM\n")).text, "");
});

test("the JSON of a check has BuildKit's members in its order", async () => {
  const data = Buffer.from("FROM alpine\n").toString("base64");
  assert.equal(
    answerJson(await lint("FROM alpine\n")),
    `{
  "warnings": null,
  "sources": [
    {
      "filename": "Dockerfile",
      "data": "${data}",
      "language": "Dockerfile"
    }
  ]
}`,
  );
  const { warnings } = JSON.parse(answerJson(await lint("FROM alpine\nCMD echo\n"))) as {
    readonly warnings: readonly unknown[];
  };
  assert.deepEqual(warnings, [
    {
      ruleName: "JSONArgsRecommended",
      description:
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
      url: "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/",
      detail: "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
      location: { ranges: [{ start: { line: 2 }, end: { line: 2 } }] },
    },
  ]);
});

test("an outline has the arguments in use, with those their defaults are made of, and what RUN asks for", async () => {
  const answer = await call(
    "outline",
    `# BASE what it is made of
ARG BASE=alpine
ARG IMAGE=$BASE
ARG IDLE=1
FROM $IMAGE AS base
ARG INNER=x
FROM base AS app
RUN --mount=type=secret,id=key,required --mount=type=ssh true
FROM scratch
`,
    { target: "app", "build-arg:INNER": "given" },
  );
  assert.equal(
    answerText(answer).text,
    `TARGET: app

BUILD ARG   VALUE    DESCRIPTION
BASE        alpine   what it is made of
IMAGE       alpine   
INNER       given    

SECRET   REQUIRED
key      true

SSH       REQUIRED
default   

`,
  );
});

test("targets are the stages, described by the comments above them", async () => {
  const answer = await call("targets", "# base the ground\nFROM alpine AS base\nFROM base\n");
  assert.equal(answerText(answer).text, "TARGET    DESCRIPTION\nbase      the ground\n(default) \n");
  const { targets } = JSON.parse(answerJson(answer)) as { readonly targets: readonly unknown[] };
  assert.deepEqual(targets[1], {
    default: true,
    base: "base",
    location: { ranges: [{ start: { line: 3 }, end: { line: 3 } }] },
  });
});

test("only checks answer for a file that does not parse", async () => {
  for (const method of ["outline", "targets"] as const)
    await assert.rejects(call(method, "FRMO alpine\n"), BakeError);
});
