// Kills `bake` at random moments of builds, exports and prunes, alone or beside a second process, and looks each time
// whether the next start is clean, its result that of a clean build, and nothing left.
//
//   node --import tsx test/crash/kill.ts --rounds 500 --seed 1 [--workers 3]
//
// A round counts when what was to be killed was still at work. The seed decides what is done; the moment of the kill is
// a share of the time that it takes here, so a seed replays a round's plan, not its instant. Each worker has a state
// directory of its own, kept through all of its rounds.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { baseStage, busyboxDir, processName, program } from "../rig/bake.ts";
import { mountsBelow } from "../rig/mounts.ts";
import { startRegistry, startServer } from "../rig/registry.ts";
import { tempDir } from "../rig/tree.ts";
import { createRandom, type Random } from "../sim/random.ts";
import { remains } from "./remains.ts";
import { expectConsistent, readLayout, registryTag } from "./whole.ts";

/** What is killed. Each writes to a destination of its own, which is absent before. */
const VICTIMS = ["build", "local", "oci", "push", "prune", "prune some"] as const;
type Victim = (typeof VICTIMS)[number];

/** Who else works in the same state directory meanwhile; that one is never killed, and has to succeed. */
const COMPANIONS = ["nobody", "nobody", "the same build", "another build", "prune", "du"] as const;
type Companion = (typeof COMPANIONS)[number];

/** How many different builds there are: some results are in the cache, some are not. */
const VARIANTS = 4;

/** How long a victim is taken to work until one has not been killed. */
const FIRST_MS = 700;

/** Longer than anything takes on a slow machine. */
const HANG_MS = 60_000;

export interface KillOptions {
  readonly rounds: number;
  readonly seed: number;
  readonly workers: number;
  readonly log: (line: string) => void;
}

export interface KillReport {
  readonly rounds: number;
  /** Rounds in which the victim was still at work when it was killed. */
  readonly killed: number;
  readonly failures: readonly string[];
  readonly seconds: number;
}

/** What a clean build of each variant gives. */
interface Expected {
  readonly digest: string;
  readonly file: string;
}

interface World {
  readonly path: string;
  readonly registry: string;
  readonly expected: readonly Expected[];
  readonly log: (line: string) => void;
}

export async function killInRounds({ rounds, seed, workers, log }: KillOptions): Promise<KillReport> {
  const start = performance.now();
  using dir = tempDir();
  await using registry = await startRegistry();
  await using files = await startServer((_, response) => {
    response.setHeader("etag", '"1"');
    // In pieces, so that there is a moment at which a part is there.
    response.write("down", () => setTimeout(() => response.end("loaded\n"), 5));
  });
  const world = { path: dir.path, registry: registry.host, log, expected: [] };
  const url = `http://${files.host}/file`;
  const reference = openWorker(world, "reference", url);
  const expected: Expected[] = [];
  for (let variant = 0; variant < VARIANTS; variant++) {
    rmSync(reference.root, { recursive: true, force: true });
    expected.push(await buildReference(reference, variant));
  }
  const report = { killed: 0, failures: [] as string[] };
  let next = 0;
  await Promise.all(
    Array.from({ length: workers }, async (_, index) => {
      const worker = openWorker({ ...world, expected }, `worker${index}`, url);
      try {
        while (report.killed < rounds && report.failures.length < MAX_FAILURES) {
          const round = next++;
          // Spread, so that neighbouring rounds have nothing in common.
          const random = createRandom(seed * 7919 + round * 104_729);
          const plan = planRound(random);
          const problem = await playRound(worker, plan).then(
            killed => void (report.killed += Number(killed)),
            (thrown: unknown) => String(thrown instanceof Error ? (thrown.stack ?? thrown.message) : thrown),
          );
          if (problem !== undefined) {
            const text = `round ${round} (${describe(plan)}) in ${worker.cwd}: ${problem}`;
            report.failures.push(text);
            log(text);
          }
          if ((round + 1) % 25 === 0)
            log(
              `${report.killed} of ${rounds} killed, ${report.failures.length} failures, ${secondsSince(start)} s`,
            );
        }
      } finally {
        for (const mount of mountsBelow(worker.cwd).toReversed())
          report.failures.push(`left mounted at the end: ${mount}`);
      }
    }),
  );
  return { rounds: next, ...report, seconds: Number(secondsSince(start)) };
}

