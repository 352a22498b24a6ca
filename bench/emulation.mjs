// What emulation costs: `node bench/emulation.mjs [rounds]`. The same steps for other processors and for this machine's,
// by turns: one that computes, one that starts many programs, one that does nothing; and the emulator alone, as floor.
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compare, printRow, program, root, run } from "./measure.mjs";

const rounds = Number(process.argv[2] ?? 5);
const foreign = join(root, ".cache", "foreign");
const machines = [
  { name: "arm64", emulator: "qemu-aarch64-static" },
  { name: "riscv64", emulator: "qemu-riscv64-static" },
  { name: "s390x", emulator: "qemu-s390x-static" },
];
const native = ["/bin/busybox", "/usr/bin/busybox"].find(existsSync);
const missing = machines.find(({ name }) => !existsSync(join(foreign, name, "busybox")));
if (native === undefined || missing !== undefined) {
  console.error("error: this needs busyboxes of other processors: node scripts/setup.mjs --tests");
  process.exit(1);
}

const COMPUTE = "head -c 33554432 /dev/zero | busybox sha256sum";
const STARTS = "i=0; while [ $i -lt 100 ]; do /bin/busybox true; i=$((i+1)); done";
const work = mkdtempSync(join(tmpdir(), "llbake-bench-"));

try {
  const own = project("native", native);
  for (const { name, emulator } of machines) {
    const busybox = join(foreign, name, "busybox");
    const emulated = project(name, busybox, `linux/${name}`);
    const row = async (what, script, task, floorName) =>
      printRow(
        `${name}: ${what}`,
        await compare(salt => emulated(script, salt), task ?? (salt => own(script, salt)), { rounds }),
        floorName ?? "native",
      );
    await row("SHA-256 of 32 MiB", COMPUTE);
    await row("100 programs started", STARTS);
    await row("one trivial step", "true");
    await row(
      "SHA-256 of 32 MiB",
      COMPUTE,
      () =>
        run("sh", [
          "-c",
          `${emulator} ${busybox} head -c 33554432 /dev/zero | ${emulator} ${busybox} sha256sum`,
        ]),
      `${emulator} alone`,
    );
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}

/** A build of one step that is never cached; its base is. */
function project(name, busybox, platform) {
  const cwd = join(work, name);
  mkdirSync(cwd, { recursive: true });
  copyFileSync(busybox, join(cwd, "busybox"));
  chmodSync(join(cwd, "busybox"), 0o755);
  writeFileSync(
    join(cwd, "Dockerfile"),
    `FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "ln", "-s", "busybox", "/bin/sh"]
RUN ["/bin/busybox", "ln", "-s", "busybox", "/bin/head"]
FROM base
ARG SALT SCRIPT
ENV PATH=/bin
RUN eval "$SCRIPT"
`,
  );
  const platforms = platform === undefined ? "" : `platforms = ["${platform}"]`;
  writeFileSync(
    join(cwd, "docker-bake.hcl"),
    `target "default" {\n${platforms}\noutput = ["type=cacheonly"]\n}\n`,
  );
  const state = join(work, "state");
  return (script, salt) =>
    run(
      process.execPath,
      [
        program,
        "--root",
        state,
        "--progress=quiet",
        `--set=default.args.SALT=${name}${salt}${Math.random()}`,
        `--set=default.args.SCRIPT=${script}`,
      ],
      { cwd },
    );
}
