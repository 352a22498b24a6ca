// Goal: commands of other platforms run in every way there is to emulate, as they would on their own processor. Method:
// real busyboxes of those platforms, QEMU, real runtimes and the kernel's table of interpreters; ways are forced.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { BakeError } from "../../src/diagnostic/error.ts";
import { findHostEntry, openBinfmtNamespace, registration } from "../../src/executor/binfmt.ts";
import { createExecutor } from "../../src/executor/container.ts";
import { readElfHead } from "../../src/executor/elf.ts";
import { createEmulation, type EmulationWay } from "../../src/executor/emulation.ts";
import { architectures, findEmulators } from "../../src/executor/emulators.ts";
import type { ProcessSpec } from "../../src/executor/executor.ts";
import { type Platform, platformFromNode } from "../../src/oci/platform.ts";
import { busyboxDir } from "../rig/bake.ts";
import { foreignDir, foreignProblem, machineNames, makeForeignRoot } from "../rig/foreign.ts";
import { containerProblem, openStateDir, temporaryFolder } from "../rig/statedir.ts";

const native = platformFromNode(process.platform, process.arch);
const linux = (architecture: string): Platform => ({ os: "linux", architecture });
const architecture = (name: string) => {
  const found = architectures.find(candidate => candidate.name === name);
  assert.ok(found);
  return found;
};
const skipFor = (name: string): string | false =>
  native.architecture === name ? `${name} is not foreign here` : (containerProblem() ?? foreignProblem(name));

/** Besides loopback, and those of other tests' steps, which come and go. */
const hasOtherLinks = Object.keys(networkInterfaces()).some(name => !/^(?:lo$|llbake)/.test(name));

interface Outcome {
  readonly exitCode: number;
  readonly out: string;
}

/** Runs a command in a system of an architecture, emulated in one way. */
async function run(
  t: TestContext,
  name: string,
  args: readonly string[],
  options: {
    readonly ways: readonly EmulationWay[];
    readonly runtime?: string;
    readonly prepare?: (root: string) => void;
    readonly command?: Partial<ProcessSpec>;
  },
): Promise<Outcome & { readonly root: string }> {
  const { root, owner } = await openStateDir(t);
  const rootfs = join(temporaryFolder(t), "root");
  makeForeignRoot(rootfs, name);
  options.prepare?.(rootfs);
  const executor = await createExecutor({
    root,
    owner,
    runtime: options.runtime,
    emulationWays: options.ways,
  });
  let out = "";
  const command: ProcessSpec = {
    args,
    env: ["PATH=/bin"],
    cwd: "/",
    user: "",
    network: "none",
    insecure: false,
    ...options.command,
  };
  const rootSpec = { path: rootfs, readonly: false, mounts: [] };
  const { emulation } = await executor.emulation(linux(name), command, rootSpec);
  const { exitCode } = await executor.run({ ...command, emulation }, rootSpec, {
    signal: AbortSignal.timeout(60_000),
    onOutput: (_, data) => (out += Buffer.from(data).toString()),
  });
  return { exitCode, out, root: rootfs };
}

const shell = (script: string): readonly string[] => ["/bin/sh", "-c", script];

for (const [name, machine] of Object.entries(machineNames))
  test(
    `${name}: commands and what they start run, registered in a user namespace`,
    { skip: skipFor(name) },
    async t => {
      const script = "uname -m && sh -c '/bin/busybox uname -m' && chown 1000:33 /tmp && id -u";
      const { exitCode, out, root } = await run(t, name, shell(script), { ways: ["namespace"] });
      assert.deepEqual({ exitCode, out }, { exitCode: 0, out: `${machine}\n${machine}\n0\n` });
      const { uid, gid } = statSync(join(root, "tmp"));
      assert.deepEqual([uid, gid], [1000, 33]);
    },
  );

for (const runtime of ["crun", "runc"])
  test(
    `${runtime} joins the namespace for another user too, and leaves no files`,
    { skip: skipFor("arm64") },
    async t => {
      const { exitCode, out, root } = await run(
        t,
        "arm64",
        shell("id -u; uname -m; cat /proc/self/uid_map"),
        {
          ways: ["namespace"],
          runtime,
          command: { user: "guest" },
        },
      );
      assert.equal(exitCode, 0, out);
      assert.match(out, /^1000\naarch64\n\s+0\s+0\s+\d+\n$/);
      assert.deepEqual(readdirSync(root).sort(), ["bin", "etc", "tmp"]);
    },
  );

for (const runtime of ["crun", "runc"])
  test(`${runtime}: every network is to be had in the namespace`, { skip: skipFor("arm64") }, async t => {
    for (const network of ["default", "host", "none"] as const) {
      const script = "uname -m; cat /proc/net/dev";
      const { exitCode, out } = await run(t, "arm64", shell(script), {
        ways: ["namespace"],
        runtime,
        command: { network },
      });
      assert.equal(exitCode, 0, `${network}: ${out}`);
      assert.match(out, /^aarch64\n[^]* lo:/);
      assert.equal(
        /^ *(?!lo:)\w+:/m.test(out.slice("aarch64".length)),
        network !== "none" && hasOtherLinks,
        network,
      );
    }
  });

