// Unpacks the distribution's kernel for virtual machines into .cache/kernel, for tests of --worker=qemu-vm. Nothing is
// installed: the machine's own kernel and boot loader stay as they are.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";

const PACKAGE = "linux-image-cloud-amd64";

/** Gives why it is not there, or undefined. */
export function fetchKernel(root, say) {
  const target = join(root, ".cache", "kernel");
  if (statSync(join(target, "boot"), { throwIfNoEntry: false }) !== undefined) return undefined;
  mkdirSync(join(root, ".cache"), { recursive: true });
  const work = mkdtempSync(join(root, ".cache", "kernel-"));
  const run = (command, args) => spawnSync(command, args, { cwd: work, encoding: "utf8", timeout: 300_000 });
  try {
    say("fetching a kernel (steps in virtual machines are tested with it)");
    const depends = run("apt-cache", ["depends", PACKAGE]).stdout ?? "";
    const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
    if (name === undefined) return `the distribution has no package ${PACKAGE}`;
    const download = run("apt-get", ["-q", "-o", "APT::Sandbox::User=root", "download", name]);
    const deb = readdirSync(work).find(file => file.endsWith(".deb"));
    if (download.status !== 0 || deb === undefined) return `${name} cannot be fetched: ${download.stderr}`;
    if (run("dpkg-deb", ["--extract", deb, "unpacked"]).status !== 0) return `${deb} cannot be unpacked`;
    renameSync(join(work, "unpacked"), target);
    return undefined;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