/** After so many something is thoroughly wrong. */
const MAX_FAILURES = 10;

function secondsSince(start: number): string {
  return ((performance.now() - start) / 1000).toFixed(1);
}

interface Plan {
  readonly victim: Victim;
  readonly variant: number;
  readonly companion: Companion;
  readonly otherVariant: number;
  /** Executes everything again. */
  readonly noCache: boolean;
  /** Of the time that the victim takes by itself. */
  readonly share: number;
  /** The whole process group, or the program alone: then what it started lives on. */
  readonly group: boolean;
}

function planRound(random: Random): Plan {
  return {
    victim: random.pick(VICTIMS),
    variant: random.below(VARIANTS),
    companion: random.pick(COMPANIONS),
    otherVariant: random.below(VARIANTS),
    noCache: random.chance(0.3),
    share: random.next(),
    group: random.chance(0.5),
  };
}

function describe({ victim, variant, companion, otherVariant, noCache, share, group }: Plan): string {
  const who = companion === "another build" ? `build ${otherVariant}` : companion;
  return `${victim} of ${variant}${noCache ? " without the cache" : ""} killed at ${(share * 100).toFixed(0)}% ${group ? "with its group" : "alone"}, beside ${who}`;
}

interface Worker extends World {
  readonly name: string;
  readonly cwd: string;
  readonly root: string;
  /** A word in the commands of its steps: how their processes are known. */
  readonly marker: string;
  readonly image: string;
  /** How long it took what was not killed, in milliseconds, by its kind. */
  readonly times: Map<string, number>;
  /** Of all that it has started. */
  readonly processes: string[];
  round: number;
}

function openWorker(world: World, name: string, url: string): Worker {
  const cwd = join(world.path, name);
  const marker = `marker-${createHash("sha256").update(cwd).digest("hex").slice(0, 12)}`;
  mkdirSync(join(cwd, "src"), { recursive: true });
  for (const file of ["one", "two", "three"]) writeFileSync(join(cwd, "src", file), `${file}\n`);
  writeFileSync(join(cwd, "secret"), "hush\n");
  writeFileSync(
    join(cwd, "bake.hcl"),
    `target "default" {
  contexts = { host = "${busyboxDir}" }
  args = { SOURCE_DATE_EPOCH = "1700000000" }
  secret = ["id=s,src=secret"]
}
`,
  );
  writeFileSync(
    join(cwd, "Dockerfile"),
    `${baseStage}
FROM base AS a
ARG X=0
RUN --mount=type=cache,target=/keep,sharing=locked --mount=type=secret,id=s : ${marker}; \\
  cat /run/secrets/s > /dev/null; echo $X >> /keep/log; dd if=/dev/zero of=/big bs=64k count=16 2> /dev/null; \\
  sleep 0.05; echo $X > /a; touch -d @1600000000 /a
FROM base AS b
COPY src /src
ADD ${url} /src/
ARG X=0
RUN : ${marker}; mkdir /out; cat /src/* > /out/b; echo $X >> /out/b; sleep 0.03; touch -d @1600000000 /out/b
RUN : ${marker}; cat /out/b /out/b > /out/c; touch -d @1600000000 /out/c
FROM scratch
COPY --from=a /a /a
COPY --from=b /out/b /b
COPY --from=b /out/c /c
`,
  );
  const image = `${world.registry}/kill/${name}:latest`;
  return {
    ...world,
    name,
    cwd,
    root: join(cwd, "state"),
    marker,
    image,
    times: new Map(),
    processes: [],
    round: 0,
  };
}

