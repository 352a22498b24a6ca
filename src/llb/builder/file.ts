// Chains of file actions: described without a state, bound to one by `State.file`.
import { BakeError } from "../../diagnostic/error.ts";
import { encodeOp } from "../ops.ts";
import type { Chown, FileAction as WireAction, FileChange, UserOption } from "../op/file.ts";
import { cleanPath, joinPath, resolvePath } from "../path.ts";
import type { StateLike } from "./values.ts";
import { InputList, metadataFrom, type Output, type VertexNode, type VertexOptions } from "./vertex.ts";

/** Who owns what an action makes: an id, a name, or "user:group" as chown(1) takes it. */
export type Owner = string | { readonly user?: string | number; readonly group?: string | number };

interface MadeOptions {
  /** Default: root, or for copies the owner of the source where the worker keeps it. */
  readonly owner?: Owner;
  /** Nanoseconds since the epoch; default: the time of the build, for copies that of the source. */
  readonly timestamp?: bigint;
}

export interface CopyOptions extends MadeOptions {
  /** Permission bits of what is copied; default: those of the source. */
  readonly mode?: number;
  /** The mode in chmod(1)'s symbolic form, instead of `mode`. */
  readonly modeStr?: string;
  readonly followSymlink?: boolean;
  /** Copy what is in the directory, not the directory. */
  readonly dirCopyContents?: boolean;
  /** Unpack archives as ADD does. */
  readonly attemptUnpack?: boolean;
  readonly createDestPath?: boolean;
  readonly allowWildcard?: boolean;
  readonly allowEmptyWildcard?: boolean;
  readonly includePatterns?: readonly string[];
  readonly excludePatterns?: readonly string[];
  readonly requiredPaths?: readonly string[];
  readonly alwaysReplaceExistingDestPaths?: boolean;
}

export interface MkdirOptions extends MadeOptions {
  readonly makeParents?: boolean;
}

export type MkfileOptions = MadeOptions;
export type SymlinkOptions = MadeOptions;

export interface RmOptions {
  readonly allowNotFound?: boolean;
  readonly allowWildcard?: boolean;
}

/** How an action becomes a message: in the working directory `dir`, owners looked up in input `base`. */
type Change = (dir: string, base: number) => FileChange;

/** File actions in order. Immutable: each method returns a longer chain. */
export class FileAction {
  readonly #previous: FileAction | undefined;
  readonly #change: Change;
  readonly #source: StateLike | undefined;

  constructor(previous: FileAction | undefined, change: Change, source: StateLike | undefined) {
    this.#previous = previous;
    this.#change = change;
    this.#source = source;
  }

  /** Then copies `src` of another state to `dest`. See `copy`. */
  copy(from: StateLike, src: string, dest: string, options: CopyOptions = {}): FileAction {
    return new FileAction(this, copyChange(from, src, dest, options), from);
  }

  mkfile(path: string, mode: number, data: Uint8Array | string, options: MkfileOptions = {}): FileAction {
    return new FileAction(this, mkfileChange(path, mode, data, options), undefined);
  }

  mkdir(path: string, mode: number, options: MkdirOptions = {}): FileAction {
    return new FileAction(this, mkdirChange(path, mode, options), undefined);
  }

  rm(path: string, options: RmOptions = {}): FileAction {
    return new FileAction(this, rmChange(path, options), undefined);
  }

  symlink(oldpath: string, newpath: string, options: SymlinkOptions = {}): FileAction {
    return new FileAction(this, symlinkChange(oldpath, newpath, options), undefined);
  }

