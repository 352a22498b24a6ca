// Git remotes: which commit a branch or tag is now, and a bare repository per remote in the state directory that
// keeps what was fetched, so that the next commit costs its difference only.
import { createHash } from "node:crypto";
import { access, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { withLock } from "../content/lock.ts";
import { sweepDyingOwners } from "../content/sweep.ts";
import type { StateRoot } from "../content/root.ts";
import { BakeError } from "../diagnostic/error.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import { explainGit, git, type GitOptions, isUnreachable, redactRemote, runGit } from "./gitprogram.ts";

export type RemoteAccess = Pick<GitOptions, "signal" | "environment" | "access">;

export interface PinnedCommit {
  /** Full name of the branch or tag; undefined when a commit was asked for. */
  readonly ref: string | undefined;
  /** What the reference stands for: a commit, or an annotated tag. */
  readonly object: string;
  /** The commit behind it. */
  readonly commit: string;
}

/** Whether a reference is a whole commit id (sha1 or sha256). */
export function isCommitId(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

/**
 * Asks a remote what a reference is now; the empty one is the branch that the remote shows. Of a branch and a tag with
 * one name the branch is meant, as by git checkout.
 * @throws BakeError "source-missing" when there is no such reference, and others of the remote
 */
export async function pinReference(
  remote: string,
  ref: string,
  options: RemoteAccess,
): Promise<PinnedCommit> {
  const wanted = ref === "" ? await defaultBranch(remote, options) : ref;
  const listing = parseListing(
    await git(["ls-remote", "--", remote, wanted, `${wanted}^{}`], remote, options),
  );
  const short = wanted.replace(/^refs\//, "");
  const branch = `refs/heads/${wanted.replace(/^refs\/heads\//, "")}`;
  const tag = `refs/tags/${wanted.replace(/^refs\/tags\//, "")}`;
  const found = [`refs/${short}`, branch, tag].find(name => listing.has(name));
  const object = found === undefined ? undefined : listing.get(found);
  if (found === undefined || object === undefined) throw await missingReference(remote, wanted, options);
  return { ref: found, object, commit: listing.get(`${found}^{}`) ?? object };
}

async function defaultBranch(remote: string, options: RemoteAccess): Promise<string> {
  const text = await git(["ls-remote", "--symref", "--", remote, "HEAD"], remote, options);
  const [, branch] = /^ref: (refs\/\S+)\tHEAD$/m.exec(text) ?? [];
  if (branch !== undefined) return branch;
  throw new BakeError(
    "source-missing",
    `the git repository "${redactRemote(remote)}" shows no default branch`,
    {
      hint: "name a branch, tag or commit, as in URL#main; an empty repository has none",
    },
  );
}

async function missingReference(remote: string, ref: string, options: RemoteAccess): Promise<BakeError> {
  const all = await runGit(["ls-remote", "--heads", "--tags", "--", remote], options);
  const names = [...parseListing(all.stdout).keys()]
    .filter(name => !name.endsWith("^{}"))
    .map(name => name.replace(/^refs\/(?:heads|tags)\//, ""));
  const few =
    names.length > 0 && names.length <= 8
      ? `there are ${names.map(name => `"${name}"`).join(", ")}`
      : undefined;
  return new BakeError(
    "source-missing",
    `the git repository "${redactRemote(remote)}" has no branch or tag "${ref}"`,
    {
      hint: /^[0-9a-f]{7,39}$/.test(ref)
        ? "commits are named by all 40 digits"
        : (didYouMean(ref, names) ?? few ?? `git ls-remote ${redactRemote(remote)} lists what there is`),
    },
  );
}

function parseListing(text: string): ReadonlyMap<string, string> {
  const rows = text.split("\n").flatMap(line => {
    const [id = "", name = ""] = line.split("\t");
    return isCommitId(id) && name !== "" ? [[name, id] as const] : [];
  });
  return new Map(rows);
}

/** Runs `fn` with the bare repository of a remote, which no other process uses meanwhile. */
export async function withRepository<T>(
  root: StateRoot,
  { remote, idLength }: { readonly remote: string; readonly idLength: number },
  options: RemoteAccess,
  fn: (gitDir: string) => Promise<T>,
): Promise<T> {
  const format = idLength === 64 ? "sha256" : "sha1";
  const name = createHash("sha256").update(`${format} ${remote}`).digest("hex").slice(0, 40);
  const gitDir = join(root.path, "git", name);
  const { signal, environment } = options;
  const use = async (): Promise<T> => {
    // What a process that was killed meanwhile has started may still be at it.
    await sweepDyingOwners(root);
    if (!(await exists(join(gitDir, "HEAD")))) {
      await mkdir(gitDir, { recursive: true, mode: 0o700 });
      await git(["init", "--quiet", "--bare", `--object-format=${format}`, gitDir], remote, {
        signal,
        environment,
      });
    }
    await removeLeftovers(gitDir);
    return await fn(gitDir);
  };
  return withLock(root, `git ${name}`, signal, use);
}

/** Locks and drafts of a git that was killed; whoever holds our lock is alone here. */
async function removeLeftovers(gitDir: string): Promise<void> {
  for (const file of ["shallow.lock", "config.lock", "packed-refs.lock"])
    await rm(join(gitDir, file), { force: true });
  for (const folder of ["objects", "objects/pack"])
    for (const name of await readdir(join(gitDir, folder)).catch(() => []))
      if (name.startsWith("tmp_")) await rm(join(gitDir, folder, name), { recursive: true, force: true });
}

/**
 * Brings a commit into the repository, with as little of its history as the remote allows.
 * @throws BakeError "source-missing" when the remote does not have it
 */
export async function fetchCommit(
  gitDir: string,
  remote: string,
  { ref, object }: PinnedCommit,
  options: RemoteAccess,
): Promise<void> {
  const inside = { gitDir, signal: options.signal, environment: options.environment };
  const isHere = async (): Promise<boolean> =>
    (await runGit(["cat-file", "-e", `${object}^{commit}`], inside)).exitCode === 0;
  if (await isHere()) return;
  const shallow = await exists(join(gitDir, "shallow"));
  const everything = [
    ...["--prune", "--tags", "--force", ...(shallow ? ["--unshallow"] : [])],
    ...["--", remote, "+refs/heads/*:refs/llbake/heads/*"],
  ];
  const ways = [
    // The reference, unless it has moved on since it was asked for; then the commit itself, which not every server
    // gives out; then all there is.
    ...(ref === undefined ? [] : [["--depth=1", "--no-tags", "--force", "--", remote, ref]]),
    ["--depth=1", "--no-tags", "--force", "--", remote, object],
    everything,
  ];
  for (const [index, way] of ways.entries()) {
    const outcome = await fetchOnce(way, { ...options, gitDir });
    if (await isHere()) {
      await git(["update-ref", `refs/llbake/keep/${object}`, object], remote, inside);
      return;
    }
    if (outcome.exitCode !== 0 && (isUnreachable(outcome) || index === ways.length - 1))
      throw explainGit(outcome, remote);
  }
  throw new BakeError(
    "source-missing",
    `the git repository "${redactRemote(remote)}" has no commit "${object}"`,
    { hint: "check the commit; one that no branch or tag leads to may not be given out by the server" },
  );
}

/** Servers without a program behind them ("dumb" http) know no shallow histories. */
async function fetchOnce(args: readonly string[], options: GitOptions): ReturnType<typeof runGit> {
  const outcome = await runGit(["fetch", "--quiet", "--no-write-fetch-head", ...args], options);
  if (outcome.exitCode === 0 || !/shallow|--depth/.test(outcome.stderr)) return outcome;
  const deep = args.filter(arg => arg !== "--depth=1" && arg !== "--unshallow");
  return runGit(["fetch", "--quiet", "--no-write-fetch-head", ...deep], options);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
