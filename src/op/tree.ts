// A ref as something to read or to build upon: mounted trees, snapshots of directories read in place, content keys.
import {
  type ContentPart,
  hashPaths,
  isAsListed,
  type ListedMatch,
  type PathSelector,
} from "../layer/contenthash.ts";
import { copyInto, type CopyOptions } from "../layer/copytree.ts";
import { digestOf } from "../oci/digest.ts";
import type { LocalTree, Ref } from "../snapshot/ref.ts";
import type { SnapshotId } from "../snapshot/snapshotter.ts";
import { qualityLabel } from "../solver/explain.ts";
import type { ContentKey, InputKeying, KeyPart } from "../solver/op.ts";
import type { Worker } from "../worker/worker.ts";
import { explainMissing } from "./missing.ts";

/** A readable tree. `local` is set for directories read in place: their filters apply to whatever is read. */
export interface ReadableTree extends AsyncDisposable {
  readonly root: string;
  readonly local: LocalTree | undefined;
}

/** Opens a ref for reading; undefined for an empty tree. */
export async function openTree(ref: Ref, { snapshots }: Worker): Promise<ReadableTree | undefined> {
  switch (ref.tag) {
    case "scratch":
      return undefined;
    case "local":
      return { root: ref.tree.root, local: ref.tree, [Symbol.asyncDispose]: () => Promise.resolve() };
    case "snapshot": {
      const view = await snapshots.view(ref.id);
      return { root: view.root, local: undefined, [Symbol.asyncDispose]: () => view[Symbol.asyncDispose]() };
    }
  }
}

/** Options of a copy that takes everything as it is. */
export const wholeCopy = {
  followSymlink: false,
  dirCopyContents: true,
  createDestPath: true,
  allowWildcard: false,
  allowEmptyWildcard: false,
} as const;

/** Options of a copy out of a directory read in place: what its filters let through, as root's. */
export function copyOfLocal(tree: LocalTree): Pick<CopyOptions, "srcRoot" | "filter" | "resetOwner"> {
  return { srcRoot: tree.root, filter: tree, resetOwner: true };
}

/** The snapshot that holds a ref's tree, copying a directory read in place; undefined for an empty tree. */
export async function snapshotOf(
  ref: Ref,
  { snapshots }: Worker,
  signal: AbortSignal,
): Promise<SnapshotId | undefined> {
  switch (ref.tag) {
    case "scratch":
      return undefined;
    case "snapshot":
      return ref.id;
    case "local": {
      await using active = await snapshots.prepare(undefined);
      await copyInto({
        ...wholeCopy,
        ...copyOfLocal(ref.tree),
        src: "/",
        destRoot: active.root,
        dest: "/",
        signal,
      });
      return await active.commit();
    }
  }
}

/**
 * What keying a vertex by a directory read in place has seen there. A copy of just that needs no second walk, and
 * afterwards nothing but what it read has to be looked at again.
 */
export interface Sighting {
  seen?:
    | {
        readonly root: string;
        /** Of the first selector. */
        readonly listed: readonly ListedMatch[];
        readonly key: ContentKey;
        /** When it had been seen, in seconds of `process.uptime()`. */
        readonly atSeconds: number;
        isTaken: boolean;
      }
    | undefined;
}

/** After so many seconds a folder is walked anew for a copy: it should have what the user sees there. */
const SEEN_SECONDS = 5;

/** What was seen a moment ago, for a copy that takes that and nothing else from the directory; undefined when nothing was. */
export function takeSighting(sighting: Sighting, { root }: LocalTree): readonly ListedMatch[] | undefined {
  const { seen } = sighting;
  if (seen?.root !== root || seen.isTaken || process.uptime() - seen.atSeconds > SEEN_SECONDS)
    return undefined;
  seen.isTaken = true;
  return seen.listed;
}

/** Keys an input by the content of some of its paths. */
export function contentKeying(
  worker: Worker,
  selectors: readonly PathSelector[],
  sighting?: Sighting,
): InputKeying<Ref> & Required<Pick<InputKeying<Ref>, "contentKey">> {
  return {
    selector: JSON.stringify(selectors),
    contentKey: (ref, { signal }) => contentKeyOf(ref, selectors, worker, { signal, sighting }),
  };
}

/** Everything in a tree. */
export const wholeTree: readonly PathSelector[] = [{ path: "/", wildcard: false, followSymlink: false }];

async function contentKeyOf(
  ref: Ref,
  selectors: readonly PathSelector[],
  worker: Worker,
  { signal, sighting }: { readonly signal: AbortSignal; readonly sighting: Sighting | undefined },
): Promise<ContentKey> {
  await using tree = await openTree(ref, worker);
  if (tree === undefined) return { digest: digestOf("scratch") };
  const { local } = tree;
  const statCache = local && (await worker.statCache(local.root));
  const { seen } = sighting ?? {};
  if (sighting !== undefined) sighting.seen = undefined;
  try {
    if (local !== undefined && seen?.isTaken === true) {
      const looks = seen.listed.map(match => isAsListed(match, { signal, statCache }));
      if ((await Promise.all(looks)).every(same => same)) return seen.key;
    }
    const list = local !== undefined && sighting !== undefined;
    const { digest, parts, listed } = await hashPaths(tree.root, selectors, local, {
      signal,
      resetOwner: local !== undefined,
      statCache,
      list,
    });
    const key = { digest, parts: parts.map(keyPart) };
    if (list)
      sighting.seen = {
        root: local.root,
        listed: listed[0] ?? [],
        key,
        atSeconds: process.uptime(),
        isTaken: false,
      };
    return key;
  } catch (error) {
    const paths = selectors.flatMap(({ path, requiredPaths = [] }) => [path, ...requiredPaths]);
    throw explainMissing(error, paths, tree);
  }
}

function keyPart({ label, value, isMode }: ContentPart): KeyPart {
  const named = partLabel(label);
  return isMode === true
    ? { label: qualityLabel("mode", named), value, shown: value }
    : { label: named, value };
}

/** What explanations call a piece of a tree: a file, or the files of a folder too large to be told one by one. */
function partLabel(path: string): string {
  return path.length > 1 && path.endsWith("/")
    ? `folder ${JSON.stringify(path.slice(0, -1))}`
    : `file ${JSON.stringify(path)}`;
}
