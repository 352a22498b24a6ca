// `git://HOST/PATH#REF:SUBDIR`: a git repository (attributes: BuildKit, solver/pb/attr.go, "git."). It is pinned to a
// commit without fetching; the key is the commit with what decides how it is checked out, so a mirror of the same
// commit is the same source.
import { writeFile } from "node:fs/promises";
import type { Owner } from "../content/lease.ts";
import type { StateRoot } from "../content/root.ts";
import { OWNER_VARIABLE } from "../content/sweep.ts";
import { BakeError } from "../diagnostic/error.ts";
import { digestOf } from "../oci/digest.ts";
import type { Session } from "../session/session.ts";
import type { Ref } from "../snapshot/ref.ts";
import type { Snapshotter } from "../snapshot/snapshotter.ts";
import type { KeyPart } from "../solver/op.ts";
import { checkOut } from "./gitcheckout.ts";
import { git, redactRemote } from "./gitprogram.ts";
import {
  fetchCommit,
  isCommitId,
  pinReference,
  type PinnedCommit,
  type RemoteAccess,
  withRepository,
} from "./gitremote.ts";
import type { PinnedSource, SourceBinding, SourceFacts, SourceRequest } from "./source.ts";

export interface GitSourceDeps {
  readonly root: StateRoot;
  readonly owner: Owner;
  readonly snapshots: Snapshotter;
  readonly session: Session;
}

export function createGitSource(deps: GitSourceDeps): SourceBinding {
  return {
    pool: "network",
    pin: async (request, { signal }) => {
      const source = readSource(request);
      return pinGit(source, await pinCommit(source, await accessOf(source, deps, signal)), deps);
    },
    describe: async (request, { signal }): Promise<SourceFacts> => {
      const source = readSource(request);
      const access = await accessOf(source, deps, signal);
      const pinned = await pinCommit(source, access);
      const repository = { remote: source.remote, idLength: pinned.object.length };
      const gitCommit = await withRepository(deps.root, repository, access, async gitDir => {
        await fetchCommit(gitDir, source.remote, pinned, access);
        const { environment } = access;
        return git(["cat-file", "commit", `${pinned.object}^{commit}`], source.remote, {
          gitDir,
          signal,
          environment,
        });
      });
      return { gitCommit };
    },
  };
}

/** A git source as its identifier and attributes describe it. */
interface GitSource {
  readonly remote: string;
  readonly ref: string;
  readonly subdir: string;
  readonly checksum: string;
  readonly keepGitDir: boolean;
  readonly submodules: boolean;
  readonly commitTimes: boolean;
  readonly fetchByCommit: boolean;
  readonly tokenSecret: string;
  readonly headerSecret: string;
  readonly knownHosts: string;
}

/** @throws BakeError "llb-invalid", "not-supported" */
function readSource({ locator, attrs }: SourceRequest): GitSource {
  for (const name of Object.keys(attrs)) {
    if (!/^git\.(?:sig\.|signature|verify|bundle|checkoutbundle)/.test(name)) continue;
    throw new BakeError("not-supported", `the git source attribute "${name}" is not available yet`);
  }
  const hash = locator.indexOf("#");
  const place = hash < 0 ? locator : locator.slice(0, hash);
  const fragment = hash < 0 ? "" : locator.slice(hash + 1);
  const colon = fragment.indexOf(":");
  const ref = colon < 0 ? fragment : fragment.slice(0, colon);
  const subdir = colon < 0 ? "" : fragment.slice(colon + 1);
  const full = attrs["git.fullurl"] || `https://${place}`;
  const remote = /^(?:https?|ssh|git):\/\/|^[\w.-]+@[\w.-]+:/.test(full) ? full : `https://${full}`;
  const checksum = attrs["git.checksum"] ?? "";
  if (ref.startsWith("-")) throw new BakeError("llb-invalid", `"${ref}" cannot be a git reference`);
  if (!/^[0-9a-f]*$/i.test(checksum))
    throw new BakeError("llb-invalid", `the git checksum "${checksum}" is not a commit`);
  const steps = subdir.split("/").filter(step => step !== "" && step !== ".");
  if (steps.includes(".."))
    throw new BakeError("llb-invalid", `the folder "${subdir}" leads out of the repository`);
  return {
    remote,
    ref,
    subdir: steps.join("/"),
    checksum: checksum.toLowerCase(),
    keepGitDir: attrs["git.keepgitdir"] === "true",
    submodules: attrs["git.skipsubmodules"] !== "true",
    commitTimes: attrs["git.mtime"] === "commit",
    fetchByCommit: attrs["git.fetchbycommit"] === "true",
    tokenSecret: attrs["git.authtokensecret"] ?? "",
    headerSecret: attrs["git.authheadersecret"] ?? "",
    knownHosts: attrs["git.knownsshhosts"] ?? "",
  };
}

