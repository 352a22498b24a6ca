// Runs simulations from the command line: node --import tsx test/sim/run.ts --seed N --seeds M [--trace]
import { parseArgs } from "node:util";
import { MARKS, simulate, type Mark } from "./simulate.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    seeds: { type: "string", default: "1" },
    trace: { type: "boolean", default: false },
  },
});
const first = Number(values.seed);
const count = Number(values.seeds);
const reached = new Map<Mark, number>();
let executed = 0;
const start = performance.now();
for (let seed = first; seed < first + count; seed++) {
  try {
    const result = await simulate(seed);
    executed += result.executed;
    for (const mark of result.marks) reached.set(mark, (reached.get(mark) ?? 0) + 1);
    if (values.trace) console.log(result.trace.join("\n"));
  } catch (error) {
    console.error(`seed ${seed} fails; replay: node --import tsx test/sim/run.ts --seed ${seed} --seeds 1`);
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
    break;
  }
}
const seconds = (performance.now() - start) / 1000;
console.log(`${count} seeds from ${first}: ${executed} steps executed in ${seconds.toFixed(1)} s`);
for (const mark of MARKS) console.log(`  ${mark}: ${reached.get(mark) ?? 0}`);
