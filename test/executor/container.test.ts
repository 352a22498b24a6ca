// Goal: a step runs as it would in any engine, and whatever ends it, nothing of it stays. Method: real runtimes, a
// root made of a static busybox.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { openOwner, type Owner } from "../../src/content/lease.ts";
import { openStateRoot } from "../../src/content/root.ts";
import { BakeError } from "../../src/diagnostic/error.ts";
import { createExecutor } from "../../src/executor/container.ts";
import type { Executor, ProcessSpec, RootSpec } from "../../src/executor/executor.ts";
import { openSnapshotter } from "../../src/snapshot/open.ts";
import { mountsBelow } from "../rig/mounts.ts";
import { containerProblem, makeBusyboxRoot, openStateDir, temporaryFolder } from "../rig/statedir.ts";

interface Step extends Partial<ProcessSpec> {
  readonly mounts?: RootSpec["mounts"];
  readonly readonly?: boolean;
  readonly signal?: AbortSignal;
  readonly onOutput?: (text: string) => void;
}

interface StepEnd {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

interface Bench {
  readonly rootfs: string;
  readonly folder: string;
  readonly state: string;
  readonly run: (script: string | readonly string[], step?: Step) => Promise<StepEnd>;
  /** Ends what runs the steps. */
  readonly close: () => Promise<void>;
}

/** Seconds that no other process sleeps for. */
const LONG = `9${String(process.pid).padStart(8, "0")}`;

function problemWith(runtime: string): string | undefined {
  const problem = containerProblem();
  if (problem !== undefined) return problem;
  try {
    execFileSync("sh", ["-c", `PATH=$PATH:/usr/sbin command -v ${runtime}`], { stdio: "pipe" });
    return undefined;
  } catch {
    return `${runtime} is not installed`;
  }
}

/** The bundles of containers that were begun. */
function bundlesOf(owner: Owner): readonly string[] {
  const folder = join(owner.path, "bundles");
  return readdirSync(folder).filter(name => !hasFifo(join(folder, name)));
}

/** Whether these are the words of a runtime that waits for a container. */
function waits(words: string): boolean {
  return words.split("\0").some(word => /\/bundles\/[^/]+$/.test(word) && hasFifo(word));
}

/** A bundle has a FIFO where the configuration is to be until there is something to run. */
function hasFifo(bundle: string): boolean {
  return lstatSync(join(bundle, "config.json"), { throwIfNoEntry: false })?.isFIFO() === true;
}

for (const runtime of ["crun", "runc"]) {
  const skip = problemWith(runtime) ?? false;
  const inContainer = (name: string, body: (bench: Bench) => Promise<void>): void => {
    test(`${runtime}: ${name}`, { skip }, async t => {
      const { root, owner } = await openStateDir(t);
      const folder = temporaryFolder(t);
      const rootfs = join(folder, "rootfs");
      makeBusyboxRoot(rootfs);
      const executor = await createExecutor({ root, owner, runtime });
      await body({
        rootfs,
        folder,
        state: root.path,
        run: (script, step) => runStep(executor, rootfs, script, step),
        close: async () => await owner[Symbol.asyncDispose](),
      });
      if (existsSync(owner.path)) assert.deepEqual(bundlesOf(owner), []);
      assert.deepEqual(
        containersOf(owner.name).filter(words => !waits(words)),
        [],
      );
      await owner[Symbol.asyncDispose]();
      assert.deepEqual(containersOf(owner.name), []);
      assert.deepEqual(mountsBelow(root.path), []);
      assert.deepEqual(cgroupsOf(owner.name), []);
    });
  };

  inContainer("exit code, environment, folder and streams are the command's", async ({ run }) => {
    const result = await run("echo out $NAME $(pwd); echo err >&2; exit 7", {
      env: ["PATH=/bin", "NAME=value"],
      cwd: "/tmp",
    });
    assert.deepEqual(result, { exitCode: 7, out: "out value /tmp\n", err: "err\n" });
    assert.equal((await run("no-such-command")).exitCode, 127);
    assert.equal((await run("read x; echo [$x]")).out, "[]\n", "input is empty");
    assert.equal((await run("umask")).out, "0022\n");
  });

  inContainer(
    "users by name bring their groups; numbers need no entry; unknown names are told",
    async ({ run }) => {
      assert.match((await run("id", { user: "builder" })).out, /uid=1000\S* gid=1001\S* groups=.*10.*44/);
      assert.match((await run("id", { user: "builder:video" })).out, /uid=1000\S* gid=44/);
      assert.match((await run("id", { user: "4711" })).out, /uid=4711 gid=0/);
      assert.match((await run("id", { user: "4711:12" })).out, /uid=4711 gid=12/);
      await assert.rejects(run("id", { user: "nobody-here" }), {
        code: "step-failed",
        message: /"nobody-here"/,
      });
    },
  );

  inContainer("passwd is not read through links out of the root", async ({ run, rootfs, folder }) => {
    writeFileSync(join(folder, "passwd"), "spy:x:7:7::/:/bin/sh\n");
    rmSync(join(rootfs, "etc/passwd"));
    symlinkSync("../../passwd", join(rootfs, "etc/passwd"));
    await assert.rejects(run("id", { user: "spy" }), { code: "step-failed" });
  });

  inContainer("a program that is missing or cannot run is told in words", async ({ run, rootfs }) => {
    rmSync(join(rootfs, "bin/sh"));
    writeFileSync(join(rootfs, "bin/script"), "#!/bin/perl\n", { mode: 0o755 });
    writeFileSync(join(rootfs, "bin/data"), "data", { mode: 0o644 });
    const rejects = (args: readonly string[], message: RegExp): Promise<void> =>
      assert.rejects(run(args), thrown => {
        assert.ok(thrown instanceof BakeError, String(thrown));
        assert.equal(thrown.code, "step-failed");
        assert.match(`${thrown.message}; ${thrown.diagnostics[0]?.hint ?? ""}`, message);
        return true;
      });
    await rejects(["/bin/sh", "-c", "true"], /"\/bin\/sh": not found in the image; the image has no shell/);
    await rejects(["nope"], /"nope": not found in the image; check its spelling/);
    await rejects(["/bin/script"], /interpreter or loader/);
    await rejects(["/bin/data"], /not an executable file/);
  });

  inContainer("mounts: read-only bind, writable bind, tmpfs of a size", async ({ run, folder }) => {
    mkdirSync(join(folder, "in"));
    writeFileSync(join(folder, "in/f"), "given");
    mkdirSync(join(folder, "out"));
    const result = await run(
      "cat /in/f; echo x > /in/f; echo made > /out/f; stat -f -c %b:%S /tmpfs; cat /deep/er/f",
      {
        mounts: [
          { type: "bind", source: join(folder, "in"), dest: "/in", readonly: true },
          { type: "bind", source: join(folder, "out"), dest: "/out", readonly: false },
          { type: "tmpfs", dest: "/tmpfs", sizeBytes: 65536 },
          { type: "bind", source: join(folder, "in/f"), dest: "/deep/er/f", readonly: true },
        ],
      },
    );
    assert.equal(result.out, "given16:4096\ngiven");
    assert.match(result.err, /Read-only file system/);
    assert.equal(readFileSync(join(folder, "out/f"), "utf8"), "made\n");
    assert.equal(readFileSync(join(folder, "in/f"), "utf8"), "given");
  });

  inContainer(
    "mount points made for the step are gone, its own files and the times of folders stay",
    async ({ run, rootfs, folder }) => {
      const before = readdirSync(rootfs);
      const time = new Date("2020-01-01T00:00:00Z");
      for (const path of ["etc", "."]) utimesSync(join(rootfs, path), time, time);
      writeFileSync(join(folder, "f"), "");
      const mounts: RootSpec["mounts"] = [
        { type: "bind", source: join(folder, "f"), dest: "/a/b/f", readonly: true },
        { type: "tmpfs", dest: "/etc/t" },
      ];
      await run("true", { mounts });
      assert.deepEqual(readdirSync(rootfs), before);
      assert.deepEqual(readdirSync(join(rootfs, "etc")).sort(), ["group", "passwd"]);
      assert.deepEqual(statSync(rootfs).mtime, time);
      assert.deepEqual(statSync(join(rootfs, "etc")).mtime, time);
      await run("echo kept > /a/kept", { mounts });
      assert.deepEqual(readdirSync(join(rootfs, "a")), ["kept"]);
    },
  );

  inContainer("hosts, host name and networks", async ({ run }) => {
    const result = await run("cat /etc/hosts; cat /proc/sys/kernel/hostname", {
      hostname: "box",
      extraHosts: [{ host: "db", ip: "10.1.2.3" }],
    });
    assert.match(result.out, /127\.0\.0\.1\tlocalhost box\n[^]*10\.1\.2\.3\tdb\nbox\n$/);
    // Which namespace, not which interfaces: those of the machine come and go meanwhile.
    const namespace = async (network: ProcessSpec["network"]): Promise<string> =>
      (await run("readlink /proc/self/ns/net", { network })).out.trim();
    const own = readlinkSync("/proc/self/ns/net");
    assert.equal(await namespace("host"), own);
    assert.notEqual(await namespace("none"), own);
    assert.equal((await run("grep -c : /proc/net/dev", { network: "none" })).out.trim(), "1");
  });

  inContainer("a read-only root cannot be written", async ({ run, rootfs }) => {
    for (const folder of ["proc", "sys", "dev"]) mkdirSync(join(rootfs, folder));
    for (const file of ["hosts", "resolv.conf"]) writeFileSync(join(rootfs, "etc", file), "");
    assert.match((await run("echo x > /f", { readonly: true })).err, /Read-only file system/);
  });

  inContainer("the machine is out of reach unless the step is insecure", async ({ run }) => {
    assert.match((await run("grep ^Seccomp: /proc/self/status")).out, /2/);
    assert.match((await run("unshare -m true")).err, /Operation not permitted/);
    // A node may be made, as in every engine, but what it stands for is not there.
    const secure = await run(
      "mknod /disk b 8 0 && head -c 1 /disk; mount -t tmpfs x /tmp; echo x > /proc/sys/kernel/domainname; head -c 1 /proc/kcore | wc -c; umask",
    );
    assert.match(secure.err, /head: \/disk: Operation not permitted\n[^]*mount: [^]*Read-only file system/);
    assert.equal(secure.out, "0\n0022\n");
    assert.match((await run("mknod /null c 1 3 && echo made")).out, /made/);
    const insecure = await run("mount -t tmpfs x /tmp && echo mounted", { insecure: true });
    assert.deepEqual(insecure, { exitCode: 0, out: "mounted\n", err: "" });
  });

  inContainer("a step goes below the cgroup it names, which is left as it was found", async bench => {
    const { run, folder } = bench;
    const parent = `llbaketest-${process.pid}-${runtime}`;
    const found = join(`/sys/fs/cgroup/${existsSync("/sys/fs/cgroup/pids") ? "pids" : ""}`, parent);
    mkdirSync(found);
    try {
      for (const name of [parent, `/${parent}-new/inner/`]) {
        execFileSync("mkfifo", [join(folder, "go")]);
        let seen = "";
        const { out } = await run(["/bin/sh", "-c", "cat /proc/self/cgroup; cat /shared/go; true", parent], {
          cgroupParent: name,
          mounts: [{ type: "bind", source: folder, dest: "/shared", readonly: true }],
          onOutput: text => {
            if (seen !== "" || !text.includes(":/")) return;
            seen = cgroupOf(parent);
            writeFileSync(join(folder, "go"), "end");
          },
        });
        const path = join("/", name, "llbake-[0-9a-f-]+");
        assert.match(seen, new RegExp(`:${path}/`), "seen from the machine");
        assert.doesNotMatch(out, new RegExp(parent), "its own is the top");
        rmSync(join(folder, "go"));
      }
      await assert.rejects(run("true", { cgroupParent: "../other" }), { code: "not-supported" });
    } finally {
      await bench.close();
      const left = readdirSync(found, { withFileTypes: true }).filter(entry => entry.isDirectory());
      assert.deepEqual(left, []);
      rmdirSync(found);
    }
    assert.deepEqual([...cgroupsNamed(parent), ...cgroupsNamed(`${parent}-new`)], []);
  });

  inContainer("a background process ends with the step", async ({ run }) => {
    const result = await run(`setsid sleep ${LONG} & echo started`);
    assert.deepEqual(result, { exitCode: 0, out: "started\n", err: "" });
    assert.equal(processesWith(LONG), 0);
  });

  inContainer("an abort kills the whole container at once", async ({ run }) => {
    const controller = new AbortController();
    let abortedAt = 0;
    const running = run(`trap '' TERM INT; sleep ${LONG} & setsid sleep ${LONG} & echo ready; wait; wait`, {
      signal: controller.signal,
      onOutput: text => {
        if (!text.includes("ready")) return;
        abortedAt = Date.now();
        controller.abort();
      },
    });
    await assert.rejects(running, { name: "AbortError" });
    assert.ok(Date.now() - abortedAt < 10_000, `took ${Date.now() - abortedAt} ms`);
    assert.equal(processesWith(LONG), 0);
    await assert.rejects(run("true", { signal: controller.signal }), { name: "AbortError" });
  });

  inContainer("output arrives while the command runs, bytes unaltered", async ({ run, folder }) => {
    mkdirSync(join(folder, "gate"));
    let seen = "";
    const result = await run(
      "echo first; until test -e /gate/open; do sleep 0.01; done; cat /bin/busybox | wc -c",
      {
        mounts: [{ type: "bind", source: join(folder, "gate"), dest: "/gate", readonly: true }],
        onOutput: text => {
          seen += text;
          if (seen === "first\n") writeFileSync(join(folder, "gate/open"), "");
        },
      },
    );
    assert.equal(result.out, `first\n${statSync("/bin/busybox").size}\n`);
  });

  for (const parent of ["", `llbaketest-killed-${process.pid}-${runtime}`])
    test(
      `${runtime}: after kill -9 of the process that runs a step${parent && " below a cgroup"}, the next one leaves nothing of it`,
      { skip },
      async t => {
        const { root, owner } = await openStateDir(t);
        const script = fileURLToPath(new URL("./steprunner.ts", import.meta.url));
        const child = spawn(process.execPath, ["--import", "tsx", script, root.path, runtime, LONG, parent], {
          stdio: ["ignore", "pipe", "inherit"],
        });
        const first = await Promise.race([
          once(child.stdout, "data").then(([line]) => String(line)),
          once(child, "exit").then(() => assert.fail("no step")),
        ]);
        const dead = first.trim();
        assert.notDeepEqual(mountsBelow(root.path), []);
        assert.notDeepEqual(containersOf(dead), []);
        if (parent !== "") assert.notDeepEqual(cgroupsNamed(parent), []);
        child.kill("SIGKILL");
        await once(child, "exit");
        await using next = await openOwner(root);
        assert.deepEqual(mountsBelow(root.path), []);
        // Neither the runtime nor what gave the step a network.
        assert.deepEqual(
          commandLines().filter(line => line.includes(dead)),
          [],
        );
        assert.deepEqual(cgroupsOf(dead), []);
        if (parent !== "") assert.deepEqual(cgroupsNamed(parent), []);
        assert.equal(processesWith(LONG), 0);
        assert.deepEqual(readdirSync(root.owners).sort(), [owner.name, next.name].sort());
      },
    );
}

test("a runtime that is not there is told, with what to install", async t => {
  const { root, owner } = await openStateDir(t);
  await assert.rejects(createExecutor({ root, owner, runtime: "nope" }), {
    code: "runtime-missing",
    message: 'OCI runtime "nope" not found',
  });
});

test(
  "a runtime that cannot start containers is told with its own words",
  { skip: containerProblem() ?? false },
  async t => {
    const { root, owner } = await openStateDir(t);
    const broken = join(temporaryFolder(t), "broken");
    writeFileSync(broken, "#!/bin/sh\necho kernel too old >&2\nexit 1\n", { mode: 0o755 });
    await assert.rejects(createExecutor({ root, owner, runtime: broken }), {
      code: "runtime-missing",
      message: /kernel too old/,
    });
  },
);

test(
  "a snapshot of a step holds what the step did, nothing else",
  { skip: problemWith("runc") ?? false },
  async t => {
    const { root, owner } = await openStateDir(t);
    const snapshots = await openSnapshotter(await openStateRoot(root.path), owner);
    await using base = await snapshots.prepare(undefined);
    makeBusyboxRoot(base.root);
    const executor = await createExecutor({ root, owner });
    await using step = await snapshots.prepare(await base.commit());
    await runStep(executor, step.root, "echo x > /tmp/made");
    await using found = await snapshots.changes(await step.commit());
    assert.deepEqual(
      found.changes.map(change => change.path).filter(path => path !== "etc" && path !== "tmp"),
      ["tmp/made"],
    );
  },
);

async function runStep(
  executor: Executor,
  rootfs: string,
  script: string | readonly string[],
  { mounts = [], readonly = false, signal = AbortSignal.timeout(60_000), onOutput, ...process }: Step = {},
): Promise<StepEnd> {
  const text = { 1: "", 2: "" };
  const args = typeof script === "string" ? ["/bin/sh", "-c", script] : script;
  const spec = {
    args,
    env: ["PATH=/bin"],
    cwd: "/",
    user: "",
    network: "none" as const,
    insecure: false,
    ...process,
  };
  const { exitCode } = await executor.run(
    spec,
    { path: rootfs, readonly, mounts },
    {
      signal,
      onOutput: (stream, data) => {
        text[stream] += Buffer.from(data).toString();
        onOutput?.(Buffer.from(data).toString());
      },
    },
  );
  return { exitCode, out: text[1], err: text[2] };
}

/** Runtimes that run a container of this owner. */
function containersOf(owner: string): readonly string[] {
  return commandLines().filter(line => line.includes(`${owner}/runtime`));
}

function processesWith(argument: string): number {
  return commandLines().filter(line => line.split("\0").includes(argument)).length;
}

function commandLines(): readonly string[] {
  return readdirSync("/proc").flatMap(entry => {
    if (!/^[0-9]+$/.test(entry)) return [];
    try {
      return [readFileSync(`/proc/${entry}/cmdline`, "utf8")];
    } catch {
      return [];
    }
  });
}

function cgroupsOf(owner: string): readonly string[] {
  return cgroupsNamed(`llbake-${owner}`);
}

function cgroupsNamed(name: string): readonly string[] {
  return ["", ...readdirSync("/sys/fs/cgroup")]
    .map(hierarchy => join("/sys/fs/cgroup", hierarchy, name))
    .filter(path => existsSync(path));
}

/** The cgroups of the process that has an argument, as the machine sees them. */
function cgroupOf(argument: string): string {
  const pid = readdirSync("/proc").find(entry => {
    try {
      return (
        /^[0-9]+$/.test(entry) &&
        readFileSync(`/proc/${entry}/cmdline`, "utf8").split("\0").includes(argument)
      );
    } catch {
      return false;
    }
  });
  return pid === undefined ? "" : readFileSync(`/proc/${pid}/cgroup`, "utf8");
}
