// Goal: whoever changes something is told which step ran for it, before (plan), while (progress) and after (explain).
import assert from "node:assert/strict";
import { chmodSync, rmSync, symlinkSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bake, bakeOk, baseStage, type Project, target, tempProject } from "../rig/bake.ts";
import { skipWithoutRegistry, startRegistry } from "../rig/registry.ts";

const plain = ["--progress=plain"];

function writeApp(project: Project): void {
  project.write(
    "docker-bake.hcl",
    `variable "VERSION" { default = "1" }
${target("default", `args = { VERSION = VERSION }`, `secret = ["id=token,src=token"]`, `output = ["type=local,dest=out"]`)}`,
  );
  project.write(
    "Dockerfile",
    `${baseStage}
FROM base AS build
COPY src /src
RUN --mount=type=secret,id=token cat /src/* > /both
ARG VERSION
RUN echo $VERSION > /version
FROM scratch
COPY --from=build /both /version /
`,
  );
  project.write("token", "s3cret-value\n");
  project.write("src/a", "a\n");
  project.write("src/b", "b\n");
}

/** Lines of plain progress that tell a reason, by the instruction they belong to. */
function reasons(stderr: string): Readonly<Record<string, string>> {
  const names = new Map([...stderr.matchAll(/^#(\d+) \[.*?\] (.*)$/gm)].map(([, id, name]) => [id, name]));
  return Object.fromEntries(
    [...stderr.matchAll(/^#(\d+) because (.*)$/gm)].map(([, id, text]) => [names.get(id) ?? "", text ?? ""]),
  );
}

interface ReportJson {
  readonly target: Readonly<
    Record<
      string,
      {
        readonly steps: readonly {
          readonly name: string;
          readonly state: string;
          readonly reason?: string;
        }[];
      }
    >
  >;
}

/** States and reasons by the part of a step's name after its stage. */
function states(json: string): Readonly<Record<string, string>> {
  const { target: targets } = JSON.parse(json) as ReportJson;
  return Object.fromEntries(
    (targets["default"]?.steps ?? []).map(({ name, state, reason }) => [
      name.replace(/^\[.*?\] /, ""),
      reason === undefined ? state : `${state}: ${reason}`,
    ]),
  );
}

const COPY = "COPY src /src";
const CAT = "RUN --mount=type=secret,id=token cat /src/* > /both";
const ECHO = "RUN echo 1 > /version";
const LAST = "COPY --from=build /both /version /";

test("in a first build nothing was built before; edited, new and deleted files are named by the build after", async () => {
  using project = tempProject();
  writeApp(project);
  const first = await bakeOk(plain, project);
  assert.deepEqual(new Set(Object.values(reasons(first.stderr))), new Set(["it was not built before"]));
  project.write("src/a", "edited\n");
  project.write("src/new", "n\n");
  rmSync(join(project.cwd, "src/b"));
  const expected = `file "src/a" changed, file "src/new" added, file "src/b" removed`;
  const planned = states((await bakeOk(["plan", "--format", "json"], project)).stdout);
  assert.equal(planned[COPY], `run: ${expected}`);
  assert.equal(planned[LAST], "unknown");
  const { stderr } = await bakeOk(plain, project);
  assert.equal(reasons(stderr)[COPY], expected);
  assert.match(reasons(stderr)[CAT] ?? "", /^\[build 1\/3\] changed$/);
  const explained = states((await bakeOk(["explain", "--format", "json"], project)).stdout);
  assert.equal(explained[COPY], `ran: ${expected}`);
  assert.equal(explained[LAST], `ran: file "both" changed`);
  assert.equal(explained["load build context"], "read");
});

test("a build argument, a command and a secret that changed are named, their values are not", async () => {
  using project = tempProject();
  writeApp(project);
  await bakeOk(plain, project);
  const other = { ...project, env: { VERSION: "hunter2" } };
  const { stdout } = await bakeOk(["plan"], other);
  assert.match(stdout, /RUN {7}\[build 3\/3\] RUN .*\n +because variable "VERSION" changed\n/);
  assert.match(stdout, /CACHED {4}\[build 2\/3\]/);
  project.write("Dockerfile", project.read("Dockerfile").replace("id=token cat", "id=other tac"));
  project.write("docker-bake.hcl", project.read("docker-bake.hcl").replace("id=token", "id=other"));
  const { stderr } = await bakeOk(plain, project);
  assert.equal(
    reasons(stderr)[CAT.replace("id=token cat", "id=other tac")],
    `command changed from "cat /src/* > /both" to "tac /src/* > /both", secret "other" added, secret "token" removed`,
  );
  assert.doesNotMatch(stderr, /s3cret/);
});

test("--fail-on-cache-miss executes nothing and tells what is missing; with everything cached it builds", async () => {
  using project = tempProject();
  writeApp(project);
  const fail = ["--fail-on-cache-miss", ...plain];
  const empty = await bake(fail, project);
  assert.equal(empty.exitCode, 1);
  assert.match(
    empty.stderr,
    /error: step ".*COPY --from=host.*" is not in the cache: it was not built before\n  Dockerfile:2:1 /,
  );
  await bakeOk(plain, project);
  await bakeOk(fail, project);
  project.write("src/a", "edited\n");
  const missed = await bake(fail, project);
  assert.equal(missed.exitCode, 1);
  assert.match(
    missed.stderr,
    /error: step ".*COPY src \/src" is not in the cache: file "src\/a" changed\n  Dockerfile:7:1 /,
  );
  assert.equal(project.read("out/both"), "a\nb\n", "nothing was exported");
  const explained = states((await bakeOk(["explain", "--format", "json"], project)).stdout);
  assert.equal(explained[COPY], "cached", "the last run that ran is told");
  assert.equal(explained[ECHO], "cached");
});

test("explaining before any run says what to do", async () => {
  using project = tempProject();
  writeApp(project);
  const { exitCode, stderr } = await bake(["explain"], project);
  assert.equal(exitCode, 2);
  assert.match(stderr, /there is no run of "default" to explain\n.*build first/);
});

test("a step is compared with its own target's last run, not with what looks the same elsewhere", async () => {
  using project = tempProject();
  writeApp(project);
  await bakeOk(plain, project);
  using other = tempProject();
  writeApp(other);
  other.write("src/a", "of another project\n");
  const first = await bakeOk(plain, { cwd: other.cwd, root: project.root });
  for (const [step, reason] of Object.entries(reasons(first.stderr)))
    assert.equal(reason, "it was not built before", step);
  project.write("src/b", "edited\n");
  const { stderr } = await bakeOk(plain, project);
  assert.equal(reasons(stderr)[COPY], `file "src/b" changed`);
});

test("after a failure a step is compared with when it last succeeded", async () => {
  using project = tempProject();
  writeApp(project);
  await bakeOk(plain, project);
  const good = project.read("Dockerfile");
  project.write("Dockerfile", good.replace("> /both", "> /none; false"));
  assert.equal((await bake(plain, project)).exitCode, 1);
  const failed = states((await bakeOk(["explain", "--format", "json"], project)).stdout);
  assert.match(failed[CAT.replace("> /both", "> /none; false")] ?? "", /^failed: command changed from /);
  project.write("Dockerfile", good.replace("> /both", ">> /both"));
  const { stderr } = await bakeOk(plain, project);
  assert.equal(
    reasons(stderr)[CAT.replace("> /both", ">> /both")],
    `command changed from "cat /src/* > /both" to "cat /src/* >> /both"`,
  );
});

interface Change {
  readonly name: string;
  readonly change: (project: Project) => void;
  readonly args?: readonly string[];
  /** Reasons by the first word of their step, in order, without those of steps further up. */
  readonly told: readonly string[];
}

const inDockerfile =
  (from: string, to: string): Change["change"] =>
  project =>
    project.write("Dockerfile", project.read("Dockerfile").replace(from, to));

/** Each is made upon the ones before. */
const CHANGES: readonly Change[] = [
  { name: "nothing", change: () => undefined, told: [] },
  {
    name: "the mode of a file",
    change: project => chmodSync(join(project.cwd, "src/a"), 0o700),
    told: [`COPY mode of file "src/a" changed to "700"`],
  },
  {
    name: "a link in place of a file",
    change: project => {
      rmSync(join(project.cwd, "src/b"));
      symlinkSync("a", join(project.cwd, "src/b"));
    },
    told: [`COPY file "src/b" changed`],
  },
  {
    name: "the times of files",
    change: project => utimesSync(join(project.cwd, "src/a"), 1_700_000_000, 1_700_000_000),
    told: [],
  },
  {
    name: "a variable",
    change: inDockerfile("COPY src", "ENV LEVEL=1 MODE=fast\nCOPY src"),
    told: [`RUN variables "LEVEL", "MODE" added`],
  },
  {
    name: "the order of variables",
    change: inDockerfile("LEVEL=1 MODE=fast", "MODE=fast LEVEL=1"),
    told: ["RUN the order of its variables changed"],
  },
  {
    name: "the network of a step",
    change: inDockerfile("RUN --mount", "RUN --network=none --mount"),
    told: [`RUN network changed from "sandbox" to "none"`],
  },
  {
    name: "--no-cache",
    change: () => undefined,
    args: ["--no-cache"],
    told: ["COPY the cache is switched off for this step"],
  },
  {
    name: "no-cache-filter",
    change: project => {
      const file = project.read("docker-bake.hcl");
      project.write("docker-bake.hcl", file.replace("secret =", 'no-cache-filter = ["build"]\n  secret ='));
    },
    told: ["COPY the cache is switched off for this step"],
  },
];

test("each kind of change is told as what it is", async () => {
  using project = tempProject();
  writeApp(project);
  await bakeOk(plain, project);
  for (const { name, change, args = [], told } of CHANGES) {
    change(project);
    const { stderr } = await bakeOk([...plain, ...args], project);
    const own = Object.entries(reasons(stderr))
      .filter(([step, reason]) => !step.includes("COPY --from") && !step.includes("busybox") && reason !== "")
      .map(([step, reason]) => `${step.split(" ", 1)[0]} ${reason}`);
    assert.deepEqual(own.slice(0, told.length || 1), told, `${name}\n${stderr}`);
  }
});

test("what was pruned is told as no longer there", async () => {
  using project = tempProject();
  writeApp(project);
  await bakeOk(plain, project);
  await bakeOk(["prune", "--max-used-space", "1"], project);
  const { stderr } = await bakeOk(plain, project);
  assert.equal(reasons(stderr)[COPY], "its result is no longer in the cache");
});

test("plan is told of a parent cgroup as the build is", async () => {
  using project = tempProject();
  writeApp(project);
  await bakeOk(["--cgroup-parent=/llbake-test"], project);
  const plan = async (...flags: readonly string[]): Promise<Readonly<Record<string, string>>> =>
    states((await bakeOk(["plan", ...flags, "--format", "json"], project)).stdout);
  assert.equal((await plan("--cgroup-parent=/llbake-test"))[CAT], "cached");
  assert.match((await plan())[CAT] ?? "", /^run: /);
});

test("plan tells what --no-cache would run", async () => {
  using project = tempProject();
  writeApp(project);
  await bakeOk(plain, project);
  const cached = states((await bakeOk(["plan", "--format", "json"], project)).stdout);
  assert.equal(cached[CAT], "cached");
  const forced = states((await bakeOk(["plan", "--no-cache", "--format", "json"], project)).stdout);
  assert.equal(forced[COPY], "run: the cache is switched off for this step");
});

test("a step that fails now and then runs again: failures are never cached", async () => {
  using project = tempProject();
  writeApp(project);
  project.write(
    "Dockerfile",
    project.read("Dockerfile").replace("cat /src/*", "test -e /src/ready && cat /src/*"),
  );
  assert.equal((await bake(plain, project)).exitCode, 1);
  const again = await bake(plain, project);
  assert.equal(again.exitCode, 1);
  assert.match(again.stderr, /#\d+ because it was not built before/);
  project.write("src/ready", "");
  await bakeOk(plain, project);
});

test("a base image whose tag moved is told with both digests", { skip: skipWithoutRegistry }, async () => {
  await using registry = await startRegistry();
  using base = tempProject();
  const name = `${registry.host}/base:1`;
  const pushBase = async (greeting: string): Promise<void> => {
    base.write("bake.hcl", target("default", `tags = ["${name}"]`, `output = ["type=registry"]`));
    base.write("Dockerfile", `${baseStage}RUN echo ${greeting} > /greeting\n`);
    await bakeOk([], base);
  };
  using project = tempProject();
  project.write("bake.hcl", `target "default" {\n  output = ["type=cacheonly"]\n}\n`);
  project.write("Dockerfile", `FROM ${name}\nRUN cat /greeting > /copy\n`);
  await pushBase("hello");
  await bakeOk(plain, project);
  await pushBase("bonjour");
  const { stdout } = await bakeOk(["plan", "--format", "json"], project);
  const { stderr } = await bakeOk(plain, project);
  const told = Object.values(reasons(stderr));
  assert.match(
    told[0] ?? "",
    /^base image changed from ".*@sha256:[0-9a-f]{12}" to ".*@sha256:[0-9a-f]{12}"$/,
    stderr,
  );
  assert.match(told[1] ?? "", /^\[1\/2\] changed$/, stderr);
  assert.equal(Object.values(states(stdout)).filter(state => state.startsWith("run: ")).length, 2, stdout);
});
