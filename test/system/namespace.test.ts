// A user namespace of one's own: whether it can be had is told by trying; a process that enters it stays the same one.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { tryNamespace } from "../../src/system/namespace.ts";

const problem = await tryNamespace({ kind: "single" });
const skip = problem === undefined ? false : `no user namespaces here: ${problem}`;

test("ids that are not one's own are refused, in the words of the system", { skip }, async () => {
  const foreign = [{ inside: 0, outside: 4_000_000_000, count: 1 }];
  const said = await tryNamespace({ kind: "ranges", uid: foreign, gid: foreign });
  assert.match(said ?? "", /newuidmap|not found/);
});

test(
  "the process is replaced by one of the same id that is root, with its streams and arguments",
  { skip },
  () => {
    const script = fileURLToPath(new URL("enter.ts", import.meta.url));
    const { status, stdout } = spawnSync(process.execPath, ["--import", "tsx", script, "a b", "*"], {
      encoding: "utf8",
      input: "on standard input",
      env: { ...process.env, ENTERED: "" },
    });
    assert.equal(status, 7);
    const [before, after] = stdout.trim().split("\n");
    const { pid } = JSON.parse(before ?? "") as { readonly pid: number };
    const expected = { pid, uid: 0, words: ["a b", "*"], input: "on standard input" };
    assert.deepEqual(JSON.parse(after ?? ""), expected);
  },
);