test("the machine's own table stays as it is", { skip: skipFor("arm64") }, async t => {
  const table = (): readonly string[] => readdirSync("/proc/sys/fs/binfmt_misc");
  const before = table();
  await run(t, "arm64", ["/bin/uname"], { ways: ["namespace"] });
  assert.deepEqual(table(), before);
});

test(
  "programs for arm64 that sign return addresses are not slowed down by it",
  { skip: skipFor("arm64") },
  async t => {
    for (const ways of [["namespace"], ["mounted"]] as const) {
      const { out } = await run(t, "arm64", shell('echo "$QEMU_CPU"'), { ways });
      assert.equal(out, "max,pauth-impdef=on\n");
    }
    const env = ["PATH=/bin", "QEMU_CPU=cortex-a57"];
    const own = await run(t, "arm64", shell('echo "$QEMU_CPU"'), { ways: ["namespace"], command: { env } });
    assert.equal(own.out, "cortex-a57\n");
  },
);

test("a mounted emulator runs the command, found as execvp does", { skip: skipFor("arm64") }, async t => {
  const { exitCode, out, root } = await run(t, "arm64", ["uname", "-m"], { ways: ["mounted"] });
  assert.deepEqual({ exitCode, out }, { exitCode: 0, out: "aarch64\n" });
  assert.deepEqual(readdirSync(root).sort(), ["bin", "etc", "tmp"]);
});

test("a mounted emulator runs scripts by the interpreter they name", { skip: skipFor("arm64") }, async t => {
  const { exitCode, out } = await run(t, "arm64", ["./say", "a b"], {
    ways: ["mounted"],
    prepare: root =>
      writeFileSync(join(root, "tmp/say"), '#! /bin/sh -e\necho "$0:$1:$#"; exit 3\n', { mode: 0o755 }),
    command: { cwd: "/tmp" },
  });
  assert.deepEqual({ exitCode, out }, { exitCode: 3, out: "/tmp/say:a b:1\n" });
});

test(
  "under a mounted emulator, programs that the command starts do not run",
  { skip: skipFor("arm64") },
  async t => {
    const { exitCode } = await run(t, "arm64", shell("/bin/uname -m"), { ways: ["mounted"] });
    assert.equal(exitCode, 126);
  },
);

test("a command that is not there fails as it does everywhere", { skip: skipFor("arm64") }, async t => {
  for (const ways of [["namespace"], ["mounted"]] as const)
    await assert.rejects(
      run(t, "arm64", ["nothing"], { ways }),
      /cannot run "nothing": not found in the image/,
    );
});

test(
  "what the machine has registered serves where a namespace cannot be had",
  { skip: skipFor("arm64") },
  async () => {
    // The machine, for the process that looks, is a namespace with a table.
    using table = await openBinfmtNamespace(
      findEmulators("", native).usable.filter(({ architecture: { name } }) => name === "arm64"),
    );
    const runner = fileURLToPath(new URL("hostwayrunner.ts", import.meta.url));
    const { stdout, stderr } = spawnSync(
      "nsenter",
      [
        `--user=${table.path}`,
        `--mount=${table.mountPath}`,
        "--preserve-credentials",
        process.execPath,
        "--import",
        import.meta.resolve("tsx"),
        runner,
        join(foreignDir, "arm64/busybox"),
      ],
      // Node's own warnings differ from version to version.
      { encoding: "utf8", env: { ...process.env, NODE_NO_WARNINGS: "1" } },
    );
    assert.equal(stderr, "");
    assert.deepEqual(JSON.parse(stdout), {
      emulation: { way: "host", interpreter: "/usr/bin/qemu-aarch64-static", isOpen: true },
      machine: "aarch64",
      missing: "emulator-missing",
    });
  },
);

test("386 runs on the processor of a 64-bit PC", { skip: skipFor386() }, async t => {
  const { owner } = await openStateDir(t);
  const emulation = createEmulation({ owner, native, searchPath: temporaryFolder(t) });
  assert.deepEqual(await emulation(linux("386")), { way: "native" });
  assert.deepEqual(readdirSync(join(owner.path, "temp")), []);
  const { exitCode, out } = await run(t, "386", shell("sh -c 'echo $0' && id -u"), { ways: [] });
  assert.deepEqual({ exitCode, out }, { exitCode: 0, out: "sh\n0\n" });
});

function skipFor386(): string | false {
  if (native.architecture !== "amd64") return "no 64-bit PC";
  if (spawnSync(join(foreignDir, "386/busybox"), ["true"]).status !== 0)
    return "no busybox for 386 in .cache/foreign, or the kernel does not run it";
  return containerProblem() ?? false;
}

