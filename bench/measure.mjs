// What the benchmarks share: interleaved timing of two things, and medians of their ratios.
import { spawn, spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const program = process.env.LLBAKE_BENCH_PROGRAM ?? join(root, "dist", "cli.js");

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

/** Runs a program to its end; gives milliseconds of wall and processor time, and the largest resident set in MiB. */
export function measured(command, args, options = {}) {
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync(
    "/usr/bin/time",
    ["-q", "-f", "llbake-bench %U %S %M", command, ...args],
    { encoding: "utf8", maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "pipe"], ...options },
  );
  const wallMs = performance.now() - started;
  const found = /llbake-bench ([\d.]+) ([\d.]+) (\d+)\n$/.exec(stderr ?? "");
  if (status !== 0 || found === null)
    throw new Error(
      `${command} ${args.join(" ")} ended with ${status}\n${(stdout ?? "").slice(-2000)}${(stderr ?? "").slice(-2000)}`,
    );
  const [, user, system, kilobytes] = found.map(Number);
  return { wallMs, cpuMs: (user + system) * 1000, rssMib: kilobytes / 1024 };
}

/**
 * Measures several things by turns; each is a function that gives what `measured` gives (or nothing, then its own time
 * counts). Medians of each, and of the ratio of its wall time to the last one's, in the same round.
 */
export async function byTurns(things, { rounds, warmups = 1 }) {
  const samples = things.map(() => []);
  for (let round = -warmups; round < rounds; round++) {
    for (const [index, thing] of things.entries()) {
      const started = performance.now();
      const sample = (await thing(round)) ?? { wallMs: performance.now() - started };
      if (round >= 0) samples[index].push(sample);
    }
  }
  const floor = samples.at(-1);
  return samples.map(of => ({
    wallMs: median(of.map(({ wallMs }) => wallMs)),
    cpuMs: median(of.map(({ cpuMs }) => cpuMs ?? NaN)),
    rssMib: median(of.map(({ rssMib }) => rssMib ?? NaN)),
    ratio: median(of.map(({ wallMs }, round) => wallMs / floor[round].wallMs)),
  }));
}

/** A line per thing measured: time, processor time, memory, and how many times the floor. */
export function printTurns(name, labels, results) {
  for (const [index, { wallMs, cpuMs, rssMib, ratio }] of results.entries()) {
    const number = (value, unit) => `${Number.isNaN(value) ? "-" : value.toFixed(0)} ${unit}`.padStart(10);
    console.log(
      `${(index === 0 ? name : "").padEnd(34)}${labels[index].padEnd(22)}${number(wallMs, "ms")}  cpu${number(cpuMs, "ms")}` +
        `${number(rssMib, "MiB")}  x${ratio.toFixed(2).padStart(6)}`,
    );
  }
}

/** How another program with the interface of `buildx bake` is called here; undefined when none is installed. */
export function findPeer() {
  for (const words of [["docker", "buildx"], ["buildx"]])
    if (spawnSync(words[0], [...words.slice(1), "inspect"], { stdio: "ignore" }).status === 0)
      return [...words, "bake", "--allow=fs=*"];
  console.log("buildx with a running buildkitd is not here: compared with floors alone");
  return undefined;
}

export function findBusybox() {
  const busybox = ["/bin/busybox", "/usr/bin/busybox"].find(path => spawnSync(path, ["true"]).status === 0);
  if (busybox !== undefined && process.geteuid() === 0 && spawnSync("/usr/bin/time", ["true"]).status === 0)
    return busybox;
  console.error("error: this needs root, a static busybox and /usr/bin/time: see npm run setup");
  process.exit(1);
}
