// Runs simulations from the command line: node --import tsx test/sim/run.ts --seed N --seeds M [--trace]
// A failure names the command that replays it; --size, --runs and --not make the world of a seed smaller. --small runs
// all small worlds instead, or with --part 1/4 a quarter of them.
import { parseArgs } from "node:util";
import { MARKS, type Mark } from "./marks.ts";
import { simulate } from "./simulate.ts";
import { simulateSmallWorlds } from "./smallworld.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    seeds: { type: "string", default: "1" },
    size: { type: "string" },
    runs: { type: "string" },
    not: { type: "string" },
    small: { type: "string" },
    only: { type: "string" },
    part: { type: "string", default: "1/1" },
    trace: { type: "boolean", default: false },
  },
});
const limits = {
  ...(values.size !== undefined && { size: Number(values.size) }),
  ...(values.runs !== undefined && { runs: Number(values.runs) }),
  ...(values.not !== undefined && { not: values.not.split(",") }),
};
const reached = new Map<Mark, number>();
const start = performance.now();
const seconds = (): string => ((performance.now() - start) / 1000).toFixed(1);
try {
  if (values.small === undefined) await runSeeds(Number(values.seed), Number(values.seeds));
  else {
    const [index = 1, count = 1] = values.part.split("/").map(Number);
    const part = { index: index - 1, count };
    const { worlds } = await simulateSmallWorlds(Number(values.small), { only: values.only, part });
    const which = count === 1 ? "all" : `part ${values.part}:`;
    console.log(`${which} ${worlds} worlds of up to ${values.small} steps in ${seconds()} s`);
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

async function runSeeds(first: number, count: number): Promise<void> {
  let executed = 0;
  for (let seed = first; seed < first + count; seed++) {
    const result = await simulate(seed, limits);
    executed += result.executed;
    for (const mark of result.marks) reached.set(mark, (reached.get(mark) ?? 0) + 1);
    if (values.trace) console.log(result.trace.join("\n"));
  }
  console.log(`${count} seeds from ${first}: ${executed} steps executed in ${seconds()} s`);
  for (const mark of MARKS) console.log(`  ${mark}: ${reached.get(mark) ?? 0}`);
  if (count >= 10_000 && MARKS.some(mark => !reached.has(mark)))
    throw new Error("a rare branch was never reached");
}
