// The file op: its actions in order, in-process, without a container. An action that only continues the one before
// keeps writing into the same active snapshot; every other state is committed.
import { encodeDeclaredSize, SIZE_NOTE } from "../content/declaredsize.ts";
import { BakeError } from "../diagnostic/error.ts";
import { copyInto } from "../layer/copytree.ts";
import { mkdirAt, mkfileAt, removeAt, symlinkAt } from "../layer/fileops.ts";
import type { PathSelector } from "../layer/contenthash.ts";
import { cleanPath } from "../layer/rootpath.ts";
import type { Chown, CopyAction, FileAction, FileOp } from "../llb/op/file.ts";
import { SKIP_OUTPUT } from "../llb/op/op.ts";
import type { LocalTree, Ref } from "../snapshot/ref.ts";
import type { ActiveSnapshot, SnapshotId } from "../snapshot/snapshotter.ts";
import type { CacheMap, InputKeying, KeyPart, OpContext } from "../solver/op.ts";
import type { SharedCopy } from "../worker/copies.ts";
import type { BoundVertex, OpBinding, OpDeps } from "./binding.ts";
import { createHeld, type Held } from "./held.ts";
import { explainMissing } from "./missing.ts";
import { lookupOwner, type Owner, ownerSelectors } from "./owner.ts";
import { contentKeying, openTree, type Sighting, snapshotOf, takeSighting, wholeTree } from "./tree.ts";

/** Of copies that are steps of their own: what they were keyed by. */
const sightings = new WeakMap<BoundVertex<"file">, Sighting>();

export const fileBinding: OpBinding<"file"> = {
  cacheMap: (vertex, { worker }): Promise<CacheMap<Ref>> => {
    const { op, inPlaceInputs } = vertex;
    const { actions } = op.spec;
    const sighting: Sighting | undefined = isOneCopy(op.spec) ? {} : undefined;
    if (sighting !== undefined) sightings.set(vertex, sighting);
    return Promise.resolve({
      parts: actions.map((action, index) =>
        actionPart(action, index, selectorsOf(op.spec, action.secondaryInput) !== undefined),
      ),
      inputs: op.inputs.map((_, input): InputKeying<Ref> => {
        const selectors = selectorsOf(op.spec, input);
        if (selectors !== undefined)
          return contentKeying(
            worker,
            selectors,
            inPlaceInputs[input] === true && input === actions[0]?.secondaryInput ? sighting : undefined,
          );
        return inPlaceInputs[input] === true ? contentKeying(worker, wholeTree) : {};
      }),
    });
  },
  exec: (vertex, inputs, deps, context) => runActions(vertex, inputs, deps, context),
};

function isOneCopy({ actions }: FileOp): boolean {
  const [first, ...others] = actions;
  return others.length === 0 && first?.action?.kind === "copy" && isPlain(first.action.value);
}

/**
 * The piece of the key that says what one action does. When the content that a copy reads is keyed by itself, only the
 * last name of its path matters.
 */
function actionPart(
  { input, secondaryInput, output, action }: FileAction,
  index: number,
  keyedByContent: boolean,
): KeyPart {
  const kept = action?.kind === "copy" && keyedByContent ? { src: nameOf(action.value.src) } : {};
  const value = JSON.stringify(
    { ...action, value: { ...action?.value, ...kept }, indexes: [input, secondaryInput, output] },
    (_key, field: unknown) =>
      typeof field === "bigint"
        ? field.toString()
        : field instanceof Uint8Array
          ? Buffer.from(field).toString("base64")
          : field,
  );
  return { label: `action ${index + 1}`, value, shown: describe(action) };
}

function describe(action: FileAction["action"]): string {
  switch (action?.kind) {
    case undefined:
      return "nothing";
    case "copy":
      return `copy ${action.value.src} to ${action.value.dest}`;
    case "mkfile":
    case "mkdir":
    case "rm":
      return `${action.kind} ${action.value.path}`;
    case "symlink":
      return `symlink ${action.value.newpath} to ${action.value.oldpath}`;
  }
}

/** What a copy is named after. */
function nameOf(source: string): string {
  const path = cleanPath(source);
  return path.slice(path.lastIndexOf("/") + 1);
}

/** The paths that matter of an input that is only read; undefined for one that is built upon. */
function selectorsOf({ actions }: FileOp, input: number): readonly PathSelector[] | undefined {
  if (input < 0 || actions.some(action => action.input === input)) return undefined;
  const selectors: PathSelector[] = [];
  for (const { secondaryInput, action } of actions) {
    if (action === undefined) continue;
    if (action.kind === "copy" && secondaryInput === input) selectors.push(copySelector(action.value));
    if (action.kind !== "rm" && action.value.owner !== undefined)
      selectors.push(...ownerSelectors(action.value.owner, input));
  }
  return selectors;
}

function copySelector({
  src,
  allowWildcard,
  followSymlink,
  includePatterns,
  excludePatterns,
  requiredPaths,
}: CopyAction): PathSelector {
  return {
    path: src,
    wildcard: allowWildcard,
    followSymlink,
    includePatterns,
    excludePatterns,
    requiredPaths,
  };
}

