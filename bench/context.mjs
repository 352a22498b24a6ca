// A large context, copied into an image: `node bench/context.mjs [--files=50000] [--megabytes=1024] [rounds]`. Cold, with
// nothing changed, after one file was touched, after one was edited, and exported. Floors: copying the folder with cp,
// and looking at every file with find. With buildx and a running buildkitd installed, these build the same by turns.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { byTurns, findPeer, measured, printTurns, program } from "./measure.mjs";

const option = (name, otherwise) =>
  Number(process.argv.find(word => word.startsWith(`--${name}=`))?.slice(name.length + 3) ?? otherwise);
const files = option("files", 50_000);
const bytes = option("megabytes", 1024) * 1024 * 1024;
const rounds = Number(process.argv.slice(2).find(word => /^\d+$/.test(word)) ?? 5);

const peer = findPeer();
const work = mkdtempSync(join(tmpdir(), "llbake-bench-"));
const context = join(work, "context");
const state = join(work, "state");
const env = { ...process.env, LLBAKE_ROOT: state, OUT: work };
const edited = makeContext();
writeFileSync(
  join(work, "bake.hcl"),
  `variable "OUTPUT" { default = "type=cacheonly" }
target "default" {
  context = "context"
  dockerfile-inline = "FROM scratch\\nCOPY . /app\\n"
  output = [OUTPUT]
}
`,
);

try {
  const labels = floor => ["bake", ...(peer === undefined ? [] : ["buildx bake"]), floor];
  const find = () =>
    measured("find", [context, "-printf", "%s %T@ %C@ %i %m\n"], { stdio: ["ignore", "ignore", "pipe"] });
  const cp = (how, from) => {
    rmSync(join(work, how), { recursive: true, force: true });
    return measured("cp", [how, from, join(work, how)]);
  };
  const report = async (name, prepare, floorName, floor, count) => {
    const things = builders().map(build => round => (prepare(round), build()));
    printTurns(name, labels(floorName), await byTurns([...things, floor], { rounds: count }));
  };
  console.log(`${files} files, ${bytes / 1024 / 1024} MiB`);

  const cold = builders();
  const empty = () => {
    rmSync(state, { recursive: true, force: true });
    if (peer !== undefined) spawnSync(peer[0], [...peer.slice(1, -2), "prune", "-af"], { stdio: "ignore" });
  };
  printTurns(
    "cold",
    labels("cp -a"),
    await byTurns([...cold.map(build => () => (empty(), build())), () => cp("-a", context)], {
      rounds: Math.min(rounds, 3),
      warmups: 0,
    }),
  );
  await report("nothing changed", () => undefined, "find, stat of each", find, rounds);
  await report(
    "one file touched",
    round => utimesSync(edited, round + 2, round + 2),
    "find, stat of each",
    find,
    rounds,
  );
  cp("-a", context);
  let edits = 0;
  const edit = () => writeFileSync(edited, `/* edit ${process.pid} ${edits++} */\n`);
  await report("one file edited", edit, "cp -al", () => cp("-al", join(work, "-a")), rounds);
  env.OUTPUT = `type=oci,dest=${join(work, "image.tar")},compression=uncompressed`;
  await report(
    "nothing changed, to an OCI archive",
    () => undefined,
    "cat of it",
    () => measured("cat", [join(work, "image.tar")], { stdio: ["ignore", "ignore", "pipe"] }),
    rounds,
  );
} finally {
  // Nothing may be mounted below the folder that is removed.
  if (!readFileSync("/proc/self/mountinfo", "utf8").includes(` ${work}/`))
    rmSync(work, { recursive: true, force: true });
}

function builders() {
  const commands = [[process.execPath, program], ...(peer === undefined ? [] : [peer])];
  return commands.map(
    ([command, ...args]) =>
      () =>
        measured(command, [...args, "--progress=plain"], { cwd: work, env }),
  );
}

/** Packages of 50 files in five folders, half text and half not compressible, sizes as in source trees. */
function makeContext() {
  let seed = 42;
  const random = () => (seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
  const noise = Buffer.from(Array.from({ length: 1 << 20 }, () => Math.floor(random() * 256)));
  const text = Buffer.from(
    "const answer = compute(question, 42); // the words of a program\n".repeat(1 << 14),
  );
  const weights = Array.from({ length: files }, () => Math.exp((random() + random() + random() - 1.5) * 3));
  const sum = weights.reduce((a, b) => a + b, 0);
  const places = ["lib", "src/core", "dist", "test/unit/cases", "."];
  for (const [index, weight] of weights.entries()) {
    const folder = join(
      context,
      `pkg${Math.floor(index / 2000)}`,
      `mod${Math.floor(index / 50)}`,
      places[index % 5],
    );
    mkdirSync(folder, { recursive: true });
    const source = index % 2 === 0 ? text : noise;
    const size = Math.min(source.length, Math.max(16, Math.floor((weight / sum) * bytes)));
    const start = Math.floor(random() * (source.length - size));
    writeFileSync(join(folder, `f${index}.js`), source.subarray(start, start + size));
  }
  return join(context, "pkg0/mod0/lib/f0.js");
}
