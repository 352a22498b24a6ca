// An ordinary user of this machine: who the tests run as, or one that root makes for them.
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { program } from "./bake.ts";
import { projectRoot } from "./sourcetree.ts";

export interface OrdinaryUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** Whether it can have a user namespace with ids of others. */
  readonly hasRanges: boolean;
}

/** The name of the user that tests make; LLBAKE_TEST_USER names another one. It stays, for the next time. */
const NAME = process.env["LLBAKE_TEST_USER"] ?? "llbake-test";

/** The user, or why there is none. */
export function findOrdinaryUser(): OrdinaryUser | string {
  if (process.geteuid?.() !== 0) {
    const { username, uid, gid } = userInfo();
    return { name: username, uid, gid, hasRanges: hasRanges({ uid, gid }) };
  }
  try {
    const user = existing(NAME) ?? make(NAME);
    return readsProject(user) ? user : `"${NAME}" may not read ${program} or run ${process.execPath}`;
  } catch (error) {
    return `there is no user "${NAME}" and none can be made: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function existing(name: string): OrdinaryUser | undefined {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find(entry => entry.startsWith(`${name}:`));
  if (line === undefined) return undefined;
  const [, , uid = NaN, gid = NaN] = line.split(":").map(Number);
  return { name, uid, gid, hasRanges: hasRanges({ uid, gid }) };
}

function make(name: string): OrdinaryUser {
  // It gets ids set aside where that is the machine's custom.
  execFileSync("useradd", ["--no-create-home", "--shell", "/bin/sh", name], { stdio: "pipe" });
  const made = existing(name);
  if (made === undefined) throw new Error("useradd made none");
  return made;
}

function readsProject({ uid, gid }: OrdinaryUser): boolean {
  const words = [
    "-c",
    'test -r "$1" && test -r "$2" && test -x "$3"',
    "sh",
    join(projectRoot, "package.json"),
    program,
    process.execPath,
  ];
  return spawnSync("sh", words, { cwd: "/", uid, gid }).status === 0;
}

/** Tried, since what forbids it is of many kinds. */
function hasRanges({ uid, gid }: { readonly uid: number; readonly gid: number }): boolean {
  return namespaceProblem({ uid, gid }, "--map-auto") === undefined;
}

/** Why a user has no user namespace, in the words of unshare(1); `more` are further options of it. */
export function namespaceProblem(
  { uid, gid }: { readonly uid: number; readonly gid: number },
  ...more: readonly string[]
): string | undefined {
  const words = ["--user", "--map-root-user", ...more, "--mount", "true"];
  const asUser = process.geteuid?.() === 0 ? { uid, gid } : {};
  const { status, stderr, error } = spawnSync("unshare", words, { encoding: "utf8", ...asUser });
  return status === 0 ? undefined : `user namespaces are refused: ${error?.message ?? stderr.trim()}`;
}

/** An id that owns nothing (nobody's, by custom). */
export const NOBODY = 65534;

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
