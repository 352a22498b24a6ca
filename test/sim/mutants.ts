// How strong the simulation is: breaks the solver in one place after another and expects a few thousand seeds to notice.
// A tool for those who change the solver or the simulation: node --import tsx test/sim/mutants.ts [--seeds N] [NAME...]
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

/** Name, file below src/solver, what is found there exactly once, and what stands there instead. */
type Mutant = readonly [name: string, file: string, from: string, to: string];

const MUTANTS: readonly Mutant[] = [
  ["key without inputs", "cachekey.ts", "value: `${identity}#", "value: `#"],
  ["key without output", "cachekey.ts", "#${index} ", "# "],
  ["key without selector", "cachekey.ts", '${keying?.selector ?? ""}`', "`"],
  ["key without labels of contents", "cachekey.ts", "value: content.digest", 'value: ""'],
  [
    "content key without other inputs",
    "cachekey.ts",
    'else if (input.identity === "volatile") return undefined;\n    else parts',
    'else if (input.identity === "volatile") return undefined;\n    else if (parts.length > 9) parts',
  ],
  [
    "volatile inputs named by their word",
    "cachekey.ts",
    'for (const [i, input] of inputs.entries()) {\n    if (input.identity === "volatile") return undefined;',
    'for (const [i, input] of inputs.entries()) {\n    if (input.identity === "volatile") { parts.push({ label: "v", value: "" }); continue; }',
  ],
  ["forced key without salt", "cachekey.ts", "value: nonce }", 'value: "" }'],
  ["forced keeps its plain identity", "keying.ts", "facts.forced || keying.doubt", "keying.doubt"],
  ["doubt without salt", "keying.ts", "facts.forced || keying.doubt", "facts.forced"],
  [
    "an unreadable store is a plain miss",
    "hints.ts",
    "return { record: undefined, doubt: true }",
    "return { record: undefined }",
  ],
  ["forced leaves the content key", "edge.ts", "|| (facts.forced && readable.length > 0)", ""],
  [
    "forced leaves the plain names",
    "edge.ts",
    'type: "save", keys: [fresh], names: keys',
    'type: "save", keys: [fresh], names: []',
  ],
  ["no second look", "edge.ts", "if (moving.length > 0)", "if (moving.length > 99)"],
  [
    "the second look is always satisfied",
    "calls.ts",
    "now[at].digest === known?.[i]?.digest",
    "known !== now",
  ],
  ["an error in the second look is equality", "calls.ts", "return false;\n    }", "return true;\n    }"],
  [
    "what changed is saved all the same",
    "edge.ts",
    "if (!event.same)",
    "if (event.same && event.same !== true)",
  ],
  [
    "withdrawn definition stays",
    "keying.ts",
    "if (inputs.some((_, i) => withdrawn(i))) candidates[0] = undefined;",
    "",
  ],
  [
    "withdrawn content stays",
    "keying.ts",
    "if (inputs.some((_, i) => withdrawn(i) && contents?.[i] === undefined)) candidates[1] = undefined;",
    "",
  ],
  [
    "definition not made anew after reading",
    "keying.ts",
    "sameIdentities(before, inputs) ? asked",
    "before ? asked",
  ],
  [
    "results that need nested sources are kept",
    "edge.ts",
    "if (event.unkept === true)",
    "if (event.unkept !== event.unkept)",
  ],
  [
    "lost results are given as loaded",
    "edge.ts",
    "const lost = state.lost || event.result === undefined",
    "const lost = state.lost",
  ],
  [
    "held results are replaced",
    "edge.ts",
    "new Map([...event.outputs, ...run.loaded])",
    "new Map([...run.loaded, ...event.outputs])",
  ],
  [
    "given up forgets its results",
    "edge.ts",
    "identity: state.run.identity,\n        results: state.run.loaded",
    "identity: state.run.identity,\n        results: EMPTY",
  ],
  ["saved under the prospect, not the record", "edge.ts", "record?.id ?? run.identity", "run.identity"],
  [
    "late answers count",
    "driver.ts",
    "if (attempt !== node.attempt && !OUTLIVES_ABORT.has(event.type)) return;",
    "",
  ],
  ["executed in vain is lost", "driver.ts", '  "executed",\n  "found"', '  "found"'],
  ["merged without claim", "driver.ts", "if (node.claims > 0) claim(worker);", ""],
  ["claims are kept", "driver.ts", "for (const input of node.inputs) unclaim(input.node);", ""],
  ["claims are never made", "driver.ts", "for (const input of node.inputs) claim(input.node);", ""],
  [
    "aborted is not awaited",
    "driver.ts",
    "if (node.running > 0 && !unwinding.has(node)) unwinding.set(node, []);",
    "",
  ],
  ["running is aborted by the first to leave", "driver.ts", "if (at.claims > 0) return;\n", ""],
  ["given up goes on", "driver.ts", "node.voided = true;\n    node.abort?.abort();", "node.voided = true;"],
  ["nested calls wait for everything given up", "scheduler.ts", "if (owner === undefined) await", "await"],
  [
    "slots are given back too early",
    "pools.ts",
    "resolve(await work());",
    "void work().then(resolve, reject);",
  ],
  ["nothing ahead of time", "waiting.ts", "if (!prefetches ||", "if (prefetches ||"],
  [
    "results are released by whoever saved them",
    "calls.ts",
    "keep(result);\n        outputs",
    "keep(result); keep(result);\n        outputs",
  ],
  ["loaded results are not released", "calls.ts", "if (result !== undefined) keep(result);", ""],
  [
    "no link after a content hit",
    "edge.ts",
    'requests: [{ type: "link", key: keying.definition, record }]',
    "requests: NONE",
  ],
  [
    "the failed step executes again",
    "edge.ts",
    'state.tag === "complete"\n      ? stay(state)\n      : {',
    'state.tag === "complete"\n      ? stay(state)\n      : state.tag === "executing" ? { state: { tag: "gathering", run: state.run }, requests: [{ type: "gather" }] } : {',
  ],
];

