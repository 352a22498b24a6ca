import assert from "node:assert/strict";
import { test } from "node:test";
import { contentLabel, inputLabel, storedPart } from "../../src/solver/cachekey.ts";
import { explainParts } from "../../src/solver/explain.ts";
import type { KeyPart } from "../../src/solver/op.ts";

/** A row: parts stored before, parts now, the reason. Parts are [label, value, shown]. */
type Row = readonly [string, readonly Parts[] | undefined, readonly Parts[], string];
type Parts = readonly [label: string, value: string, shown?: string];

const rows: readonly Row[] = [
  ["nothing stored", undefined, [["command", "make"]], "it was not built before"],
  [
    "a shown part",
    [["command", "1", "make"]],
    [["command", "2", "make all"]],
    'command changed from "make" to "make all"',
  ],
  ["a part not shown", [["env TOKEN", "1"]], [["env TOKEN", "2"]], "env TOKEN changed"],
  ["parts that look the same", [["command", "1", "make"]], [["command", "2", "make"]], "command changed"],
  [
    "a quality that only unusual things have told, then changed, then usual again",
    [
      ["file a", "1"],
      ['mode of file "b"', "2", "755"],
      ["mode of c", "3", "600"],
    ],
    [
      ["file a", "1"],
      ["mode of a", "2", "700"],
      ['mode of file "b"', "4", "711"],
    ],
    'mode of a changed to "700", mode of file "b" changed from "755" to "711", mode of c changed',
  ],
  [
    "a quality of what is new or gone says nothing",
    [
      ["file a", "1"],
      ["mode of file a", "1", "755"],
    ],
    [
      ["file b", "1"],
      ["mode of file b", "1", "755"],
    ],
    "file b added, file a removed",
  ],
  ["a new part and one that went", [["env A", "1"]], [["env B", "1"]], "env B added, env A removed"],
  ["an input", [[inputLabel(1), "1"]], [[inputLabel(1), "2"]], 'input "COPY . ." changed'],
  [
    "files say more than their digest",
    [
      [contentLabel(1), "1"],
      ["file a", "1"],
    ],
    [
      [contentLabel(1), "2"],
      ["file a", "2"],
    ],
    "file a changed",
  ],
  ["a step of a Dockerfile", [[inputLabel(2), "1"]], [[inputLabel(2), "2"]], "[build 2/4] changed"],
  [
    "another order",
    [
      ['variable "A"', "1"],
      ['variable "B"', "2"],
      [inputLabel(0), "1"],
    ],
    [
      ['variable "B"', "2"],
      ['variable "A"', "1"],
      [inputLabel(0), "1"],
    ],
    "the order of its variables changed",
  ],
  ["content without pieces", [[contentLabel(0), "1"]], [[contentLabel(0), "2"]], 'input "FROM base" changed'],
  [
    "what was forgotten",
    [],
    [1, 2, 3, 4, 5].map(i => [`file ${i}`, "1"] as const),
    "its result is no longer in the cache",
  ],
  [
    "many changes",
    [["x", "1"]],
    [["x", "1"], ...[1, 2, 3, 4, 5].map(i => [`file ${i}`, "1"] as const)],
    "file 1 added, file 2 added, file 3 added and 2 more",
  ],
  [
    "files of the same fate",
    [
      ['file "a"', "1"],
      ['file "b"', "1"],
      ['file "gone"', "1"],
    ],
    [
      ['file "a"', "2"],
      ['file "b"', "2"],
      ['file "new"', "1"],
    ],
    'files "a", "b" changed, file "new" added and 1 more',
  ],
  [
    "another base image",
    [["base image", "1", `alpine@sha256:${"a".repeat(64)}`]],
    [["base image", "2", `alpine@sha256:${"b".repeat(64)}`]],
    'base image changed from "alpine@sha256:aaaaaaaaaaaa" to "alpine@sha256:bbbbbbbbbbbb"',
  ],
  [
    "commands over several lines",
    [["command", "1", "make\n  all"]],
    [["command", "2", "make"]],
    'command changed from "make all" to "make"',
  ],
  [
    "long values that differ only where they are cut",
    [["command", "1", `${"x".repeat(60)}1${"x".repeat(60)}`]],
    [["command", "2", `${"x".repeat(60)}2${"x".repeat(60)}`]],
    "command changed",
  ],
  ["nothing changed", [["command", "1"]], [["command", "1"]], "its result is no longer in the cache"],
  [
    "one of several with the same label",
    [
      ["file", "1"],
      ["file", "2"],
    ],
    [
      ["file", "2"],
      ["file", "3"],
    ],
    "file changed",
  ],
  [
    "the salt of a forced run is left out",
    [
      ["command", "1"],
      ["forced run", "n"],
    ],
    [["command", "2"]],
    "command changed",
  ],
];

for (const [name, before, now, reason] of rows) {
  test(`the reason of a rebuild: ${name}`, () => {
    assert.equal(
      explainParts(
        before?.map(part => storedPart(partOf(part))),
        now.map(partOf),
        ["FROM base", "COPY . .", "[build 2/4] RUN make"],
      ),
      reason,
    );
  });
}

function partOf([label, value, shown]: Parts): KeyPart {
  return { label, value, ...(shown !== undefined && { shown }) };
}
