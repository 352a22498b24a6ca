// Goal: the text of a Dockerfile falls into the right instructions, with ranges that point at what was written.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDockerfile, type InstructionLine } from "../../../src/frontend/dockerfile/parse.ts";
import { parseOptions } from "../../../src/frontend/dockerfile/stage.ts";
import { detectSyntax } from "../../../src/frontend/dockerfile/directive.ts";

function lines(text: string): readonly InstructionLine[] {
  const { value, diagnostics } = parseDockerfile({ name: "Dockerfile", text }, parseOptions);
  assert.deepEqual(diagnostics, []);
  return value?.lines ?? [];
}

function problems(text: string): readonly string[] {
  return parseDockerfile({ name: "Dockerfile", text }, parseOptions).diagnostics.map(
    ({ message }) => message,
  );
}

test("continuation lines join, comments and blank lines between them vanish", () => {
  const [run, next] = lines("RUN a \\\n  # comment\n\n  b \\  \n c\nUSER x\n");
  assert.equal(run?.rest, "a   b  c");
  assert.deepEqual(
    [run, next].flatMap(line => [line?.startLine, line?.endLine]),
    [1, 5, 6, 6],
  );
  const text = "RUN a \\\n\n b\n";
  assert.deepEqual(parseDockerfile({ name: "f", text }, parseOptions).value?.emptyContinuations, [3]);
});

test("two escape characters at the end of a line continue nothing", () => {
  assert.equal(lines("RUN a \\\\\nUSER b").length, 2);
});

test("the escape directive changes the continuation mark", () => {
  assert.equal(lines("# escape=`\nRUN a `\n b\\\nUSER x")[0]?.rest, "a  b\\");
});

test("a directive after any other comment is a comment", () => {
  assert.equal(lines("# hello\n# escape=`\nRUN a \\\n b")[0]?.rest, "a  b");
});

test("flags end at the first word without dashes or at --", () => {
  const [a, b] = lines(`COPY --chown="x y" --link -- --from a b\nRUN echo --no-flag`);
  const flags = [a, b].map(line => line?.flags.map(({ text }) => text));
  assert.deepEqual(flags, [["--chown=x y", "--link"], []]);
  assert.deepEqual(
    [a, b].map(line => line?.rest),
    ["--from a b", "echo --no-flag"],
  );
});

test("ranges point at what was written, across continuation lines too", () => {
  const text = "  RUN \\\n --mount=x \\\n cmd";
  const [line] = parseDockerfile({ name: "f", text }, parseOptions).value?.lines ?? [];
  const [flag] = line?.flags ?? [];
  assert.equal(text.slice(flag?.range.start, flag?.range.end), "--mount=x");
  assert.equal(text.slice(line?.wordRange.start, line?.wordRange.end), "RUN");
});

test("heredocs belong to RUN, COPY and ADD, in shell form only", () => {
  const [run, copy, env] = lines('RUN <<A <<-"B"\na\nA\n\tb\n\tB\nCOPY ["<<C", "d"]\nENV X=<<EOF\n');
  assert.deepEqual(run?.heredocs, [
    { name: "A", expand: true, chomp: false, body: "a\n" },
    { name: "B", expand: false, chomp: true, body: "\tb\n" },
  ]);
  assert.deepEqual([copy?.heredocs, env?.heredocs], [[], []]);
  assert.equal(lines("ONBUILD RUN <<A\nx\nA\n")[0]?.heredocs[0]?.body, "x\n");
});

test("CRLF line ends and a byte order mark are not part of instructions", () => {
  const [from, run] = lines("\ufeffFROM a\r\nRUN x \\\r\n y\r\n");
  assert.deepEqual([from?.rest, run?.rest], ["a", "x  y"]);
});

test("problems of the text are all reported", () => {
  assert.deepEqual(problems("# escape=x\nFROM a\n"), ['invalid escape character "x"']);
  assert.deepEqual(problems("# escape=`\n# escape=`\nFROM a\n"), ['directive "escape" is given twice']);
  assert.deepEqual(problems("RUN <<EOF\nx"), ['heredoc "EOF" has no end']);
  assert.deepEqual(problems(`RUN ${"x".repeat(70000)}`), ["line 1 is longer than 65535 bytes"]);
  assert.deepEqual(problems(" \n"), ["the Dockerfile has no instructions"]);
});

test("the syntax directive is found in any of its three forms", () => {
  const expected = { image: "a/b:1", commandLine: "a/b:1 --x", line: 1 };
  assert.deepEqual(detectSyntax("# syntax=a/b:1 --x\nFROM x"), expected);
  assert.deepEqual(detectSyntax("//syntax = a/b:1 --x\n"), expected);
  assert.deepEqual(detectSyntax("#!/usr/bin/env x\n# syntax=a/b:1 --x\n"), { ...expected, line: 2 });
  assert.deepEqual(detectSyntax('{"syntax":"a/b:1"}'), { image: "a/b:1", commandLine: "a/b:1", line: 0 });
  assert.equal(detectSyntax("FROM x\n# syntax=a/b"), undefined);
});