/** What an action left behind: still open for one successor, or committed. */
type ActionState = ({ readonly tag: "open" } & OpenState) | { readonly tag: "ref"; readonly ref: Ref };

interface OpenState {
  readonly active: ActiveSnapshot;
  /** What it began as. */
  readonly parent: SnapshotId | undefined;
  /** Copies in it whose files may be shared with later ones. */
  readonly copies: readonly SharedCopy[];
  /** Allocated for all that is in it; undefined when it has to be measured. */
  readonly bytes: number | undefined;
  /** It only holds what changed since. */
  readonly revisionOf?: SnapshotId | undefined;
}

async function runActions(
  vertex: BoundVertex<"file">,
  inputs: readonly Ref[],
  deps: OpDeps,
  context: OpContext,
): Promise<readonly (Ref | undefined)[]> {
  const { worker } = deps;
  const { actions } = vertex.op.spec;
  const outputs: (Ref | undefined)[] = [];
  const states: ActionState[] = [];
  const uses = countUses(actions, inputs.length);
  await using held = createHeld();

  /** The state an index names, committed. */
  const refAt = async (index: number): Promise<Ref> => {
    if (index < 0) return { tag: "scratch" };
    const input = inputs[index];
    if (input !== undefined) return input;
    const state = states[index - inputs.length];
    if (state === undefined)
      throw new BakeError(
        "llb-invalid",
        `a file action uses ${index}, which is neither an input nor an earlier action`,
      );
    if (state.tag === "ref") return state.ref;
    const ref: Ref = { tag: "snapshot", id: await commit(state) };
    states[index - inputs.length] = { tag: "ref", ref };
    return ref;
  };
  /** An active snapshot that begins as the state an index names; taken over when nobody else needs that state. */
  const activeFrom = async (index: number): Promise<OpenState> => {
    const state = index < inputs.length ? undefined : states[index - inputs.length];
    if (state?.tag === "open" && uses[index - inputs.length] === 1) return state;
    const parent = await snapshotOf(await refAt(index), worker, context.signal);
    const active = held.add(await worker.snapshots.prepare(parent));
    // A copy of the parent takes what that takes.
    const bytes = worker.snapshots.kind === "native" && parent !== undefined ? undefined : OWN_BYTES;
    return { active, parent, copies: [], bytes };
  };
  // Files shared with an earlier snapshot must never be written to, which only these promise.
  const mayShare = actions.every(({ action }) => action?.kind === "copy" && isPlain(action.value));

  for (const { input, secondaryInput, output, action } of actions) {
    context.signal.throwIfAborted();
    if (action === undefined) throw new BakeError("llb-invalid", "a file action does not say what it does");
    const source = action.kind === "copy" ? await refAt(secondaryInput) : undefined;
    const open = await activeFrom(input);
    const sighting = sightings.get(vertex);
    const isAlone = sighting !== undefined;
    const parts: ActionDeps = { source, inputs, held, mayShare, isAlone, sighting, ...deps };
    const state = await applyAction(action, open, parts, context);
    states.push({ tag: "open", ...state });
    if (output !== SKIP_OUTPUT) outputs[output] = await refAt(inputs.length + states.length - 1);
  }
  return outputs;
}

/** Folders of a snapshot and what describes it. */
const OWN_BYTES = 16 * 1024;

async function commit({ active, copies, bytes, revisionOf }: OpenState): Promise<SnapshotId> {
  if (revisionOf !== undefined) {
    if (bytes !== undefined) active.note(SIZE_NOTE, encodeDeclaredSize({ bytes, beside: [] }));
    return await active.commit({ revisionOf });
  }
  let notedBytes = 0;
  for (const copy of copies) notedBytes += copy.note(active);
  if (bytes !== undefined) {
    const beside = [...new Set(copies.flatMap(copy => copy.beside ?? []))];
    active.note(SIZE_NOTE, encodeDeclaredSize({ bytes: bytes + notedBytes, beside }));
  }
  const id = await active.commit();
  for (const copy of copies) await copy.remember(id);
  return id;
}

/** How often each action's state is used: by later actions, and as an output. */
function countUses(actions: readonly FileAction[], inputCount: number): readonly number[] {
  const uses = actions.map(({ output }): number => (output === SKIP_OUTPUT ? 0 : 1));
  for (const { input, secondaryInput } of actions) {
    for (const index of [input, secondaryInput]) {
      const used = index - inputCount;
      if (used >= 0 && used < uses.length) uses[used] = (uses[used] ?? 0) + 1;
    }
  }
  return uses;
}

/** A copy that only adds files, and replaces files by files. */
function isPlain({ attemptUnpack, alwaysReplaceExistingDestPaths }: CopyAction): boolean {
  return !attemptUnpack && !alwaysReplaceExistingDestPaths;
}