test("without an emulator the error says which, and what to do", async t => {
  const { owner } = await openStateDir(t);
  const folder = temporaryFolder(t);
  const emulation = createEmulation({ owner, native: linux("amd64"), searchPath: folder });
  await assert.rejects(emulation(linux("s390x")), (error: BakeError) => {
    assert.equal(error.code, "emulator-missing");
    assert.equal(
      error.message,
      "cannot run a command for linux/s390x on linux/amd64: no emulator found: qemu-s390x-static is not on PATH, nor registered with the kernel",
    );
    assert.match(
      error.diagnostics[0]?.hint ?? "",
      /apt-get install qemu-user-static.*--platform=\$BUILDPLATFORM/,
    );
    return true;
  });
  assert.deepEqual(await emulation(linux("amd64")), { way: "native" });
  await assert.rejects(
    emulation({ os: "windows", architecture: "amd64" }),
    /only commands for Linux run here/,
  );
  await assert.rejects(emulation(linux("sparc64")), /no emulator is known for it/);
});

test("an emulator that needs a loader is told of, not used", async t => {
  const { owner } = await openStateDir(t);
  const folder = temporaryFolder(t);
  symlinkSync("/bin/ls", join(folder, "qemu-riscv64-static"));
  assert.equal(readElfHead("/bin/ls")?.isStatic, false);
  const emulation = createEmulation({ owner, native: linux("amd64"), searchPath: folder });
  await assert.rejects(emulation(linux("riscv64")), /qemu-riscv64-static" is not static/);
});

test("static emulators are found by either name, links resolved", t => {
  const folder = temporaryFolder(t);
  const other = temporaryFolder(t);
  symlinkSync(join(busyboxDir, "busybox"), join(folder, "qemu-s390x"));
  writeFileSync(join(folder, "qemu-arm-static"), "not executable");
  symlinkSync(join(busyboxDir, "busybox"), join(other, "qemu-arm-static"));
  const { usable, dynamic } = findEmulators(`${folder}:${other}`, linux("amd64"));
  assert.deepEqual(
    usable.map(({ architecture: { name } }) => name),
    ["arm", "s390x"],
  );
  assert.ok(usable.every(({ path }) => readElfHead(path)?.isStatic === true));
  assert.deepEqual(dynamic, []);
});

test("an emulator is registered by the head of its programs", () => {
  // As QEMU's own scripts/qemu-binfmt-conf.sh has it, but for bytes that say which system a program was made for.
  assert.equal(
    registration({ architecture: architecture("arm64"), path: "/usr/bin/qemu-aarch64-static" }),
    String.raw`:qemu-aarch64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:POCF`,
  );
  assert.match(
    registration({ architecture: architecture("s390x"), path: "/q" }),
    /\\x00\\x02\\x00\\x16:.*\\xff\\xfe\\xff\\xff:\/q:POCF$/,
  );
});

for (const name of Object.keys(machineNames))
  test(`the head of a program for ${name} is what the table expects`, { skip: foreignProblem(name) }, () => {
    assert.deepEqual(readElfHead(join(foreignDir, name, "busybox")), {
      ...architecture(name).elf,
      isStatic: true,
    });
  });

test("entries of the machine's table are read: switched off, of other programs, with and without the flag F", t => {
  const folder = temporaryFolder(t);
  const entry = (name: string, text: string): void => writeFileSync(join(folder, name), text);
  const arm64 = (flags: string): string =>
    `enabled\ninterpreter /q/arm64\nflags: ${flags}\noffset 0\nmagic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n`;
  entry("register", "");
  entry("python3.11", "enabled\ninterpreter /usr/bin/python3.11\nflags: \noffset 0\nmagic a70d0d0a\n");
  entry("jar", "enabled\ninterpreter /usr/bin/jexec\nflags: \nextension .jar\n");
  entry("status", "disabled\n");
  entry("qemu-aarch64", arm64("POCF"));
  assert.equal(findHostEntry(architecture("arm64"), folder), undefined);
  entry("status", "enabled\n");
  assert.deepEqual(findHostEntry(architecture("arm64"), folder), { interpreter: "/q/arm64", isOpen: true });
  assert.equal(findHostEntry(architecture("riscv64"), folder), undefined);
  entry("qemu-aarch64", arm64("OC"));
  assert.deepEqual(findHostEntry(architecture("arm64"), folder), { interpreter: "/q/arm64", isOpen: false });
  entry("qemu-aarch64", arm64("F").replace("enabled", "disabled"));
  assert.equal(findHostEntry(architecture("arm64"), folder), undefined);
  const none = join(folder, "none");
  mkdirSync(none);
  assert.equal(findHostEntry(architecture("arm64"), none), undefined);
});
