// What the benchmarks share: interleaved timing of two things, and medians of their ratios.
import { spawn, spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const program = join(root, "dist", "cli.js");

// Projects of benchmarks take busybox from the host, which would otherwise need a grant in each command.
process.env.BUILDX_BAKE_ENTITLEMENTS_FS = "0";

/**
 * Times `subject` and `floor` by turns, so that a busy moment of the machine hits both. Each is an async function;
 * the result holds medians in milliseconds and the median of the pairwise ratios.
 */
export async function compare(subject, floor, { rounds, warmups = 1 }) {
  const pairs = [];
  for (let round = -warmups; round < rounds; round++) {
    const pair = [await timed(subject, round), await timed(floor, round)];
    if (round >= 0) pairs.push(pair);
  }
  return {
    subjectMs: median(pairs.map(([a]) => a)),
    floorMs: median(pairs.map(([, b]) => b)),
    ratio: median(pairs.map(([a, b]) => a / b)),
  };
}

export function printRow(name, { subjectMs, floorMs, ratio }, floorName) {
  const ms = value => `${value.toFixed(value < 100 ? 1 : 0)} ms`.padStart(10);
  console.log(
    `${name.padEnd(34)}${ms(subjectMs)}  floor ${ms(floorMs)}  x${ratio.toFixed(2).padStart(6)}  (${floorName})`,
  );
}

/** Runs a program to its end; rejects with what it said when it fails. */
export function run(command, args, options = {}) {
  return new Promise((settle, fail) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", text => (output += text));
    child.once("error", fail);
    child.once("close", status => {
      if (status === 0) settle(output);
      else fail(new Error(`${command} ${args.join(" ")} ended with ${status}\n${output}`));
    });
  });
}

/** Runs `count` tasks, `width` at a time. */
export async function inParallel(count, width, task) {
  let next = 0;
  const worker = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, worker));
}

/** The first OCI runtime that runs the bundle: crun 1.8 refuses hosts with hybrid cgroups. */
export function findRuntime(bundle) {
  return ["crun", "runc", "youki"].find(
    name =>
      spawnSync(name, ["run", "--bundle", bundle, `llbake-bench-${process.pid}`], { stdio: "ignore" })
        .status === 0,
  );
}

async function timed(task, round) {
  const start = performance.now();
  await task(round);
  return performance.now() - start;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
