// Owners that cannot be given are noted, and travel with the files. In a process of its own in a user namespace, since
// what a process may do is found out once.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { findOrdinaryUser, namespaceProblem } from "../rig/user.ts";

const script = fileURLToPath(new URL("ownernotes.ts", import.meta.url));
const user = findOrdinaryUser();

/** What the script prints as root of a namespace with the ids that an argument of unshare(1) maps. */
function ownersIn(...mapping: readonly string[]): unknown {
  const words = ["--user", "--map-root-user", ...mapping, process.execPath, "--import", "tsx", script];
  const asUser =
    typeof user !== "string" && process.geteuid?.() === 0 ? { uid: user.uid, gid: user.gid } : {};
  const { status, stdout, stderr } = spawnSync("unshare", words, { encoding: "utf8", ...asUser });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

const everywhere = {
  root: "0:0",
  app: "1000:33",
  far: "3000000:33",
  readonly: "5:6",
  reset: "0:0",
  again: "7:8",
  copied: "3000000:33",
  given: "12:34",
};

test(
  "with one id every owner but root is noted",
  { skip: typeof user === "string" ? user : (namespaceProblem(user) ?? false) },
  () => {
    assert.deepEqual(ownersIn(), { ...everywhere, link: "0:0" });
  },
);

const skip =
  typeof user === "string" ? user : user.hasRanges ? false : `no ids are set aside for "${user.name}"`;
test("with ranges of ids only owners outside of them are noted", { skip }, () => {
  assert.deepEqual(ownersIn("--map-auto"), { ...everywhere, link: "0:0" });
});
