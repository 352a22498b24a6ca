// What the machinery costs when the steps themselves cost nothing: `node bench/spine.mjs [rounds]`. Floors are the
// same number of containers of the same bundle run by each OCI runtime alone, as many at a time as there are processors,
// with the view of cgroups that bake gives crun. The last rows are the best of all rounds: what one step costs more than none.
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { compare, printRow, program, run } from "./measure.mjs";

const rounds = Number(process.argv[2] ?? 5);
const INDEPENDENT = 40;
const CHAIN = 100;

const busybox = ["/bin/busybox", "/usr/bin/busybox"].find(existsSync);
if (busybox === undefined || process.geteuid() !== 0) {
  console.error("error: this needs root and a static busybox: see npm run setup");
  process.exit(1);
}
const work = mkdtempSync(join(tmpdir(), "llbake-bench-"));
const width = availableParallelism();
const env = { ...process.env, LLBAKE_ROOT: join(work, "state") };

try {
  const floors = await prepareFloors();
  const doctor = await run(process.execPath, [program, "doctor"], { env }).catch(String);
  console.log(`bake uses ${/runtime +(\S+)/.exec(doctor)?.[1] ?? "no runtime"}`);
  const bare = () => run(process.execPath, ["-e", "0"]);

  const independent = project(
    "independent",
    INDEPENDENT,
    (step, salt) => `FROM base AS s${step}\nRUN echo ${salt}.${step}`,
  );
  const chain = project("chain", CHAIN, (step, salt) => `RUN echo ${salt}.${step}`);

  for (const [runtime, floor] of Object.entries(floors)) {
    printRow(
      `${INDEPENDENT} independent RUNs`,
      await compare(
        salt => independent(`i${runtime}${salt}`),
        () => floor(INDEPENDENT, width),
        { rounds },
      ),
      `${INDEPENDENT} x ${runtime} run, ${width} at a time`,
    );
    printRow(
      `chain of ${CHAIN} RUNs`,
      await compare(
        salt => chain(`c${runtime}${salt}`),
        () => floor(CHAIN, 1),
        { rounds },
      ),
      `${CHAIN} x ${runtime} run, one after the other`,
    );
  }
  await independent("same");
  printRow(
    `no-op of ${INDEPENDENT} independent RUNs`,
    await compare(() => independent("same"), bare, { rounds: 2 * rounds }),
    "node -e 0",
  );
  await chain("same");
  printRow(
    `no-op of a chain of ${CHAIN} RUNs`,
    await compare(() => chain("same"), bare, { rounds: 2 * rounds }),
    "node -e 0",
  );

  const noop = await best(() => chain("same"));
  const step = ((await best(round => chain(`best${round}`))) - noop) / CHAIN;
  for (const [runtime, floor] of Object.entries(floors)) {
    const bareMs = (await best(() => floor(CHAIN, 1))) / CHAIN;
    const ratio = (step / bareMs).toFixed(2);
    console.log(
      `a trivial RUN ${step.toFixed(1)} ms, ${runtime} run ${bareMs.toFixed(1)} ms: x${ratio} (best of ${rounds})`,
    );
  }
} finally {
  // Nothing may be mounted below the folder that is removed.
  if (!readFileSync("/proc/self/mountinfo", "utf8").includes(` ${work}/`))
    rmSync(work, { recursive: true, force: true });
}

/** The shortest time of all rounds, in milliseconds. */
async function best(task) {
  let shortest = Infinity;
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    await task(round);
    shortest = Math.min(shortest, performance.now() - started);
  }
  return shortest;
}

/** A bake file of one target with `count` steps; returns the function that builds it with a salt of its own. */
function project(name, count, stepOf) {
  const folder = join(work, name);
  mkdirSync(folder);
  writeFileSync(
    join(folder, "bake.hcl"),
    `target "default" {\n  contexts = { host = "${join(busybox, "..")}" }\n}\n`,
  );
  return salt => {
    const lines = Array.from({ length: count }, (_, step) => stepOf(step, salt));
    const isFan = lines[0].startsWith("FROM");
    writeFileSync(
      join(folder, "Dockerfile"),
      [
        "FROM scratch AS base",
        "COPY --from=host busybox /bin/busybox",
        'RUN ["/bin/busybox", "--install", "-s", "/bin"]',
        "ENV PATH=/bin",
        ...lines,
        // A last stage that needs all of them, so that they are one target.
        ...(isFan
          ? ["FROM scratch", ...lines.map((_, step) => `COPY --from=s${step} /bin/busybox /${step}`)]
          : []),
        "",
      ].join("\n"),
    );
    return run(process.execPath, [program, "--progress=quiet"], { cwd: folder, env });
  };
}

