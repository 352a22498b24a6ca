// A ref as something to read or to build upon: mounted trees, snapshots of directories read in place, content keys.
import { hashPaths, type PathSelector } from "../layer/contenthash.ts";
import { copyInto } from "../layer/copytree.ts";
import { digestOf } from "../oci/digest.ts";
import type { LocalTree, Ref } from "../snapshot/ref.ts";
import type { SnapshotId } from "../snapshot/snapshotter.ts";
import type { ContentKey, InputKeying } from "../solver/op.ts";
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
        srcRoot: ref.tree.root,
        src: "/",
        destRoot: active.root,
        dest: "/",
        ...wholeCopy,
        filter: ref.tree,
        resetOwner: true,
        signal,
      });
      return await active.commit();
    }
  }
}

/** Keys an input by the content of some of its paths. */
export function contentKeying(
  worker: Worker,
  selectors: readonly PathSelector[],
): InputKeying<Ref> & Required<Pick<InputKeying<Ref>, "contentKey">> {
  return {
    selector: JSON.stringify(selectors),
    contentKey: (ref, { signal }) => contentKeyOf(ref, selectors, worker, signal),
  };
}

/** Everything in a tree. */
export const wholeTree: readonly PathSelector[] = [{ path: "/", wildcard: false, followSymlink: false }];

async function contentKeyOf(
  ref: Ref,
  selectors: readonly PathSelector[],
  worker: Worker,
  signal: AbortSignal,
): Promise<ContentKey> {
  await using tree = await openTree(ref, worker);
  if (tree === undefined) return { digest: digestOf("scratch") };
  const { local } = tree;
  try {
    const { digest, parts } =
      local === undefined
        ? await hashPaths(tree.root, selectors, undefined, { signal })
        : await hashPaths(tree.root, selectors, local, {
            signal,
            resetOwner: true,
            statCache: await worker.statCache(local.root),
          });
    return { digest, parts: parts.map(({ label, value }) => ({ label: partLabel(label), value })) };
  } catch (error) {
    const paths = selectors.flatMap(({ path, requiredPaths = [] }) => [path, ...requiredPaths]);
    throw explainMissing(error, paths, tree);
  }
}

/** What explanations call a piece of a tree: a file, or the files of a folder too large to be told one by one. */
function partLabel(path: string): string {
  return path.length > 1 && path.endsWith("/")
    ? `folder ${JSON.stringify(path.slice(0, -1))}`
    : `file ${JSON.stringify(path)}`;
}
