// Enters a user namespace and tells what it is then: run by namespace.test.ts.
import { readFileSync, writeSync } from "node:fs";
import { replaceProcess } from "../../src/system/namespace.ts";

const report = (facts: object): void => void writeSync(1, `${JSON.stringify(facts)}\n`);
if (process.env["ENTERED"] === "") {
  process.env["ENTERED"] = "yes";
  report({ pid: process.pid });
  await replaceProcess({ kind: "single" }, [process.execPath, ...process.execArgv, ...process.argv.slice(1)]);
}
const words = process.argv.slice(2);
report({ pid: process.pid, uid: process.geteuid?.(), words, input: readFileSync(0, "utf8") });
process.exitCode = 7;