interface Ended {
  readonly exitCode: number | null;
  /** What it said at last. */
  readonly text: string;
  readonly stdout: string;
  readonly ms: number;
}

interface Started {
  readonly pid: number;
  readonly ended: Promise<Ended>;
  readonly isOver: () => boolean;
}

function start({ cwd, root, processes }: Worker, args: readonly string[]): Started {
  const began = performance.now();
  const child = spawn(process.execPath, [program, ...args], {
    cwd,
    env: {
      PATH: process.env["PATH"],
      HOME: cwd,
      LLBAKE_ROOT: root,
      BUILDX_BAKE_ENTITLEMENTS_FS: "0",
      XDG_CACHE_HOME: process.env["XDG_CACHE_HOME"] ?? join(process.env["HOME"] ?? cwd, ".cache"),
    },
    stdio: ["ignore", "pipe", "pipe"],
    // A group of its own, to be killed with all that it started.
    detached: true,
  });
  processes.push(processName(child.pid));
  let [text, stdout] = ["", ""];
  let over = false;
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (data: string) => (text = (text + data).slice(-20_000)));
  child.stdout.on("data", (data: string) => (stdout += data));
  const watchdog = setTimeout(() => child.kill("SIGKILL"), HANG_MS);
  const ended = new Promise<Ended>((settle, fail) => {
    child.once("error", fail);
    child.once("exit", exitCode => {
      over = true;
      clearTimeout(watchdog);
      const ms = performance.now() - began;
      const settled = (): void => settle({ exitCode, text, stdout, ms });
      child.once("close", settled);
      // What it started may hold its output open when it was killed.
      if (exitCode === null) setTimeout(settled, 200).unref();
    });
  });
  return { pid: child.pid ?? 0, ended, isOver: () => over };
}

async function succeed(what: string, running: Started): Promise<Ended> {
  const outcome = await running.ended;
  if (outcome.exitCode === 0) return outcome;
  const how = outcome.ms >= HANG_MS ? "hung" : `ended with ${outcome.exitCode}`;
  throw new Error(`${what} ${how}\n${outcome.text}`);
}

function buildArgs({ image }: Worker, victim: Victim, variant: number, dest: string): readonly string[] {
  const outputs: Readonly<Record<Victim, string>> = {
    build: "type=cacheonly",
    local: `type=local,dest=${dest}`,
    oci: `type=oci,dest=${dest}`,
    push: `type=registry,name=${image}`,
    prune: "",
    "prune some": "",
  };
  if (victim === "prune") return ["prune", "--all"];
  if (victim === "prune some") return ["prune", "--keep-storage", "2MB"];
  return ["--progress=plain", "--set", `*.args.X=${variant}`, "--set", `*.output=${outputs[victim]}`];
}

async function buildReference(worker: Worker, variant: number): Promise<Expected> {
  const dest = join(worker.cwd, `reference${variant}.tar`);
  await succeed("the reference build", start(worker, buildArgs(worker, "oci", variant, dest)));
  const local = join(worker.cwd, `reference${variant}`);
  await succeed("the reference build", start(worker, buildArgs(worker, "local", variant, local)));
  return { digest: readLayout(dest), file: describeFolder(local) };
}

function describeFolder(path: string): string {
  return readdirSync(path)
    .sort()
    .map(name => `${name}=${readFileSync(join(path, name), "utf8")}`)
    .join("");
}