/** How the remote is reached in the user's name. @throws BakeError "source-denied" when a secret cannot be read */
async function accessOf(
  source: GitSource,
  { session, owner }: GitSourceDeps,
  signal: AbortSignal,
): Promise<RemoteAccess> {
  const header = /^https?:/.test(source.remote) ? await authorization(source, session) : undefined;
  let knownHosts: string | undefined;
  if (source.knownHosts !== "" && !/^https?:/.test(source.remote)) {
    knownHosts = owner.newPath("temp");
    await writeFile(knownHosts, source.knownHosts, { mode: 0o600 });
  }
  const environment = { ...session.environment, [OWNER_VARIABLE]: owner.path };
  return { signal, environment, access: { userConfig: true, header, knownHosts } };
}

/** A secret for this host comes before one for any; a whole header before a token (BuildKit, source/git). */
async function authorization(
  { remote, tokenSecret, headerSecret }: GitSource,
  session: Session,
): Promise<{ readonly scope: string; readonly value: string } | undefined> {
  const { host } = new URL(remote);
  const candidates = [
    { id: headerSecret && `${headerSecret}.${host}`, isToken: false },
    { id: tokenSecret && `${tokenSecret}.${host}`, isToken: true },
    { id: headerSecret, isToken: false },
    { id: tokenSecret, isToken: true },
  ];
  // A token for GitHub opens its other repositories too, which submodules are likely to be.
  const scope = /^https:\/\/(?:www\.)?github\.com\//.exec(remote)?.[0] ?? remote;
  for (const { id, isToken } of candidates) {
    const secret = id === "" ? undefined : await session.secret(id);
    if (secret === undefined) continue;
    const text = Buffer.from(secret).toString("utf8").trim();
    const value = isToken ? `basic ${Buffer.from(`x-access-token:${text}`).toString("base64")}` : text;
    if (/[\r\n]/.test(value))
      throw new BakeError("source-denied", `the secret "${id}" is more than one line`);
    return { scope, value };
  }
  return undefined;
}

/** @throws BakeError "content-corrupt" when the commit is not the one that was to be found */
async function pinCommit(source: GitSource, access: RemoteAccess): Promise<PinnedCommit> {
  const { remote, ref, checksum, fetchByCommit } = source;
  if (isCommitId(ref)) {
    if (!ref.startsWith(checksum)) throw mismatch(source, [ref]);
    return { ref: undefined, object: ref, commit: ref };
  }
  if (fetchByCommit) {
    if (!isCommitId(checksum)) {
      throw new BakeError(
        "llb-invalid",
        `"${redactRemote(remote)}" is fetched by commit, but none is given in full`,
        {
          hint: "give all 40 digits as checksum",
        },
      );
    }
    const name = ref === "" ? undefined : ref.startsWith("refs/") ? ref : `refs/heads/${ref}`;
    return { ref: name, object: checksum, commit: checksum };
  }
  const pinned = await pinReference(remote, ref, access);
  if (!pinned.object.startsWith(checksum) && !pinned.commit.startsWith(checksum))
    throw mismatch(source, [...new Set([pinned.commit, pinned.object])]);
  return pinned;
}

function mismatch({ remote, ref, checksum }: GitSource, found: readonly string[]): BakeError {
  return new BakeError(
    "content-corrupt",
    `"${ref === "" ? "the default branch" : ref}" of the git repository "${redactRemote(remote)}" is not commit ${checksum}`,
    { hint: `it is ${found.join(" or ")}; if that is right, change the checksum` },
  );
}

function pinGit(source: GitSource, pinned: PinnedCommit, deps: GitSourceDeps): PinnedSource {
  const { remote, subdir, submodules, commitTimes } = source;
  const keepGitDir = source.keepGitDir && subdir === "";
  const options = [
    ...(submodules ? [] : ["without submodules"]),
    ...(commitTimes ? ["times of the commit"] : []),
    // The folder names its remote and reference.
    ...(keepGitDir ? [`with .git of ${redactRemote(remote)} ${pinned.ref ?? ""}`] : []),
  ].join(", ");
  const commit = keepGitDir ? pinned.object : pinned.commit;
  const parts: readonly KeyPart[] = [
    { label: "git commit", value: commit, shown: commit },
    { label: "folder", value: subdir, shown: subdir === "" ? "/" : subdir },
    { label: "checkout", value: options, shown: options === "" ? "plain" : options },
  ];
  const name = digestOf(JSON.stringify(["git", ...parts.map(({ value }) => value)]));
  return {
    ...(!isCommitId(source.ref) && !source.fetchByCommit && { asked: true }),
    parts,
    async fetch({ signal }): Promise<Ref> {
      const present = await deps.snapshots.lookup(name);
      if (present !== undefined) return { tag: "snapshot", id: present };
      const access = await accessOf(source, deps, signal);
      return withRepository(deps.root, { remote, idLength: pinned.object.length }, access, async gitDir => {
        const meanwhile = await deps.snapshots.lookup(name);
        if (meanwhile !== undefined) return { tag: "snapshot", id: meanwhile };
        await fetchCommit(gitDir, remote, pinned, access);
        await using active = await deps.snapshots.prepare(undefined);
        const request = { gitDir, remote, pinned, subdir, keepGitDir, submodules, commitTimes };
        await checkOut(active.root, request, access);
        return { tag: "snapshot", id: await active.commit({ name }) };
      });
    },
  };
}
