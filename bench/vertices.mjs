// What a vertex costs: `node bench/vertices.mjs [rounds]`, COUNTS=1000 for some sizes only. Graphs of 1,000, 5,000 and 10,000 file ops, a binary tree whose
// leaves make a file and whose other ops copy one from their second input over their first, cold and cached. Floors, in
// the same run: cold, hashing every op, making as many folders and writing a file in each; cached, a Node program that
// reads the definition and hashes every op. Prints µs per vertex and the peak of memory.
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { clearInterval, setInterval } from "node:timers";
import { join } from "node:path";
import { writeGraph } from "./graph.mjs";
import { compare, program as built } from "./measure.mjs";

const rounds = Number(process.argv[2] ?? 3);
const program = process.env.LLBAKE_TEST_PROGRAM ?? built;
const work = mkdtempSync(join(tmpdir(), "llbake-bench-"));
const COUNTS = (process.env.COUNTS ?? "1000,5000,10000").split(",").map(Number);

const BARE = `import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
const bytes = readFileSync(process.argv[2]);
// About an op each.
for (let at = 0; at < bytes.length; at += 200) createHash("sha256").update(bytes.subarray(at, at + 200)).digest("hex");
`;

try {
  for (const count of COUNTS) {
    const file = join(work, `${count}.llb`);
    const ops = await writeGraph(file, count, program);
    const peaks = { cold: 0, cached: 0 };
    const cold = await compare(
      async round => {
        const state = join(work, `state-${count}-${round}`);
        peaks.cold = Math.max(peaks.cold, await build(file, state));
      },
      round => floor(join(work, `floor-${count}-${round}`), ops),
      { rounds, warmups: 0 },
    );
    const state = join(work, `state-${count}-0`);
    const bare = join(work, "bare.mjs");
    writeFileSync(bare, BARE);
    const cached = await compare(
      async () => {
        peaks.cached = Math.max(peaks.cached, await build(file, state));
      },
      () => peakOf([bare, file]),
      { rounds: rounds + 2 },
    );
    row(`${count} file ops, cold`, cold, count, peaks.cold, "hash, mkdir and write each");
    row(`${count} file ops, cached`, cached, count, peaks.cached, "node that hashes each");
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}

function floor(folder, ops) {
  mkdirSync(folder);
  for (const [i, op] of ops.entries()) {
    createHash("sha256").update(op).digest("hex");
    mkdirSync(join(folder, String(i)));
    writeFileSync(join(folder, String(i), "f"), `content ${i}\n`);
  }
}

function build(file, state) {
  const input = openSync(file, "r");
  return peakOf([program, "build-llb", "--progress=quiet", "--root", state], input).finally(() =>
    closeSync(input),
  );
}

/** Runs Node to its end; gives the peak of its memory in bytes, as the kernel tells while it lives. */
function peakOf(args, input = "ignore") {
  return new Promise((settle, fail) => {
    const child = spawn(process.execPath, args, { stdio: [input, "ignore", "pipe"] });
    let [peak, said] = [0, ""];
    const look = () => {
      const path = `/proc/${child.pid}/status`;
      if (!existsSync(path)) return;
      const kilobytes = /VmHWM:\s+(\d+)/.exec(readFileSync(path, "utf8"))?.[1];
      peak = Math.max(peak, Number(kilobytes ?? 0) * 1024);
    };
    const timer = setInterval(look, 20);
    child.stderr.setEncoding("utf8").on("data", text => (said += text));
    child.once("error", fail);
    child.once("close", code => {
      clearInterval(timer);
      if (code === 0) settle(peak);
      else fail(new Error(`${args.join(" ")} ended with ${code}\n${said}`));
    });
  });
}

function row(name, { subjectMs, floorMs, ratio }, count, peak, floorName) {
  const each = ms => `${((ms * 1000) / count).toFixed(1)} µs`.padStart(10);
  const memory = `${(peak / 1024 ** 2).toFixed(0)} MB`.padStart(8);
  console.log(
    `${name.padEnd(24)}${`${subjectMs.toFixed(0)} ms`.padStart(9)}${each(subjectMs)}${memory}  floor${each(floorMs)}  x${ratio.toFixed(2)}  (${floorName})`,
  );
}
