// Static busyboxes of other architectures, which `npm test` fetches into .cache/foreign, and systems made of them.
import { chmodSync, copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findEmulators } from "../../src/executor/emulators.ts";
import { platformFromNode } from "../../src/oci/platform.ts";
import { busyboxDir } from "./bake.ts";
import { projectRoot } from "./sourcetree.ts";

export const foreignDir = join(projectRoot, ".cache", "foreign");

/** Names of architectures as in platforms, with what `uname -m` says on them. */
export const machineNames: Readonly<Record<string, string>> = {
  arm64: "aarch64",
  arm: "armv7l",
  riscv64: "riscv64",
  ppc64le: "ppc64le",
  s390x: "s390x",
};

const native = platformFromNode(process.platform, process.arch);

/** False, or why steps of an architecture cannot be tested here. */
export function foreignProblem(architecture: string): string | false {
  if (!existsSync(join(foreignDir, architecture, "busybox")))
    return `no busybox for ${architecture} in .cache/foreign: run node scripts/setup.mjs --tests`;
  const { usable } = findEmulators("", native);
  return usable.some(emulator => emulator.architecture.name === architecture)
    ? false
    : `no emulator for ${architecture} (package qemu-user-static)`;
}

/** Fills a folder with a small system of an architecture: busybox as sh and some commands. */
export function makeForeignRoot(path: string, architecture: string): void {
  for (const folder of ["bin", "etc", "tmp"]) mkdirSync(join(path, folder), { recursive: true });
  const busybox = join(path, "bin/busybox");
  copyFileSync(join(foreignDir, architecture, "busybox"), busybox);
  chmodSync(busybox, 0o755);
  for (const name of ["sh", "cat", "chown", "id", "ls", "mknod", "stat", "uname"])
    symlinkSync("busybox", join(path, "bin", name));
  writeFileSync(join(path, "etc/passwd"), "root:x:0:0::/:/bin/sh\nguest:x:1000:1000::/:/bin/sh\n");
}

/** Copies busyboxes to `ARCH/busybox` below a folder; the machine's own too. */
export function copyBusyboxes(folder: string, architectures: readonly string[]): void {
  for (const architecture of [native.architecture, ...architectures]) {
    mkdirSync(join(folder, architecture), { recursive: true });
    const from = architecture === native.architecture ? busyboxDir : join(foreignDir, architecture);
    const to = join(folder, architecture, "busybox");
    copyFileSync(join(from, "busybox"), to);
    chmodSync(to, 0o755);
  }
}