  /** The actions from first to last. */
  steps(): readonly { readonly change: Change; readonly source: StateLike | undefined }[] {
    const steps = [{ change: this.#change, source: this.#source }];
    for (let step = this.#previous; step !== undefined; step = step.#previous) {
      steps.push({ change: step.#change, source: step.#source });
    }
    return steps.reverse();
  }
}

/**
 * Copies `src` of a state (relative to that state's directory) to `dest` (relative to the directory of the state the
 * action is bound to). A trailing "/" of `dest` means: into this directory.
 */
export function copy(from: StateLike, src: string, dest: string, options: CopyOptions = {}): FileAction {
  return new FileAction(undefined, copyChange(from, src, dest, options), from);
}

/** Writes a file. Text is written as UTF-8. */
export function mkfile(
  path: string,
  mode: number,
  data: Uint8Array | string,
  options: MkfileOptions = {},
): FileAction {
  return new FileAction(undefined, mkfileChange(path, mode, data, options), undefined);
}

/** Makes a directory; fails when its parent is missing unless `makeParents`. */
export function mkdir(path: string, mode: number, options: MkdirOptions = {}): FileAction {
  return new FileAction(undefined, mkdirChange(path, mode, options), undefined);
}

/** Removes a file or a directory with everything in it. */
export function rm(path: string, options: RmOptions = {}): FileAction {
  return new FileAction(undefined, rmChange(path, options), undefined);
}

/** Makes a symbolic link at `newpath` that says `oldpath`. Both are written as given. */
export function symlink(oldpath: string, newpath: string, options: SymlinkOptions = {}): FileAction {
  return new FileAction(undefined, symlinkChange(oldpath, newpath, options), undefined);
}

/** The vertex of a chain on a base in the working directory `dir`. */
export function createFile(
  base: Output | undefined,
  dir: string,
  action: FileAction,
  options: VertexOptions,
): VertexNode {
  const steps = action.steps();
  return {
    // A definition lists the last action's base and source first, whatever order the inputs have.
    children: [...steps]
      .reverse()
      .flatMap(({ source }) => [base, source?.output].flatMap(output => output ?? [])),
    metadata: metadataFrom(options, ["file.base"]),
    ...(options.location && { location: options.location }),
    encode(context) {
      const inputs = new InputList(context);
      const used = steps.map(({ source }) => ({
        base: inputs.shared(base),
        source: inputs.shared(source?.output),
      }));
      const actions = steps.map(({ change }, index): WireAction => {
        const { base: baseIndex = -1, source = -1 } = used[index] ?? {};
        return {
          input: index === 0 ? baseIndex : inputs.list.length + index - 1,
          secondaryInput: source,
          output: index === steps.length - 1 ? 0 : -1,
          action: change(dir, baseIndex),
        };
      });
      return encodeOp({ kind: "file", inputs: inputs.list, constraints: { filter: [] }, spec: { actions } });
    },
  };
}

const KEEP_MODE = -1;
const KEEP_TIME = -1n;
const PERMISSION_BITS = 0o777;

function copyChange(from: StateLike, src: string, dest: string, options: CopyOptions): Change {
  const { mode, modeStr = "" } = options;
  const path = cleanPath(src);
  const value = {
    src: path.startsWith("/") ? path : joinPath(from.values.dir, path),
    // A mode in symbols leaves the number at zero, not at "keep".
    mode: modeStr !== "" ? 0 : (mode ?? KEEP_MODE),
    modeStr,
    followSymlink: options.followSymlink ?? false,
    dirCopyContents: options.dirCopyContents ?? false,
    attemptUnpack: options.attemptUnpack ?? false,
    createDestPath: options.createDestPath ?? false,
    allowWildcard: options.allowWildcard ?? false,
    allowEmptyWildcard: options.allowEmptyWildcard ?? false,
    timestamp: options.timestamp ?? KEEP_TIME,
    includePatterns: options.includePatterns ?? [],
    excludePatterns: options.excludePatterns ?? [],
    requiredPaths: options.requiredPaths ?? [],
    alwaysReplaceExistingDestPaths: options.alwaysReplaceExistingDestPaths ?? false,
  };
  return (dir, base) => ({
    kind: "copy",
    value: { ...value, dest: resolvePath(dir, dest, { keepSlash: true }), ...ownerOf(options.owner, base) },
  });
}

function mkfileChange(
  path: string,
  mode: number,
  data: Uint8Array | string,
  { owner, timestamp = KEEP_TIME }: MkfileOptions,
): Change {
  const content = typeof data === "string" ? new TextEncoder().encode(data) : data;
  return (dir, base) => ({
    kind: "mkfile",
    value: {
      path: resolvePath(dir, path),
      mode: mode & PERMISSION_BITS,
      data: content,
      timestamp,
      ...ownerOf(owner, base),
    },
  });
}

function mkdirChange(
  path: string,
  mode: number,
  { owner, timestamp = KEEP_TIME, makeParents = false }: MkdirOptions,
): Change {
  return (dir, base) => ({
    kind: "mkdir",
    value: {
      path: resolvePath(dir, path),
      mode: mode & PERMISSION_BITS,
      makeParents,
      timestamp,
      ...ownerOf(owner, base),
    },
  });
}

function rmChange(path: string, { allowNotFound = false, allowWildcard = false }: RmOptions): Change {
  return dir => ({ kind: "rm", value: { path: resolvePath(dir, path), allowNotFound, allowWildcard } });
}

function symlinkChange(
  oldpath: string,
  newpath: string,
  { owner, timestamp = KEEP_TIME }: SymlinkOptions,
): Change {
  return (_dir, base) => ({
    kind: "symlink",
    value: { oldpath, newpath, timestamp, ...ownerOf(owner, base) },
  });
}

function ownerOf(owner: Owner | undefined, base: number): { readonly owner?: Chown } {
  if (owner === undefined) return {};
  const { user, group } = typeof owner === "string" ? parseOwner(owner) : owner;
  return {
    owner: {
      ...(user !== undefined && { user: userOption(user, base) }),
      ...(group !== undefined && { group: userOption(group, base) }),
    },
  };
}

function parseOwner(text: string): { readonly user: string; readonly group?: string } {
  const colon = text.indexOf(":");
  return colon < 0 ? { user: text } : { user: text.slice(0, colon), group: text.slice(colon + 1) };
}

/** "root" and 32-bit numbers are ids, all else is a name; an empty name is id 0. */
function userOption(value: string | number, base: number): UserOption {
  const id =
    typeof value === "number"
      ? value
      : value === "root" || value === ""
        ? 0
        : /^[+-]?\d+$/.test(value)
          ? Number(value)
          : undefined;
  const isId = id !== undefined && id >= -(2 ** 31) && id < 2 ** 31;
  if (isId) return { user: { kind: "byID", value: id >>> 0 } };
  if (typeof value === "number")
    throw new BakeError("llb-invalid", `the id ${value} of an owner is out of range`);
  return { user: { kind: "byName", value: { name: value, input: base } } };
}
