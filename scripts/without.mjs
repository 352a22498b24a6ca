// The end-to-end tests of results with whatever makes builds fast switched off, one thing after the other: the same
// results are expected. `node scripts/without.mjs [NAME...]`, after `npm run build`. Tests that expect the cache itself
// are not among them; see docs/solver.md for the names and for the law that compares many more builds.
import { spawnSync } from "node:child_process";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const NAMES = ["merge", "content", "link", "ahead", "priority", "stats", "copies", "claims", "cache"];
/** Those of images expect that an unchanged image is not built again. */
const testsWithout = name =>
  (name === "cache" ? ["dockerfile"] : ["dockerfile", "images"]).map(test => `test/e2e/${test}.test.ts`);

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const names = process.argv.length > 2 ? process.argv.slice(2) : NAMES;
const failed = names.filter(name => {
  console.log(`without ${name}`);
  const args = ["--import", "tsx", "--test", "--test-reporter=dot", ...testsWithout(name)];
  const env = { ...process.env, LLBAKE_DISABLE: name };
  return spawnSync(process.execPath, args, { cwd: root, env, stdio: "inherit" }).status !== 0;
});
if (failed.length > 0) {
  console.error(`error: not the same without ${failed.join(", ")}`);
  process.exitCode = 1;
}
