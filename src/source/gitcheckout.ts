// A commit as files: checked out from a bare repository into a folder, with modes that do not depend on the umask.
import { chmod, lstat, lutimes, mkdir, readdir, realpath, rename, rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import { BakeError } from "../diagnostic/error.ts";
import { git, redactRemote } from "./gitprogram.ts";
import type { PinnedCommit, RemoteAccess } from "./gitremote.ts";

export interface CheckoutRequest {
  /** The bare repository that has the commit. */
  readonly gitDir: string;
  readonly remote: string;
  readonly pinned: PinnedCommit;
  /** Only the content of this folder; empty for all. */
  readonly subdir: string;
  /** Leave a `.git` folder; has no effect with `subdir`, as in BuildKit. */
  readonly keepGitDir: boolean;
  readonly submodules: boolean;
  /** Give everything the time of the commit instead of the time of the checkout. */
  readonly commitTimes: boolean;
}

/** Where a whole checkout stands while a folder of it is taken. */
const DRAFT = ".llbake-checkout";

/** Fills the empty folder `target`. @throws BakeError "source-missing" when there is no such subdirectory */
export async function checkOut(
  target: string,
  request: CheckoutRequest,
  options: RemoteAccess,
): Promise<void> {
  const { subdir, pinned, remote, gitDir } = request;
  const { signal, environment } = options;
  const whole = subdir === "" ? target : join(target, DRAFT);
  await mkdir(whole, { recursive: true });
  const keepGitDir = request.keepGitDir && subdir === "";
  const inside = { gitDir, signal, environment };
  // Read before the history may be gone with the draft.
  const seconds = request.commitTimes
    ? Number((await git(["show", "--no-patch", "--format=%ct", pinned.commit], remote, inside)).trim())
    : undefined;
  if (keepGitDir) await cloneInto(whole, request, options);
  else await extract(whole, request, options);
  if (subdir !== "") {
    await takeFolder(whole, subdir, target, request);
    await rm(whole, { recursive: true, force: true });
  }
  await normalize(target, seconds);
}

async function extract(tree: string, request: CheckoutRequest, options: RemoteAccess): Promise<void> {
  const { gitDir, remote, pinned, submodules } = request;
  const { signal, environment } = options;
  const indexFile = join(gitDir, "llbake-index");
  await rm(indexFile, { force: true });
  const local = { gitDir, workTree: tree, indexFile, signal, environment };
  await git(["read-tree", "--reset", "-u", pinned.commit], remote, local);
  if (!submodules || !(await hasSubmodules(tree))) return;
  await updateSubmodules({ ...local, gitDir }, remote, options);
  await removeGitFiles(tree);
}

/** A repository of its own, as `git clone --depth 1` leaves it, but for what differs from one clone to the next. */
async function cloneInto(tree: string, request: CheckoutRequest, options: RemoteAccess): Promise<void> {
  const { gitDir, remote, pinned, submodules } = request;
  const { signal, environment } = options;
  const own = join(tree, ".git");
  const local = { gitDir: own, workTree: tree, signal, environment };
  const run = (...args: readonly string[]): Promise<string> => git(args, remote, local);
  await run("init", "--quiet", ...(pinned.object.length === 64 ? ["--object-format=sha256"] : []));
  await run("remote", "add", "origin", redactRemote(remote));
  const name = pinned.ref ?? "refs/llbake/commit";
  // By the file protocol: copies of the bare repository's files would bring more than the commit.
  const from = `refs/llbake/keep/${pinned.object}`;
  await run(
    "fetch",
    "--quiet",
    "--update-head-ok",
    "--depth=1",
    "--",
    `file://${gitDir}`,
    `+${from}:${name}`,
  );
  await run("checkout", "--quiet", "--detach", pinned.commit);
  if (pinned.ref === undefined) await run("update-ref", "-d", name);
  if (submodules && (await hasSubmodules(tree))) await updateSubmodules(local, remote, options);
  await run("reflog", "expire", "--all", "--expire=now");
  await rm(join(own, "FETCH_HEAD"), { force: true });
}

async function updateSubmodules(
  local: { readonly gitDir: string; readonly workTree: string; readonly indexFile?: string },
  remote: string,
  options: RemoteAccess,
): Promise<void> {
  // Addresses such as ../other.git start from the remote.
  await git(["config", "remote.origin.url", redactRemote(remote)], remote, {
    ...local,
    signal: options.signal,
    environment: options.environment,
  });
  const access = options.access === undefined ? undefined : { ...options.access, userConfig: false };
  const args = ["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"];
  await git(args, remote, { ...options, ...local, access });
}

async function hasSubmodules(tree: string): Promise<boolean> {
  const stat = await lstat(join(tree, ".gitmodules")).catch(() => undefined);
  return stat?.isFile() === true;
}

/** Submodules are tied to the repository by `.git` files, which name a folder of the state directory. */
async function removeGitFiles(tree: string): Promise<void> {
  for (const entry of await readdir(tree, { withFileTypes: true })) {
    const path = join(tree, entry.name);
    if (entry.name === ".git" && entry.isFile()) await rm(path);
    else if (entry.isDirectory()) await removeGitFiles(path);
  }
}

async function takeFolder(
  whole: string,
  subdir: string,
  target: string,
  { remote, pinned }: CheckoutRequest,
): Promise<void> {
  const folder = join(whole, subdir);
  const stat = await lstat(folder).catch(() => undefined);
  // A link on the way could lead out of the checkout.
  const isPlain =
    stat?.isDirectory() === true && (await realpath(folder)) === join(await realpath(whole), subdir);
  if (!isPlain) {
    const top = (await readdir(whole, { withFileTypes: true })).filter(entry => entry.isDirectory());
    const { didYouMean } = await import("../diagnostic/suggest.ts");
    throw new BakeError(
      "source-missing",
      `the git repository "${redactRemote(remote)}" has no folder "${subdir}" at commit ${pinned.commit.slice(0, 12)}`,
      {
        hint: didYouMean(
          subdir,
          top.map(entry => entry.name),
        ),
      },
    );
  }
  for (const name of await readdir(folder)) await rename(join(folder, name), join(target, name));
}

/** Git knows one bit of a file's mode; the rest would come from the umask. */
async function normalize(folder: string, seconds: number | undefined): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isSymbolicLink()) {
      if (seconds !== undefined) await lutimes(path, seconds, seconds);
      continue;
    }
    if (entry.isDirectory()) await normalize(path, seconds);
    else {
      const { mode } = await lstat(path);
      const wanted = (mode & 0o222) === 0 ? 0o444 : (mode & 0o100) === 0 ? 0o644 : 0o755;
      if ((mode & 0o777) !== wanted) await chmod(path, wanted);
      if (seconds !== undefined) await utimes(path, seconds, seconds);
    }
  }
  await chmod(folder, 0o755);
  if (seconds !== undefined) await utimes(folder, seconds, seconds);
}
