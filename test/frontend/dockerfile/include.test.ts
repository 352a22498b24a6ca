// Goal: included instructions build as if they stood in the Dockerfile, and point at the file they are in.
// Fake: FrontendHost.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BakeError } from "../../../src/diagnostic/error.ts";
import { positionAt } from "../../../src/diagnostic/source.ts";
import { includedPaths } from "../../../src/frontend/dockerfile/include.ts";
import { lower, lowerText } from "../host.ts";

type Files = Readonly<Record<string, string>>;

async function problem(files: Files): Promise<BakeError> {
  const thrown = await lower({ files }).then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(thrown instanceof BakeError, "no BakeError was thrown");
  return thrown;
}

function where(error: BakeError): string {
  const range = error.diagnostics[0]?.range;
  return range === undefined ? "" : `${range.source.name}:${positionAt(range.source, range.start).line}`;
}

test("an included file builds as if it stood there", async () => {
  const plain = await lowerText("FROM alpine AS a\nENV X=1\nRUN one\nRUN two\nFROM a\nCOPY f /\n");
  const included = await lower({
    files: {
      "dockerfile/Dockerfile": "FROM alpine AS a\n# include=parts/common\nRUN two\n# include=last\n",
      "dockerfile/parts/common": "ENV X=1\n#include = more\n",
      "dockerfile/parts/more": "RUN one\n",
      "context/last": "FROM a\nCOPY f /\n",
    },
  });
  assert.deepEqual(included.images[0]?.definition.def, plain.images[0]?.definition.def);
});

test("LLB locations of included instructions are lines of their own file", async () => {
  const { images } = await lower({
    files: {
      "dockerfile/Dockerfile": "FROM alpine\n# include=x\nRUN b\n",
      "dockerfile/x": "\n\nRUN a\n",
    },
  });
  const places = [...(images[0]?.definition.locations.values() ?? [])].map(
    ({ source, ranges }) => `${source.filename}:${ranges[0]?.startLine ?? 0}`,
  );
  assert.deepEqual(places.sort(), ["Dockerfile:1", "Dockerfile:3", "x:3"]);
});

test("a Dockerfile may consist of includes", async () => {
  const { images } = await lower({
    files: {
      "dockerfile/Dockerfile": "# include=a\n# include=b\n",
      "dockerfile/a": "",
      "dockerfile/b": "FROM scratch\n",
    },
  });
  assert.equal(images.length, 1);
  const error = await problem({ "dockerfile/Dockerfile": "# include=a\n", "dockerfile/a": "# nothing\n" });
  assert.match(error.message, /no instructions/);
});

test("what only looks like an include is a comment or text", async () => {
  const text = `FROM alpine
RUN one && \\
# include=missing
  two
RUN <<EOF
# include=missing
EOF
# we include = nothing
# include=two words
`;
  assert.equal((await lowerText(text)).images.length, 1);
});

test("a missing include is an error at its line", async () => {
  const error = await problem({
    "dockerfile/Dockerfile": "# include=x\n",
    "dockerfile/x": "FROM scratch\n# include=nope\n",
  });
  assert.deepEqual([error.code, where(error)], ["file-missing", "x:2"]);
});

test("includes in a circle are an error that shows the circle", async () => {
  const error = await problem({
    "dockerfile/Dockerfile": "FROM scratch\n# include=x\n",
    "dockerfile/x": "# include=sub/y\n",
    "dockerfile/sub/y": "LABEL a=b\n# include=../x\n",
  });
  assert.match(error.message, /"\.\.\/x" includes itself/);
  assert.equal(where(error), "sub/y:2");
  assert.deepEqual(
    error.diagnostics[0]?.related?.map(({ range }) => range.source.name),
    ["x"],
  );
  const own = await problem({ "dockerfile/Dockerfile": "FROM scratch\n# include=Dockerfile\n" });
  assert.match(own.message, /includes itself/);
});

test("files that double each other end at a limit", async () => {
  const files: Record<string, string> = { "dockerfile/Dockerfile": "FROM scratch\n# include=f0\n" };
  for (let i = 0; i < 20; i++) files[`dockerfile/f${i}`] = `# include=f${i + 1}\n# include=f${i + 1}\n`;
  files["dockerfile/f20"] = "LABEL a=b\n";
  assert.match((await problem(files)).message, /more than 500 includes/);
});

test("problems of an included file are reported in it", async () => {
  const error = await problem({
    "dockerfile/Dockerfile": "FROM scratch\n# include=x\n",
    "dockerfile/x": "LABEL a=b\nCOPPY a b\n",
  });
  assert.equal(where(error), "x:2");
});

test("an included file has the escape character of what includes it", async () => {
  const main = "# escape=`\nFROM alpine\n# include=x\n";
  const joined = await lower({ files: { "dockerfile/Dockerfile": main, "dockerfile/x": "RUN a `\n b\n" } });
  const plain = await lowerText("# escape=`\nFROM alpine\nRUN a `\n b\n");
  assert.deepEqual(joined.images[0]?.definition.def, plain.images[0]?.definition.def);
  const error = await problem({ "dockerfile/Dockerfile": main, "dockerfile/x": "# escape=\\\nRUN a\n" });
  assert.equal(where(error), "x:1");
});

test("a watcher learns of every include line", () => {
  assert.deepEqual(includedPaths("# include=a\r\nFROM b\n#include = c/d\n# include=e f\n"), ["a", "c/d"]);
  assert.deepEqual(includedPaths("FROM scratch\n"), []);
});

test("warnings point into the included file", async () => {
  const { warnings } = await lower({
    files: { "dockerfile/Dockerfile": "FROM alpine\n# include=x\n", "dockerfile/x": "\nENV A=$B\n" },
  });
  assert.deepEqual(
    warnings.map(({ range }) => range?.source.name),
    ["x"],
  );
});
