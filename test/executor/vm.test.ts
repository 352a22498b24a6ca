// Goal: a step in a virtual machine does what it does in a container, on another kernel, and nothing of the machine is
// left. Method: QEMU, virtiofsd and a kernel of the distribution; skipped where they are not (setup.mjs --tests --vm).
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Owner } from "../../src/content/lease.ts";
import { BakeError } from "../../src/diagnostic/error.ts";
import { cpioArchive } from "../../src/executor/cpio.ts";
import type { Executor, ProcessSpec, RootSpec, RunOptions } from "../../src/executor/executor.ts";
import { createVmExecutor } from "../../src/executor/vm.ts";
import { findVmParts } from "../../src/executor/vmparts.ts";
import { projectRoot } from "../rig/sourcetree.ts";
import { containerProblem, makeBusyboxRoot, openStateDir, temporaryFolder } from "../rig/statedir.ts";

const fetched = join(projectRoot, ".cache", "kernel");
const kernelFolder = existsSync(fetched) ? fetched : "/";

function vmProblem(): string | false {
  if (process.arch !== "x64") return "virtual machines for steps are for amd64 only";
  try {
    findVmParts({ searchPath: process.env["PATH"] ?? "", kernelFolder });
  } catch (thrown) {
    return `${BakeError.from(thrown).message} (node scripts/setup.mjs --tests --vm)`;
  }
  return containerProblem() ?? false;
}
const skip = vmProblem();

const command = (script: string, more: Partial<ProcessSpec> = {}): ProcessSpec => ({
  args: ["/bin/sh", "-c", script],
  env: ["PATH=/bin", "GREETING=hello  world"],
  cwd: "/work",
  user: "",
  network: "none",
  insecure: false,
  ...more,
});

interface Bench {
  readonly executor: Executor;
  readonly root: string;
  readonly folder: string;
  readonly owner: Owner;
  /** Runs a command to its end. */
  readonly run: (
    spec: ProcessSpec,
    mounts?: RootSpec["mounts"],
    options?: Partial<RunOptions>,
  ) => Promise<{ readonly exitCode: number; readonly out: string; readonly err: string }>;
}

async function openBench(t: TestContext): Promise<Bench> {
  const { root, owner } = await openStateDir(t);
  const folder = temporaryFolder(t);
  const rootfs = join(folder, "root");
  makeBusyboxRoot(rootfs);
  const executor = await createVmExecutor({ root, owner, kernelFolder, accelerator: "tcg" });
  return {
    executor,
    root: rootfs,
    folder,
    owner,
    async run(spec, mounts = [], options = {}) {
      const said = { 1: "", 2: "" };
      const { exitCode } = await executor.run(
        spec,
        { path: rootfs, readonly: false, mounts },
        {
          signal: AbortSignal.timeout(60_000),
          onOutput: (stream, data) => (said[stream] += Buffer.from(data).toString()),
          ...options,
        },
      );
      assert.deepEqual(readdirSync(join(owner.path, "bundles")), []);
      return { exitCode, out: said[1], err: said[2] };
    },
  };
}

test(
  "a command has its output, exit code, mounts and network apart, and changes the root",
  { skip },
  async t => {
    const { run, root, folder } = await openBench(t);
    writeFileSync(join(folder, "secret"), "s3cret\n");
    mkdirSync(join(folder, "lent"));
    const script = `cat /proc/version; echo "$GREETING"; pwd; id -u; cat /run/secret; echo oops >&2
    mkdir /made && chown 33:34 /made 2>/dev/null; echo kept > /lent/file; echo gone > /t/file; cat /proc/net/dev; exit 7`;
    const { exitCode, out, err } = await run(command(script), [
      { type: "bind", source: join(folder, "secret"), dest: "/run/secret", readonly: true },
      { type: "bind", source: join(folder, "lent"), dest: "/lent", readonly: false },
      { type: "tmpfs", dest: "/t" },
    ]);
    assert.equal(exitCode, 7, `${out}${err}`);
    assert.equal(err, "oops\n");
    const [version = "", ...lines] = out.split("\n");
    assert.notEqual(version, readFileSync("/proc/version", "utf8").trim());
    assert.deepEqual(lines.slice(0, 4), ["hello  world", "/work", "0", "s3cret"]);
    assert.match(out, /^ *lo:/m);
    assert.doesNotMatch(out, /eth0/);
    assert.equal(readFileSync(join(folder, "lent/file"), "utf8"), "kept\n");
    const names = ["bin", "etc", "made", "root", "tmp", "work"];
    assert.deepEqual(readdirSync(root).sort(), names, "mount points are gone");
    assert.equal(lstatSync(join(root, "made")).isDirectory(), true);
  },
);

test("what it cannot do it says, and an abort ends the machine", { skip }, async t => {
  const { run, executor, root, owner } = await openBench(t);
  const refused = (work: Promise<unknown>, what: RegExp): Promise<void> => assert.rejects(work, what);
  await refused(
    run(command("true", { network: "host" })),
    /the machine's network cannot be had in a virtual machine/,
  );
  await refused(
    run(command("true", { resources: { memory: 1 << 28 } })),
    /cannot be limited in a virtual machine/,
  );
  assert.throws(
    () =>
      executor.emulation({ os: "linux", architecture: "arm64" }, command("true"), {
        path: root,
        readonly: false,
        mounts: [],
      }),
    /cannot run a command for linux\/arm64 in a virtual machine for linux\/amd64/,
  );
  const abort = new AbortController();
  const running = run(command("echo ready; sleep 8641"), [], {
    signal: abort.signal,
    onOutput: () => abort.abort(),
  });
  await assert.rejects(running, { name: "AbortError" });
  const processes = execFileSync("ps", ["-eo", "args"], { encoding: "utf8" });
  assert.ok(!processes.split("\n").some(line => line.includes("qemu-system") && line.includes(owner.path)));
});

test("a first root is an archive as the kernel reads it", t => {
  const folder = temporaryFolder(t);
  const archive = cpioArchive([
    { path: "bin", mode: 0o040755 },
    { path: "bin/tool", mode: 0o100755, data: Buffer.from("#!/bin/sh\n") },
    { path: "odd", mode: 0o100644, data: Buffer.from("x") },
  ]);
  const text = execFileSync("busybox", ["cpio", "-idm"], {
    cwd: folder,
    input: archive,
    encoding: "utf8",
    stdio: "pipe",
  });
  assert.equal(text, "");
  assert.equal(readFileSync(join(folder, "bin/tool"), "utf8"), "#!/bin/sh\n");
  assert.equal(lstatSync(join(folder, "bin/tool")).mode & 0o777, 0o755);
  assert.equal(readFileSync(join(folder, "odd"), "utf8"), "x");
});

test("what is missing is named, with the packages that have it", t => {
  assert.throws(
    () => findVmParts({ searchPath: "", kernelFolder: temporaryFolder(t) }),
    (error: BakeError) => {
      assert.equal(error.code, "runtime-missing");
      assert.match(error.message, /there is no .*kernel with modules/);
      assert.match(error.diagnostics[0]?.hint ?? "", /linux-image-cloud-amd64.*LLBAKE_VM_KERNEL/);
      return true;
    },
  );
});
