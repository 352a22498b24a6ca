// Goal: what a RUN step may use and what it may not, as a user meets it: mounts, agents, networks, privileges, limits;
// and what each of them says when it is missing. Method: the built program, the host's busybox, a real runtime.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { bake, bakeOk, baseStage, busyboxDir, type Project, startBake, tempProject } from "../rig/bake.ts";

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;

/** An ordinary user's steps have a network of their own only by means of this. */
const canMakeNetwork = isRoot || canWrite("/dev/net/tun");

function canWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

interface Options {
  readonly attributes?: string;
  /** Stages before the one that is built. */
  readonly stages?: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Writes a project whose target builds stage `work` into the folder "out". */
function write(project: Project, steps: string, { attributes = "", stages = "" }: Options = {}): void {
  project.write("Dockerfile", `${baseStage}${stages}FROM base AS work\n${steps}`);
  project.write(
    "docker-bake.hcl",
    `target "default" {
      contexts = { host = "${busyboxDir}" }
      output = ["type=local,dest=out"]
      ${attributes}
    }`,
  );
}

async function build(project: Project, steps: string, options: Options = {}) {
  const { args = [], env = {} } = options;
  write(project, steps, options);
  return await bakeOk(["--progress=plain", ...args], { ...project, env });
}

/** Builds what cannot be built; gives what was said. */
async function refuse(project: Project, steps: string, options: Options = {}) {
  const { args = [], env = {} } = options;
  write(project, steps, options);
  const { exitCode, stderr } = await bake(["--progress=plain", ...args], { ...project, env });
  assert.notEqual(exitCode, 0, stderr);
  // Each error tells the line and the step.
  assert.match(stderr, /Dockerfile:\d+:1/);
  return stderr.slice(stderr.search(/^error: /m));
}

test("cache mounts: their first content, mode and owner; private ones are copies; shared ones are one", async () => {
  using project = tempProject();
  await build(
    project,
    `RUN --mount=type=cache,id=s,from=base,source=bin,target=/c test -e /c/busybox && touch /c/mine && test ! -e /bin/mine
RUN --mount=type=cache,id=t,from=seed,source=/seed,target=/c stat -c '%a %u:%g' /c > /from; cat /c/f >> /from
RUN --mount=type=cache,id=u,target=/c,mode=0711,uid=3,gid=4 stat -c '%a %u:%g' /c > /asked
RUN --mount=type=cache,id=v,target=/a --mount=type=cache,id=v,target=/b touch /a/x && ls /b > /shared
RUN --mount=type=cache,id=p,sharing=private,target=/a --mount=type=cache,id=p,sharing=private,target=/b touch /a/x && ls /b > /private
RUN --mount=type=cache,id=r,target=/c,readonly ! touch /c/x 2>/dev/null && echo denied > /readonly
`,
    {
      stages:
        "FROM base AS seed\nRUN mkdir /seed && echo seeded > /seed/f && chmod 751 /seed && chown 7:8 /seed\n",
    },
  );
  assert.equal(project.read("out/from"), "751 7:8\nseeded\n");
  assert.equal(project.read("out/asked"), "711 3:4\n");
  assert.equal(project.read("out/shared"), "x\n");
  assert.equal(project.read("out/private"), "");
  assert.equal(project.read("out/readonly"), "denied\n");
});

test("a locked cache is one step's at a time, in all processes; a private one is given to both", async () => {
  using project = tempProject();
  const step = (sharing: string, name: string) =>
    `RUN --mount=type=cache,id=l,target=/l,sharing=${sharing} --mount=type=cache,id=gate,target=/gate touch /gate/${name}-in; ` +
    `test -e /l/busy && touch /gate/met; touch /l/busy; until test -e /gate/${name}-go; do sleep 0.01; done; rm /l/busy`;
  const start = (sharing: string, name: string) => {
    write(project, step(sharing, name));
    project.write(`${name}.Dockerfile`, project.read("Dockerfile"));
    return startBake(
      ["--progress=plain", `--set=*.dockerfile=${name}.Dockerfile`, "--set=*.output=type=cacheonly"],
      project,
    );
  };
  for (const [sharing, meets] of [
    ["locked", false],
    ["private", true],
  ] as const) {
    await using first = start(sharing, `${sharing}1`);
    const gate = (): string | undefined => gateOf(project.root);
    await until(() => gate() !== undefined && existsSync(join(gate() ?? "", `${sharing}1-in`)));
    await using second = start(sharing, `${sharing}2`);
    if (meets) await until(() => existsSync(join(gate() ?? "", `${sharing}2-in`)));
    // The second one says that it waits.
    else await second.saw(/wait/i);
    assert.equal(existsSync(join(gate() ?? "", `${sharing}2-in`)), meets);
    for (const name of [`${sharing}1-go`, `${sharing}2-go`])
      execFileSync("touch", [join(gate() ?? "", name)]);
    assert.equal((await first.outcome).exitCode, 0);
    assert.equal((await second.outcome).exitCode, 0);
    assert.equal(existsSync(join(gate() ?? "", "met")), false);
  }
});

/** The folder of the cache "gate". */
function gateOf(root: string): string | undefined {
  const caches = join(root, "cache-mounts");
  if (!existsSync(caches)) return undefined;
  return readdirSync(caches)
    .map(name => join(caches, name))
    .find(folder => existsSync(join(folder, "locked1-in")) || existsSync(join(folder, "private1-in")));
}

async function until(isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!isSo()) {
    assert.ok(Date.now() < deadline, "it does not come");
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}

test("a cache is of one platform", async () => {
  using project = tempProject();
  // The tools are this machine's, which run for any platform.
  await build(
    project,
    "RUN --mount=type=cache,id=c,target=/c,sharing=locked test ! -e /c/x && touch /c/x\n",
    {
      attributes: 'platforms = ["linux/amd64", "linux/arm64"]',
      args: ["--set=*.output=type=cacheonly"],
    },
  );
});

test("bind, tmpfs and secret mounts keep nothing; a tmpfs has its size; secrets have their mode and owner", async () => {
  using project = tempProject();
  project.write("dir/f", "context\n");
  await build(
    project,
    `COPY --from=host busybox /kept
RUN --mount=type=bind,source=dir,target=/m,rw echo changed > /m/f && echo new > /m/new
RUN --mount=type=bind,source=dir,target=/m cat /m/f > /seen && ls /m >> /seen
RUN --mount=type=bind,from=base,target=/b,readonly ! touch /b/x 2>/dev/null && echo denied > /readonly
RUN --mount=type=tmpfs,target=/t,size=1m ! head -c 2m /dev/zero > /t/f 2>/dev/null && stat -c %s /t/f > /size
RUN --mount=type=secret,id=a,target=/s,mode=0440,uid=5,gid=6 stat -c '%a %u:%g' /s > /secret
RUN --mount=type=secret,id=a,env=A --mount=type=secret,id=b,env=B,required=false test "$A" = one && echo "\${B-unset}" > /env
`,
    { attributes: 'secret = ["id=a,env=A_SECRET"]', env: { A_SECRET: "one" } },
  );
  assert.equal(project.read("out/seen"), "context\nf\n");
  assert.equal(project.read("out/readonly"), "denied\n");
  assert.equal(project.read("out/size"), "1048576\n");
  assert.equal(project.read("out/secret"), "440 5:6\n");
  assert.equal(project.read("out/env"), "unset\n");
  for (const folder of ["m", "b", "t", "s"])
    assert.equal(existsSync(join(project.cwd, "out", folder)), false);
  assert.equal(project.read("dir/f"), "context\n");
});

test("secrets of one id are each target's own", async () => {
  using project = tempProject();
  project.write(
    "Dockerfile",
    `${baseStage}ARG NAME\nRUN --mount=type=secret,id=s,target=/s,required echo "$NAME $(cat /s)" > /out\n`,
  );
  const target = (name: string): string => `target "${name}" {
      contexts = { host = "${busyboxDir}" }
      args = { NAME = "${name}" }
      secret = ["id=s,env=${name}"]
      output = ["type=local,dest=out/${name}"]
    }\n`;
  project.write("docker-bake.hcl", `group "default" { targets = ["A", "B"] }\n${target("A")}${target("B")}`);
  await bakeOk([], { ...project, env: { A: "first", B: "second" } });
  assert.equal(project.read("out/A/out"), "A first\n");
  assert.equal(project.read("out/B/out"), "B second\n");
});

test("a secret is nowhere afterwards: state, outputs, images, events", async () => {
  using project = tempProject();
  const secret = `hunter2-${process.pid}-${Date.now()}`;
  write(
    project,
    `RUN --mount=type=secret,id=s,target=/s --mount=type=secret,id=s,env=S test "$(cat /s)" = "$S" && echo "$S" && wc -c < /s > /length\n`,
    { attributes: `secret = ["id=s,env=THE_SECRET"]` },
  );
  for (const mode of ["plain", "rawjson"]) {
    const { stdout, stderr } = await bakeOk(
      [
        `--progress=${mode}`,
        "--set=*.output=type=oci,dest=image.tar",
        "--metadata-file=meta.json",
        "--no-cache",
      ],
      { ...project, env: { THE_SECRET: secret } },
    );
    assert.deepEqual(formsIn(Buffer.from(stdout + stderr), secret), []);
  }
  // Also when the step fails.
  write(project, `RUN --mount=type=secret,id=s,env=S echo "again $S"; exit 3\n`, {
    attributes: `secret = ["id=s,env=THE_SECRET"]`,
  });
  const { stderr } = await bake([], { ...project, env: { THE_SECRET: secret } });
  assert.match(stderr, /exit code 3/);
  assert.deepEqual(formsIn(Buffer.from(stderr), secret), []);
  const found: string[] = [];
  let files = 0;
  for (const path of filesBelow(project.root, project.cwd)) {
    files++;
    const bytes = readFileSync(path);
    const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
    for (const form of formsIn(bytes, secret)) found.push(`${path}: ${form}`);
    if (isGzip) for (const form of formsIn(gunzipSync(bytes), secret)) found.push(`${path}: ${form} in gzip`);
  }
  assert.deepEqual(found, []);
  assert.ok(files > 10);
});

test("a secret is on no disk while its step runs, whatever ends the build", async () => {
  using project = tempProject();
  const secret = `hunter3-${process.pid}-${Date.now()}`;
  write(
    project,
    `RUN --mount=type=secret,id=s,target=/s --mount=type=secret,id=s,env=S mkfifo /go && echo ready && cat /go\n`,
    { attributes: `secret = ["id=s,env=THE_SECRET"]` },
  );
  await using running = startBake(["--progress=plain"], { ...project, env: { THE_SECRET: secret } });
  await running.saw(/^#\d+ [\d.]+ ready$/m);
  const onDisk = (): string =>
    execFileSync("find", [project.root, "-xdev", "-type", "f", "-exec", "grep", "-laF", secret, "{}", "+"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
  assert.throws(onDisk, { status: 1, stdout: "" });
  running.kill("SIGKILL");
  await running.outcome;
  assert.throws(onDisk, { status: 1, stdout: "" });
  // The next one sweeps.
  await bakeOk(["--print"], project);
  write(project, "RUN true\n");
  await bakeOk([], project);
});

/** The forms of a text that occur in bytes: as it is, and in base64 at each of the three alignments. */
function formsIn(bytes: Buffer, text: string): readonly string[] {
  const base64 = [0, 1, 2].map(shift => {
    const encoded = Buffer.from("x".repeat(shift) + text).toString("base64");
    return encoded.slice(shift === 0 ? 0 : shift + 1, encoded.length - 4);
  });
  return [text, encodeURIComponent(text), ...base64].filter(form => bytes.includes(form));
}

function filesBelow(...folders: readonly string[]): readonly string[] {
  return folders.flatMap(folder =>
    readdirSync(folder, { withFileTypes: true, recursive: true })
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath, entry.name)),
  );
}

const hasSsh =
  spawnSync("ssh-keygen", ["-?"]).error === undefined && spawnSync("ssh-add", ["-?"]).error === undefined;
const withSsh = { skip: hasSsh ? false : "OpenSSH is not installed" };

test(
  "ssh agents: key files and a forwarded agent, several ids, where the step wants them",
  withSsh,
  async () => {
    using project = tempProject();
    const key = (name: string, ...args: readonly string[]): Promise<unknown> =>
      run("ssh-keygen", ["-q", "-N", "", "-C", name, "-f", join(project.cwd, name), ...args]);
    await Promise.all([
      key("one", "-t", "ed25519"),
      key("two", "-t", "rsa", "-b", "2048"),
      key("users", "-t", "ecdsa"),
    ]);
    const { stdout } = await run("ssh-agent", ["-s"]);
    const agentPid = Number(/SSH_AGENT_PID=(\d+)/.exec(stdout)?.[1]);
    try {
      const env = { SSH_AUTH_SOCK: /SSH_AUTH_SOCK=([^;]+)/.exec(stdout)?.[1] ?? "" };
      await run("ssh-add", [join(project.cwd, "users")], { env: { ...process.env, ...env } });
      const marker = `waits-${process.pid}`;
      write(
        project,
        `RUN --mount=type=ssh,id=keys --mount=type=ssh,target=/agent,mode=0666,uid=4 --mount=type=ssh,id=none,target=/none \\
  echo $SSH_AUTH_SOCK > /where; stat -c '%F %a %u' /agent >> /where; test -e /none || echo none >> /where; \\
  mkfifo /${marker} && echo ready && cat /${marker} && rm /${marker}
`,
        { attributes: 'ssh = ["default", "keys=one,two"]' },
      );
      await using running = startBake(["--progress=plain", "--allow=ssh"], { ...project, env });
      await running.saw(/^#\d+ [\d.]+ ready$/m);
      // It has said that it is ready before it waits.
      await until(() => pidOf(`/${marker}`) !== undefined);
      const inside = `/proc/${pidOf(`/${marker}`)}/root`;
      const ask = async (socket: string, ...args: readonly string[]): Promise<string> =>
        (await run("ssh-add", args, { env: { ...process.env, SSH_AUTH_SOCK: join(inside, socket) } })).stdout;
      assert.match(await ask("run/buildkit/ssh_agent.0", "-l"), /one \(ED25519\)\n.*two \(RSA\)\n$/);
      assert.match(await ask("agent", "-l"), /users \(ECDSA\)\n$/);
      // Signatures are made, the user's agent keeps its keys.
      await ask("agent", "-T", join(project.cwd, "users.pub"));
      await assert.rejects(ask("agent", "-D"), /Failed to remove/);
      assert.match(await ask("agent", "-l"), /users/);
      execFileSync("sh", ["-c", `echo > ${inside}/${marker}`]);
      const { exitCode, stderr } = await running.outcome;
      assert.equal(exitCode, 0, stderr);
      assert.equal(project.read("out/where"), "/run/buildkit/ssh_agent.0\nsocket 666 4\nnone\n");
    } finally {
      process.kill(agentPid);
    }
  },
);

/** The process of a step that has this argument. */
function pidOf(argument: string): string | undefined {
  return readdirSync("/proc").find(entry => {
    try {
      return (
        /^\d+$/.test(entry) && readFileSync(`/proc/${entry}/cmdline`, "utf8").split("\0").includes(argument)
      );
    } catch {
      return false;
    }
  });
}

test("what is not given is told before the command runs", async () => {
  using project = tempProject();
  assert.match(
    await refuse(project, "RUN --mount=type=ssh,required true\n"),
    /needs the ssh agent "default"[^]*target "default"[^]*add ssh = \["default"\]/,
  );
  assert.match(
    await refuse(project, "RUN --mount=type=secret,id=x,required true\n"),
    /needs the secret "x"[^]*add secret = /,
  );
  assert.match(
    await refuse(project, "USER nobody-here\nRUN true\n"),
    /cannot run as user "nobody-here"[^]*create the user/,
  );
  assert.match(await refuse(project, "RUN nonesuch\n"), /exit code 127[^]*not found/);
});

test("the host's network, privilege and devices need their entitlement", async () => {
  using project = tempProject();
  // Which namespace, not which interfaces: those of the machine come and go meanwhile.
  const steps = `RUN --network=host readlink /proc/self/ns/net > /host
RUN --security=insecure mount -t tmpfs x /mnt && grep -c ' /mnt tmpfs' /proc/mounts > /mounted${isRoot ? " && touch /proc/sys/kernel/domainname" : ""}
`;
  const said = await refuse(project, `RUN mkdir /mnt\n${steps}`);
  assert.match(said, /asks for the host's network, which was not granted[^]*--allow=network\.host/);
  assert.match(said, /asks to run privileged, which was not granted[^]*--allow=security\.insecure/);
  await build(project, `RUN mkdir /mnt\n${steps}`, {
    args: ["--allow=network.host", "--allow=security.insecure"],
  });
  assert.equal(project.read("out/mounted"), "1\n");
  assert.equal(project.read("out/host").trim(), readlinkSync("/proc/self/ns/net"));
  // As an attribute of the target it is the bake file that asks, and the user who has to grant.
  write(project, "RUN true\n", { attributes: `network = "host"` });
  const refused = await bake([], project);
  assert.match(refused.stderr, /--allow=network\.host/);
});

test("steps reach neither what listens on the machine's loopback nor, without network, anything", async t => {
  if (
    spawnSync("sh", [
      "-c",
      "command -v pasta || command -v slirp4netns || { command -v ip && command -v iptables; }",
    ]).status !== 0
  )
    return t.skip("nothing here gives steps a network of their own");
  using project = tempProject();
  const server = createServer(socket => socket.on("error", () => undefined).end("reached\n"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    // Who answers may be kept waiting for the processor; where nobody does, nothing is waited for.
    const ask = `nc -w 30 127.0.0.1 ${(server.address() as AddressInfo).port} </dev/null`;
    const { stderr } = await build(
      project,
      `RUN ${ask} > /default 2>/dev/null; ls /sys/class/net | wc -l >> /default
RUN --network=none ${ask} > /none 2>/dev/null; ls /sys/class/net >> /none
RUN --network=host ${ask} > /host
`,
      { args: ["--allow=network.host"] },
    );
    const isShared = stderr.includes("warning: steps share the network of this machine");
    assert.equal(isShared, !canMakeNetwork, stderr);
  } finally {
    server.close();
  }
  if (canMakeNetwork) assert.equal(project.read("out/default"), "2\n");
  else t.diagnostic("this user may not open /dev/net/tun: steps share the network, which is told");
  assert.equal(project.read("out/none"), "lo\n");
  assert.equal(project.read("out/host"), "reached\n");
});

test("a step that takes too long is stopped, and says so", async () => {
  using project = tempProject();
  // What it builds upon may take its time. One that is not stopped outlives the limit of the process, and says nothing.
  await build(project, "RUN true\n");
  assert.match(
    await refuse(project, "RUN echo begun; sleep 86400\n", { args: ["--step-timeout=1s"] }),
    /took longer than 1s: echo begun; sleep 86400[^]*--step-timeout gives steps more time/,
  );
  await build(project, "RUN true\n", { args: ["--step-timeout=1h"] });
});

const hasLimits = existsSync("/sys/fs/cgroup/memory") || existsSync("/sys/fs/cgroup/cgroup.controllers");

test(
  "limits of memory: a step beyond them is stopped, and says which",
  { skip: !isRoot ? "limits need root" : hasLimits ? false : "no cgroups" },
  async () => {
    using project = tempProject();
    const eat = "RUN x=$(head -c 200m /dev/zero | tr '\\0' x); echo too far\n";
    assert.match(
      await refuse(project, eat, { attributes: 'resources = { memory = "48m" }' }),
      /out of memory \(limit 48 MiB\)[^]*raise the limit/,
    );
    assert.match(await refuse(project, eat, { args: ["--memory=40m"] }), /out of memory \(limit 40 MiB\)/);
    await build(project, "RUN true\n", { args: ["--cpus=1.5", "--memory=1g"] });
  },
);

test("a step has the usual umask and hosts, sees its own groups alone, and leaves no mount points", async () => {
  using project = tempProject();
  await build(project, "RUN umask > /umask; cat /proc/self/cgroup > /cgroup; cat /etc/hosts > /hosts\n");
  assert.equal(project.read("out/umask"), "0022\n");
  assert.match(project.read("out/hosts"), /^127\.0\.0\.1\s+localhost/);
  // Every line is the root of a namespace: the machine's groups are not seen.
  for (const line of project.read("out/cgroup").trim().split("\n")) assert.match(line, /^\d+:[^:]*:\/$/);
  assert.deepEqual(
    ["proc", "sys", "dev", "run"].filter(name => existsSync(join(project.cwd, "out", name))),
    [],
  );
});