/** True when the victim was still at work at the kill. @throws Error with what is wrong */
async function playRound(worker: Worker, plan: Plan): Promise<boolean> {
  const number = worker.round++;
  const { cwd, times, expected } = worker;
  const { victim, variant, companion } = plan;
  const dest = join(cwd, `victim${number}`);
  const noCache = plan.noCache && !victim.startsWith("prune");
  const args = buildArgs(worker, victim, variant, dest);
  const running = start(worker, noCache ? [...args, "--no-cache"] : args);
  const kind = `${victim}${noCache ? " without the cache" : ""}`;
  const other = startCompanion(worker, plan, join(cwd, `companion${number}`));
  await Promise.race([delay(plan.share * (times.get(kind) ?? FIRST_MS)), running.ended]);
  const killed = !running.isOver();
  if (killed) {
    process.kill(plan.group ? -running.pid : running.pid, "SIGKILL");
    await running.ended;
  } else {
    const { ms } = await succeed(victim, running);
    times.set(kind, ms);
  }
  if (other !== undefined) {
    await succeed(`the companion (${companion})`, other.running);
    if (other.variant !== undefined)
      expectDigest(readLayout(other.dest), expected, [other.variant], "companion");
  }
  expectWholeOrAbsent(worker, plan, dest);
  if (victim === "push") await expectTag(worker, plan, killed);

  // The next start: clean, with the right result.
  const after = join(cwd, `after${number}`);
  await succeed("the next build", start(worker, buildArgs(worker, "oci", variant, after)));
  expectDigest(readLayout(after), expected, [variant], "next build");
  const left = remains({ ...worker, words: [worker.marker] });
  if (left.length > 0) throw new Error(`left behind:\n  ${left.join("\n  ")}`);
  const { stdout } = await succeed("du", start(worker, ["du", "--format", "json"]));
  expectConsistent(worker.root, stdout);
  for (const path of [dest, after, join(cwd, `companion${number}`)])
    rmSync(path, { recursive: true, force: true });
  return killed;
}

function startCompanion(
  worker: Worker,
  { companion, variant, otherVariant }: Plan,
  dest: string,
): { readonly running: Started; readonly variant: number | undefined; readonly dest: string } | undefined {
  switch (companion) {
    case "nobody":
      return undefined;
    case "the same build":
    case "another build": {
      const which = companion === "the same build" ? variant : otherVariant;
      return { running: start(worker, buildArgs(worker, "oci", which, dest)), variant: which, dest };
    }
    case "prune":
      return { running: start(worker, ["prune", "--all"]), variant: undefined, dest };
    case "du":
      return { running: start(worker, ["du"]), variant: undefined, dest };
  }
}

function expectDigest(
  digest: string,
  expected: readonly Expected[],
  variants: readonly number[],
  what: string,
): void {
  if (variants.some(variant => expected[variant]?.digest === digest)) return;
  throw new Error(`the result of the ${what} is ${digest}, not that of a clean build`);
}

/** An output is absent, or the one of a clean build. */
function expectWholeOrAbsent({ cwd, expected }: Worker, { victim, variant }: Plan, dest: string): void {
  const isThere = readdirSync(cwd).includes(dest.slice(cwd.length + 1));
  if (!isThere) return;
  if (victim === "oci") expectDigest(readLayout(dest), expected, [variant], "killed build");
  if (victim === "local" && describeFolder(dest) !== expected[variant]?.file)
    throw new Error(`the folder of the killed build is not whole: ${describeFolder(dest)}`);
}

/** A tag names what it named before, or the whole new image. */
async function expectTag(worker: Worker, { variant }: Plan, killed: boolean): Promise<void> {
  const { image, expected } = worker;
  const digest = await registryTag(image);
  if (digest === undefined) {
    if (!killed) throw new Error("the tag was not pushed");
    return;
  }
  const allowed = killed ? expected.map((_, index) => index) : [variant];
  expectDigest(digest, expected, allowed, "push");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "100" },
      seed: { type: "string", default: "1" },
      workers: { type: "string", default: String(Math.max(1, availableParallelism() - 1)) },
    },
  });
  const report = await killInRounds({
    rounds: Number(values.rounds),
    seed: Number(values.seed),
    workers: Number(values.workers),
    log: line => console.log(line),
  });
  const { rounds, killed, failures, seconds } = report;
  console.log(
    `${failures.length === 0 ? "PASS" : "FAIL"}: killed ${killed} times while at work in ${rounds} rounds, ${failures.length} failures, ${seconds} s (seed ${values.seed})`,
  );
  if (failures.length > 0) process.exitCode = 1;
}
