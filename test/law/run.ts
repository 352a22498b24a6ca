// The truth law from the command line, on several processors:
// node --import tsx test/law/run.ts [--sequences 2000] [--seed N] [--workers 4] [--without NAME,NAME | --without all]
// "all" runs the sequences once for each optimisation switched off, each a share of them.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { ENGINE_OPTIMIZATIONS, type EngineOptimization } from "../../src/engine/without.ts";
import { checkTruth } from "./sequence.ts";

const { values } = parseArgs({
  options: {
    sequences: { type: "string", default: "100" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    workers: { type: "string", default: "1" },
    without: { type: "string", default: "" },
  },
});
const sequences = Number(values.sequences);
const seed = Number(values.seed);
const workers = Number(values.workers);
const start = performance.now();

if (workers > 1) await runWorkers();
else await runHere();

async function runHere(): Promise<void> {
  const names = values.without === "all" ? ENGINE_OPTIMIZATIONS : namesOf(values.without);
  const rounds = values.without === "all" ? names.map(name => [name]) : [names];
  let compared = 0;
  for (const [round, without] of rounds.entries()) {
    const count = Math.ceil(sequences / rounds.length);
    compared += await checkTruth({ sequences: count, seed: seed + round, without: new Set(without) });
  }
  console.log(`${compared} builds compared, from seed ${seed}`);
}

/** Each of them a share of the sequences, with a seed of its own. */
async function runWorkers(): Promise<void> {
  const share = Math.ceil(sequences / workers);
  // Every state directory is written once and thrown away: in memory, if there is such a place.
  const env = { ...process.env, ...(existsSync("/dev/shm") && { TMPDIR: "/dev/shm" }) };
  const codes = await Promise.all(
    Array.from({ length: workers }, (_, worker) => {
      const options = ["--sequences", String(share), "--seed", String(seed + worker * 1000)];
      const args = ["--import", "tsx", import.meta.filename, ...options, "--without", values.without];
      const child = spawn(process.execPath, args, { stdio: "inherit", env });
      return new Promise<number | null>((resolve, reject) => {
        child.on("error", reject);
        child.on("close", resolve);
      });
    }),
  );
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  console.log(`${share * workers} sequences in ${seconds} s`);
  if (codes.some(code => code !== 0)) process.exitCode = 1;
}

function namesOf(text: string): readonly EngineOptimization[] {
  return text
    .split(",")
    .filter(name => name !== "")
    .map(name => {
      const known = ENGINE_OPTIMIZATIONS.find(optimization => optimization === name);
      if (known === undefined) throw new Error(`${name} is none of ${ENGINE_OPTIMIZATIONS.join(", ")}`);
      return known;
    });
}
