// What the machinery costs when the steps themselves cost nothing: `node bench/spine.mjs [rounds]`. Floors are the
// same number of containers run by the OCI runtime alone, as many at a time as there are processors.
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
import { compare, findRuntime, inParallel, printRow, program, run } from "./measure.mjs";

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
  const { runtime, floor } = prepareBundle();
  const bare = () => run(process.execPath, ["-e", "0"]);

  const independent = project(
    "independent",
    INDEPENDENT,
    (step, salt) => `FROM base AS s${step}\nRUN echo ${salt}.${step}`,
  );
  const chain = project("chain", CHAIN, (step, salt) => `RUN echo ${salt}.${step}`);

  printRow(
    `${INDEPENDENT} independent RUNs`,
    await compare(
      salt => independent(`i${salt}`),
      () => inParallel(INDEPENDENT, width, () => floor()),
      { rounds },
    ),
    `${INDEPENDENT} x ${runtime} run, ${width} at a time`,
  );
  printRow(
    `chain of ${CHAIN} RUNs`,
    await compare(
      salt => chain(`c${salt}`),
      () => inParallel(CHAIN, 1, () => floor()),
      { rounds },
    ),
    `${CHAIN} x ${runtime} run, one after the other`,
  );
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
} finally {
  // Nothing may be mounted below the folder that is removed.
  if (!readFileSync("/proc/self/mountinfo", "utf8").includes(` ${work}/`))
    rmSync(work, { recursive: true, force: true });
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

/** An OCI bundle whose process ends at once; returns the runtime and the function that runs it once. */
function prepareBundle() {
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
  const runtime = findRuntime(bundle);
  if (runtime === undefined) throw new Error("no OCI runtime runs here: see node dist/cli.js doctor");
  let runs = 0;
  const floor = () =>
    run(runtime, ["run", "--bundle", bundle, `llbake-bench-${globalThis.process.pid}-${runs++}`]);
  return { runtime, floor };
}
