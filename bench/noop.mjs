// Builds in which nothing changed, and 30 targets that share what they begin with: `node bench/noop.mjs [rounds]`.
// The floor is an empty Node program, for the steps cost nothing. With buildx and a running buildkitd installed, these
// build the same by turns.
import { spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeGraph } from "./graph.mjs";
import { byTurns, findBusybox, findPeer, measured, printTurns, program, run } from "./measure.mjs";

const rounds = Number(process.argv[2] ?? 9);
const PREFIX_STEPS = 6;
const TARGETS = 30;
const OTHER_RESULTS = 10_000;

const busybox = findBusybox();
const peer = findPeer();
const work = mkdtempSync(join(tmpdir(), "llbake-bench-"));
// In memory where possible: ext4 becomes slow at making files where many were removed just before.
const out = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "llbake-bench-"));
const env = { ...process.env, LLBAKE_ROOT: join(work, "state"), OUT: out };
const registry = await startRegistry(work);
const BASE = [
  "FROM scratch AS base",
  "COPY --from=host busybox /bin/busybox",
  'RUN ["/bin/busybox", "--install", "-s", "/bin"]',
  "ENV PATH=/bin",
];

try {
  const bare = () => measured(process.execPath, ["-e", "0"]);
  const outputs = ["cacheonly", "local", "oci", ...(registry === undefined ? [] : ["push"])];
  for (const count of [3, TARGETS]) {
    const folder = project(`noop${count}`, count);
    for (const output of outputs) {
      const things = builders(folder).map(build => () => build({ OUTPUT: output }));
      printTurns(
        `no-op of ${count} targets, ${output}`,
        labels(),
        await byTurns([...things, bare], { rounds, warmups: 2 }),
      );
    }
  }

  const folder = prefixProject();
  let salt = 0;
  const things = builders(folder).map(build => () => build({ SALT: `s${process.pid}.${salt++}` }));
  printTurns(
    `${TARGETS} targets, ${PREFIX_STEPS} steps shared`,
    labels(),
    await byTurns([...things, bare], { rounds: Math.ceil(rounds / 2) }),
  );
  const log = await run(process.execPath, [program, "--progress=plain"], {
    cwd: folder,
    env: { ...env, SALT: "count", OUTPUT: "cacheonly" },
  });
  const executed = new Set([...log.matchAll(/^#(\d+) .*ran$/gm)].map(([, step]) => step)).size;
  console.log(`executions of ${TARGETS} targets with ${PREFIX_STEPS} shared steps: ${executed}`);

  // The same among many other results.
  await fillState();
  const [bake] = builders(join(work, "noop3"));
  const [bakePrefix] = builders(folder);
  const among = [() => bake({}), () => bakePrefix({ SALT: `m${process.pid}.${salt++}` }), bare];
  printTurns(
    `among ${OTHER_RESULTS} other results`,
    ["no-op of 3 targets", `${TARGETS} targets, ${PREFIX_STEPS} shared`, "node -e 0"],
    await byTurns(among, { rounds: Math.ceil(rounds / 2) }),
  );
} finally {
  registry?.child.kill();
  rmSync(out, { recursive: true });
  // Nothing may be mounted below the folder that is removed.
  if (!readFileSync("/proc/self/mountinfo", "utf8").includes(` ${work}/`))
    rmSync(work, { recursive: true, force: true });
}

async function fillState() {
  const file = join(work, "graph.llb");
  await writeGraph(file, OTHER_RESULTS, program);
  const input = openSync(file, "r");
  try {
    const args = [program, "build-llb", "--progress=quiet"];
    await run(process.execPath, args, { env, stdio: [input, "pipe", "pipe"] });
  } finally {
    closeSync(input);
  }
}

function labels() {
  return ["bake", ...(peer === undefined ? [] : ["buildx bake"]), "node -e 0"];
}

function builders(folder) {
  const commands = [[process.execPath, program], ...(peer === undefined ? [] : [peer])];
  return commands.map(([command, ...args]) => variables => {
    rmSync(join(out, "out"), { recursive: true, force: true });
    const options = { cwd: folder, env: { ...env, OUTPUT: "cacheonly", ...variables } };
    return measured(command, [...args, "--progress=plain"], options);
  });
}

/** Targets with a context of 20 files each. */
function project(name, count) {
  const folder = join(work, name);
  const names = Array.from({ length: count }, (_, target) => `t${target}`);
  for (const target of names) {
    for (let file = 0; file < 20; file++) {
      const place = join(folder, target, "src", `d${file % 4}`);
      mkdirSync(place, { recursive: true });
      writeFileSync(join(place, `f${file}.js`), `// ${target} ${file}\n`.repeat(100));
    }
    const lines = ["WORKDIR /app", "RUN echo setup > /etc-setup", "COPY src src", `ENV ID=${target}`];
    writeFileSync(
      join(folder, target, "Dockerfile"),
      [...BASE, ...lines, "RUN find src -type f | sort | xargs cat | md5sum > sum", ""].join("\n"),
    );
  }
  writeBakeFile(folder, names);
  return folder;
}

/** Targets whose first steps are the same; those and the last one of each say that they ran. */
function prefixProject() {
  const folder = join(work, "prefix");
  const names = Array.from({ length: TARGETS }, (_, target) => `t${target}`);
  for (const target of names) {
    mkdirSync(join(folder, target, "src"), { recursive: true });
    writeFileSync(join(folder, target, "src/file"), target);
    const prefix = Array.from(
      { length: PREFIX_STEPS },
      (_, step) => `RUN echo $SALT ${step} ran && sleep 0.05`,
    );
    const own = ["COPY src /src", `RUN echo $SALT ${target} ran && ls /src > /own`];
    writeFileSync(
      join(folder, target, "Dockerfile"),
      [...BASE, "ARG SALT", ...prefix, ...own, ""].join("\n"),
    );
  }
  writeBakeFile(folder, names);
  return folder;
}

function writeBakeFile(folder, names) {
  const target = name => `target "${name}" {
  context = "${name}"
  contexts = { host = "${join(busybox, "..")}" }
  args = { SALT = SALT }
  output = output("${name}")
}
`;
  writeFileSync(
    join(folder, "bake.hcl"),
    `variable "OUTPUT" { default = "cacheonly" }
variable "OUT" { default = "" }
variable "SALT" { default = "" }
function "output" {
  params = [name]
  result = OUTPUT == "local" ? ["type=local,dest=\${OUT}/out/\${name}"] : OUTPUT == "oci" ? ["type=oci,dest=\${OUT}/out/\${name}.tar"] : OUTPUT == "push" ? ["type=image,name=${registry?.host}/\${name}:t,push=true"] : ["type=cacheonly"]
}
group "default" {
  targets = ${JSON.stringify(names)}
}
${names.map(target).join("")}`,
  );
}

/** A registry on a free port, where the program is installed. */
async function startRegistry(folder) {
  const port = await new Promise(settle => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port: free } = server.address();
      server.close(() => settle(free));
    });
  });
  const host = `127.0.0.1:${port}`;
  const file = join(folder, "registry.yml");
  writeFileSync(
    file,
    `version: 0.1\nstorage: {filesystem: {rootdirectory: "${join(folder, "registry")}"}}\nhttp: {addr: "${host}"}\n`,
  );
  const child = spawn("docker-registry", ["serve", file], { stdio: "ignore" });
  const gone = new Promise(settle => child.once("error", settle).once("exit", settle)).then(() => "gone");
  for (;;) {
    const answer = await Promise.race([fetch(`http://${host}/v2/`).catch(() => undefined), gone]);
    if (answer === "gone") {
      console.log("docker-registry is not here: pushes are left out");
      return undefined;
    }
    if (answer?.ok) return { host, child };
    await new Promise(settle => setTimeout(settle, 50));
  }
}