const { values, positionals } = parseArgs({
  options: { seeds: { type: "string", default: "4000" }, jobs: { type: "string", default: "2" } },
  allowPositionals: true,
});
const root = join(import.meta.dirname, "../..");
const chosen = MUTANTS.filter(([name]) => positionals.length === 0 || positionals.includes(name));
const queue = chosen.entries();
const survivors: string[] = [];

async function work(): Promise<void> {
  for (const [number, [name, file, from, to]] of queue) {
    const folder = join(root, ".cache", `mutant-${process.pid}-${number}`);
    try {
      for (const part of ["diagnostic", "oci", "progress", "solver"])
        cpSync(join(root, "src", part), join(folder, "src", part), { recursive: true });
      for (const part of ["sim", "solver"])
        cpSync(join(root, "test", part), join(folder, "test", part), { recursive: true });
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
      const path = join(folder, "src/solver", file);
      const text = readFileSync(path, "utf8");
      if (text.split(from).length !== 2) throw new Error(`"${name}" is not found once in ${file}`);
      writeFileSync(
        path,
        text.replace(from, () => to),
      );
      const seeds = ["test/sim/run.ts", "--seeds", values.seeds];
      const verdict =
        (await simulate(folder, seeds)) ?? (await simulate(folder, ["test/sim/run.ts", "--small", "2"]));
      if (verdict === undefined) survivors.push(name);
      console.log(
        `${verdict === undefined ? "LIVES" : "dies "}  ${name}${verdict === undefined ? "" : `: ${verdict}`}`,
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

/** What was noticed, or undefined. */
function simulate(folder: string, script: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const args = ["--import", "tsx", ...script];
    const child = spawn(process.execPath, args, {
      cwd: folder,
      stdio: ["ignore", "ignore", "pipe"],
      timeout: 180_000,
    });
    let stderr = "";
    child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
    child.on("error", reject);
    child.on("close", code => {
      const line = /^\w*Error.*$/m.exec(stderr)?.[0] ?? stderr.split("\n", 1)[0] ?? "";
      const seed = /--seed (\d+)/.exec(stderr)?.[1];
      resolve(code === 0 ? undefined : `${seed === undefined ? "" : `seed ${seed}, `}${line.slice(0, 100)}`);
    });
  });
}

await Promise.all(Array.from({ length: Number(values.jobs) }, work));
console.log(`${chosen.length - survivors.length} of ${chosen.length} mutants die`);
if (survivors.length > 0) process.exitCode = 1;
