// What the machinery costs when the steps themselves cost nothing: `node bench/spine.mjs [rounds]`. Floors are the
// same number of containers run by each OCI runtime alone, as many at a time as there are processors, with the view of
// cgroups that bake gives crun. The last row is the best of all rounds: what one step costs more than none.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
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
  for (const folder of ["bin", "proc", "sys", "dev"])
    mkdirSync(join(bundle, "rootfs", folder), { recursive: true });
  copyFileSync(busybox, join(bundle, "rootfs/bin/busybox"));
  const namespaces = ["pid", "ipc", "uts", "mount"].map(type => ({ type }));
  const process = {
    terminal: false,
    user: { uid: 0, gid: 0 },
    args: ["/bin/busybox", "true"],
    env: ["PATH=/bin"],
    cwd: "/",
  };
  const mounts = [
    { destination: "/proc", type: "proc", source: "proc" },
    // Runs at the same time share the root: each needs a /dev of its own.
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["mode=755", "size=64k"] },
  ];
  const config = { ociVersion: "1.0.2", process, root: { path: "rootfs" }, mounts, linux: { namespaces } };
  writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
  // One shell in a mount namespace of its own runs many: crun 1.8 refuses hosts with cgroups of both versions.
  const script = `
    test ! -d /sys/fs/cgroup/unified || mount -n -t tmpfs none /sys/fs/cgroup/unified
    for number in $(seq "$2"); do "$1" run --bundle "$3" "llbake-bench-$$-$number" || exit 1; done`;
  const batch = (runtime, count) => {
    const words = ["--mount", "--propagation", "private", "sh", "-c", script, "sh", runtime, String(count)];
    return run("unshare", [...words, bundle]);
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
