// An ordinary user of this machine: who the tests run as, or one that root makes for them.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { userInfo } from "node:os";

export interface OrdinaryUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** Whether ids are set aside for it in /etc/subuid and /etc/subgid, and there are programs to map them. */
  readonly hasRanges: boolean;
}

/** The name of the user that tests make; LLBAKE_TEST_USER names another one. It stays, for the next time. */
const NAME = process.env["LLBAKE_TEST_USER"] ?? "llbake-test";

/** The user, or why there is none. */
export function findOrdinaryUser(): OrdinaryUser | string {
  if (process.geteuid?.() !== 0) {
    const { username, uid, gid } = userInfo();
    return { name: username, uid, gid, hasRanges: hasRanges(username) };
  }
  try {
    return existing(NAME) ?? make(NAME);
  } catch (error) {
    return `there is no user "${NAME}" and none can be made: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function existing(name: string): OrdinaryUser | undefined {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find(entry => entry.startsWith(`${name}:`));
  if (line === undefined) return undefined;
  const [, , uid, gid] = line.split(":").map(Number);
  return { name, uid: uid ?? NaN, gid: gid ?? NaN, hasRanges: hasRanges(name) };
}

function make(name: string): OrdinaryUser {
  // It gets ids set aside where that is the machine's custom.
  execFileSync("useradd", ["--no-create-home", "--shell", "/bin/sh", name], { stdio: "pipe" });
  const made = existing(name);
  if (made === undefined) throw new Error("useradd made none");
  return made;
}

function hasRanges(name: string): boolean {
  const has = (file: string): boolean => {
    try {
      return readFileSync(file, "utf8")
        .split("\n")
        .some(line => line.startsWith(`${name}:`));
    } catch {
      return false;
    }
  };
  try {
    execFileSync("sh", ["-c", "command -v newuidmap && command -v newgidmap"], { stdio: "ignore" });
  } catch {
    return false;
  }
  return has("/etc/subuid") && has("/etc/subgid");
}

/** An id that owns nothing (nobody's, by custom). */
const NOBODY = 65534;

/** Does something without the rights of root; this process runs it, so nothing else may go on in it meanwhile. */
export async function withoutRights<T>(work: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return await work();
  process.seteuid?.(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}
