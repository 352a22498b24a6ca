// A state directory of its own for one test, gone with everything in it when the test ends.
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { openOwner, type Owner, type OwnerFolder } from "../../src/content/lease.ts";
import { openStateRoot, type StateRoot } from "../../src/content/root.ts";

/** A temporary folder, removed after the test. */
export function temporaryFolder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "llbake-test-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export interface StateDir {
  readonly root: StateRoot;
  readonly owner: Owner;
}

export async function openStateDir(t: TestContext): Promise<StateDir> {
  const path = mkdtempSync(join(tmpdir(), "llbake-test-"));
  const root = await openStateRoot(path);
  const owner = await openOwner(root);
  t.after(async () => {
    await owner[Symbol.asyncDispose]();
    rmSync(path, { recursive: true, force: true });
  });
  return { root, owner };
}

/** What an owner has in the making in one of its folders, when it has tidied up. */
export function inTheMaking(owner: Owner, folder: OwnerFolder): readonly string[] {
  owner.doChores();
  const path = join(owner.path, folder);
  return existsSync(path) ? readdirSync(path) : [];
}

const BUSYBOX = "/bin/busybox";

/** Why tests with containers cannot run here; undefined when they can. */
export function containerProblem(): string | undefined {
  if (process.platform !== "linux") return "containers need Linux";
  if (process.getuid?.() !== 0) return "mounts and containers need root";
  try {
    // Static, or it would not start in an empty root.
    const text = execFileSync("ldd", [BUSYBOX], { stdio: "pipe" }).toString();
    return text.includes("=>") ? "needs a static /bin/busybox (package busybox-static)" : undefined;
  } catch {
    return tryBusybox() ? undefined : "needs a static /bin/busybox (package busybox-static)";
  }
}

function tryBusybox(): boolean {
  try {
    execFileSync(BUSYBOX, ["true"]);
    return true;
  } catch {
    return false;
  }
}

/** Fills a folder with a small system: busybox as sh and the common commands, a user and some groups. */
export function makeBusyboxRoot(path: string): void {
  for (const folder of ["bin", "etc", "tmp", "root"]) mkdirSync(join(path, folder), { recursive: true });
  copyFileSync(BUSYBOX, join(path, "bin/busybox"));
  const commands =
    "sh cat cp echo false grep head id kill ln ls mkdir mknod mount mv nc ps pwd rm rmdir setsid sleep stat test touch true umask wc";
  for (const command of commands.split(" ")) symlinkSync("busybox", join(path, "bin", command));
  writeFileSync(
    join(path, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nbuilder:x:1000:1001::/home/builder:/bin/sh\n",
  );
  writeFileSync(
    join(path, "etc/group"),
    "root:x:0:\nbuilder:x:1001:\nwheel:x:10:root,builder\nvideo:x:44:builder\n",
  );
}