/** By runtime that works here: a function that runs a container, whose process ends at once, so many times. */
async function prepareFloors() {
  const bundle = join(work, "bundle");
  for (const folder of ["bin", "proc", "sys", "dev", "etc"])
    mkdirSync(join(bundle, "rootfs", folder), { recursive: true });
  for (const file of ["hosts", "resolv.conf"]) writeFileSync(join(bundle, "rootfs/etc", file), "");
  copyFileSync(busybox, join(bundle, "rootfs/bin/busybox"));
  writeFileSync(join(bundle, "config.json"), JSON.stringify(await configOfStep(bundle)));
  // One shell in a mount namespace of its own runs many: crun 1.8 refuses hosts with cgroups of both versions.
  const script = `
    test ! -d /sys/fs/cgroup/unified || mount -n -t tmpfs none /sys/fs/cgroup/unified
    for number in $(seq "$2"); do $1 run --bundle "$3" "llbake-bench-$$-$number" >"$3/out" || exit 1; done`;
  const batch = (runtime, count) => {
    const command = runtime === "crun" ? "crun --cgroup-manager=cgroupfs" : runtime;
    const words = ["sh", "-c", script, "sh", command, String(count), bundle];
    return run("unshare", ["--mount", "--net", "--propagation", "private", ...words]);
  };
  const floors = {};
  for (const runtime of ["crun", "runc"]) {
    const works = await batch(runtime, 1).catch(() => undefined);
    if (works === undefined) continue;
    floors[runtime] = (count, shells) =>
      Promise.all(Array.from({ length: shells }, () => batch(runtime, Math.ceil(count / shells))));
  }
  return floors;
}

/**
 * The configuration that bake gives a runtime for a trivial step, read while such a step runs: with other files, the
 * network of the caller, and the cgroup that the runtime gives it.
 */
async function configOfStep(bundle) {
  const folder = join(work, "step");
  mkdirSync(folder);
  writeFileSync(
    join(folder, "bake.hcl"),
    `target "default" {\n  contexts = { host = "${join(busybox, "..")}" }\n}\n`,
  );
  const lines = ["FROM scratch", "COPY --from=host busybox /bin/busybox", "ENV PATH=/bin"];
  writeFileSync(
    join(folder, "Dockerfile"),
    [...lines, 'RUN ["/bin/busybox", "sleep", "600"]', ""].join("\n"),
  );
  const stop = new globalThis.AbortController();
  const state = join(work, "step-state");
  const ended = run(process.execPath, [program, "--progress=quiet"], {
    cwd: folder,
    env: { ...env, LLBAKE_ROOT: state },
    signal: stop.signal,
  }).catch(thrown => thrown);
  let text;
  while ((text = findConfig(join(state, "owners"))) === undefined)
    await Promise.race([
      delay(20),
      ended.then(thrown => Promise.reject(new Error("the step has ended early", { cause: thrown }))),
    ]);
  stop.abort();
  await ended;
  const { process: command, root, mounts, linux, ...config } = JSON.parse(text);
  return {
    ...config,
    process: { ...command, args: ["/bin/busybox", "true"] },
    root: { ...root, path: join(bundle, "rootfs") },
    mounts: mounts.map(mount =>
      mount.destination.startsWith("/etc/") ? { ...mount, source: mount.destination } : mount,
    ),
    linux: {
      ...linux,
      cgroupsPath: undefined,
      namespaces: linux.namespaces.map(namespace =>
        namespace.type === "network" ? { type: "network", path: "/proc/self/ns/net" } : namespace,
      ),
    },
  };
}

/** The configuration of the container that sleeps, once it is written. */
function findConfig(owners) {
  if (!existsSync(owners)) return undefined;
  for (const owner of readdirSync(owners)) {
    const bundles = join(owners, owner, "bundles");
    for (const bundle of existsSync(bundles) ? readdirSync(bundles) : []) {
      const file = join(bundles, bundle, "config.json");
      // Of one that waits for its step it is a FIFO.
      if (!lstatSync(file, { throwIfNoEntry: false })?.isFile()) continue;
      const text = readFileSync(file, "utf8");
      if (text.includes('"sleep"')) return text;
    }
  }
  return undefined;
}