interface ActionDeps extends OpDeps {
  /** What a copy reads. */
  readonly source: Ref | undefined;
  readonly inputs: readonly Ref[];
  readonly held: Held;
  readonly mayShare: boolean;
  /** Whether the step is this one action. */
  readonly isAlone: boolean;
  readonly sighting: Sighting | undefined;
}

async function applyAction(
  action: NonNullable<FileAction["action"]>,
  state: OpenState,
  deps: ActionDeps,
  { signal }: OpContext,
): Promise<OpenState> {
  const ownerOf = async (chown: Chown | undefined): Promise<{ owner?: Owner }> => {
    const owner = await lookupOwner(chown, deps.inputs, deps.worker);
    return owner === undefined ? {} : { owner };
  };
  if (action.kind === "copy")
    return await copy(action.value, state, await ownerOf(action.value.owner), deps, signal);
  await change(action, state.active.root, ownerOf);
  return { ...state, bytes: undefined };
}

async function change(
  action: Exclude<NonNullable<FileAction["action"]>, { readonly kind: "copy" }>,
  root: string,
  ownerOf: (chown: Chown | undefined) => Promise<{ owner?: Owner }>,
): Promise<void> {
  switch (action.kind) {
    case "mkdir": {
      const { path, mode, makeParents, timestamp, owner } = action.value;
      return mkdirAt({
        root,
        path,
        mode,
        makeParents,
        ...timestampOption(timestamp),
        ...(await ownerOf(owner)),
      });
    }
    case "mkfile": {
      const { path, mode, data, timestamp, owner } = action.value;
      return mkfileAt({ root, path, mode, data, ...timestampOption(timestamp), ...(await ownerOf(owner)) });
    }
    case "rm": {
      const { path, allowNotFound, allowWildcard } = action.value;
      return removeAt({ root, path, allowNotFound, allowWildcard });
    }
    case "symlink": {
      const { oldpath, newpath, timestamp, owner } = action.value;
      return symlinkAt({
        root,
        path: newpath,
        target: oldpath,
        ...timestampOption(timestamp),
        ...(await ownerOf(owner)),
      });
    }
  }
}

async function copy(
  action: CopyAction,
  state: OpenState,
  owner: { readonly owner?: Owner },
  { source = { tag: "scratch" }, held, mayShare, isAlone, sighting, worker }: ActionDeps,
  signal: AbortSignal,
): Promise<OpenState> {
  const { active, parent } = state;
  const { src, mode, modeStr, timestamp } = action;
  const tree = await openTree(source, worker);
  if (tree === undefined) {
    throw new BakeError("file-missing", `cannot copy "${src}": it is not there`, {
      hint: "the source of this copy is an empty file system",
    });
  }
  held.add(tree);
  const parts = isPlain(action) ? await active.parts() : undefined;
  const shared =
    mayShare && parts !== undefined && tree.local !== undefined
      ? await (
          await worker.copies()
        )?.sharing(nameOfCopy(action, tree.local, owner.owner), { parent, isAlone })
      : undefined;
  try {
    const { bytes, isRevision } = await copyInto({
      srcRoot: tree.root,
      src,
      destRoot: parts?.own ?? active.root,
      destBelow: parts?.below,
      dest: action.dest,
      ...(mode !== -1 && modeStr === "" && { mode }),
      ...(modeStr !== "" && { modeStr }),
      ...timestampOption(timestamp),
      ...owner,
      followSymlink: action.followSymlink,
      dirCopyContents: action.dirCopyContents,
      createDestPath: action.createDestPath,
      allowWildcard: action.allowWildcard,
      allowEmptyWildcard: action.allowEmptyWildcard,
      alwaysReplace: action.alwaysReplaceExistingDestPaths,
      attemptUnpack: action.attemptUnpack,
      requiredPaths: action.requiredPaths,
      includePatterns: action.includePatterns,
      excludePatterns: action.excludePatterns,
      ...(tree.local && { filter: tree.local, resetOwner: true }),
      sharing: shared?.sharing,
      listed: tree.local && sighting && takeSighting(sighting, tree.local),
      signal,
    });
    return {
      active,
      parent,
      copies: shared === undefined ? state.copies : [...state.copies, shared],
      ...(isRevision && { revisionOf: shared?.beside }),
      // Through a mount, more is made than the copy knows.
      bytes:
        parts === undefined || bytes === undefined || state.bytes === undefined
          ? undefined
          : state.bytes + bytes,
    };
  } catch (error) {
    throw explainMissing(error, [src, ...action.requiredPaths], tree);
  }
}

/** All that decides where a file of a local folder is copied, and with what owner, mode and time. */
function nameOfCopy(
  { src, dest, mode, modeStr, timestamp }: CopyAction,
  { root }: LocalTree,
  owner: Owner | undefined,
): string {
  return JSON.stringify([root, src, dest, owner?.uid, owner?.gid, mode, modeStr, String(timestamp)]);
}

function timestampOption(timestamp: bigint): { readonly timestampNs?: bigint } {
  return timestamp === -1n ? {} : { timestampNs: timestamp };
}
