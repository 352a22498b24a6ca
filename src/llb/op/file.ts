// The file op (pb.FileOp): a chain of file actions done without a container.
import { BakeError } from "../../diagnostic/error.ts";
import {
  bigint,
  bool,
  bytes,
  int32,
  int64,
  list,
  message,
  oneof,
  sub,
  text,
  uint32,
  type OneOf,
} from "../message.ts";
import { checkInput, SKIP_OUTPUT, type OpCheck } from "./op.ts";

export interface FileOp {
  readonly actions: readonly FileAction[];
}

/**
 * One action. An input below the number of the op's inputs is one of them, above it is an earlier action (its index
 * plus that number), and -1 is an empty file system.
 */
export interface FileAction {
  readonly input: number;
  /** What a copy reads. */
  readonly secondaryInput: number;
  /** Index of the output that holds the result, or -1. */
  readonly output: number;
  readonly action?: FileChange;
}

export type FileChange = OneOf<FileChanges>;

interface FileChanges {
  readonly copy: CopyAction;
  readonly mkfile: MkfileAction;
  readonly mkdir: MkdirAction;
  readonly rm: RmAction;
  readonly symlink: SymlinkAction;
}

export interface CopyAction {
  readonly src: string;
  /** A trailing "/" or "/." is kept: it means a directory. */
  readonly dest: string;
  readonly owner?: Chown;
  /** Permission bits; -1 keeps those of the source. Not used when `modeStr` is set. */
  readonly mode: number;
  readonly followSymlink: boolean;
  readonly dirCopyContents: boolean;
  readonly attemptUnpack: boolean;
  readonly createDestPath: boolean;
  readonly allowWildcard: boolean;
  readonly allowEmptyWildcard: boolean;
  /** Nanoseconds since the epoch; -1 keeps those of the source. */
  readonly timestamp: bigint;
  readonly includePatterns: readonly string[];
  readonly excludePatterns: readonly string[];
  readonly alwaysReplaceExistingDestPaths: boolean;
  /** A mode in chmod(1)'s symbolic form. */
  readonly modeStr: string;
  /** Paths that must match something when there are include patterns. */
  readonly requiredPaths: readonly string[];
}

export interface MkfileAction {
  readonly path: string;
  readonly mode: number;
  readonly data: Uint8Array;
  readonly owner?: Chown;
  /** Nanoseconds since the epoch; -1 is the time of the build. */
  readonly timestamp: bigint;
}

export interface MkdirAction {
  readonly path: string;
  readonly mode: number;
  readonly makeParents: boolean;
  readonly owner?: Chown;
  readonly timestamp: bigint;
}

export interface RmAction {
  readonly path: string;
  readonly allowNotFound: boolean;
  readonly allowWildcard: boolean;
}

export interface SymlinkAction {
  /** What the link says. */
  readonly oldpath: string;
  /** Where the link is. */
  readonly newpath: string;
  readonly owner?: Chown;
  readonly timestamp: bigint;
}

export interface Chown {
  readonly user?: UserOption;
  readonly group?: UserOption;
}

/** A user or group by name (looked up in /etc/passwd or /etc/group of an input) or by id. */
export interface UserOption {
  readonly user?: OneOf<{ readonly byName: NamedUser; readonly byID: number }>;
}

export interface NamedUser {
  readonly name: string;
  /** The input whose files name it, or -1. */
  readonly input: number;
}

const namedUser = message<NamedUser>("NamedUserOpt", { name: text(1), input: int64(2) });

export const userOption = message<UserOption>("UserOpt", {
  user: oneof<{ readonly byName: NamedUser; readonly byID: number }>({
    byName: sub(1, () => namedUser),
    byID: uint32(2),
  }),
});

export const chown = message<Chown>("ChownOpt", {
  user: sub(1, () => userOption),
  group: sub(2, () => userOption),
});

const copyAction = message<CopyAction>("FileActionCopy", {
  src: text(1),
  dest: text(2),
  owner: sub(3, () => chown),
  mode: int32(4),
  followSymlink: bool(5),
  dirCopyContents: bool(6),
  attemptUnpack: bool(7, "attemptUnpackDockerCompatibility"),
  createDestPath: bool(8),
  allowWildcard: bool(9),
  allowEmptyWildcard: bool(10),
  timestamp: bigint(11),
  includePatterns: list(text(12, "include_patterns")),
  excludePatterns: list(text(13, "exclude_patterns")),
  alwaysReplaceExistingDestPaths: bool(14),
  modeStr: text(15),
  requiredPaths: list(text(16, "required_paths")),
});

const mkfileAction = message<MkfileAction>("FileActionMkFile", {
  path: text(1),
  mode: int32(2),
  data: bytes(3),
  owner: sub(4, () => chown),
  timestamp: bigint(5),
});

const mkdirAction = message<MkdirAction>("FileActionMkDir", {
  path: text(1),
  mode: int32(2),
  makeParents: bool(3),
  owner: sub(4, () => chown),
  timestamp: bigint(5),
});

const rmAction = message<RmAction>("FileActionRm", {
  path: text(1),
  allowNotFound: bool(2),
  allowWildcard: bool(3),
});

const symlinkAction = message<SymlinkAction>("FileActionSymlink", {
  oldpath: text(1),
  newpath: text(2),
  owner: sub(3, () => chown),
  timestamp: bigint(4),
});

const fileAction = message<FileAction>("FileAction", {
  input: int64(1),
  secondaryInput: int64(2),
  output: int64(3),
  action: oneof<FileChanges>({
    copy: sub(4, () => copyAction),
    mkfile: sub(5, () => mkfileAction),
    mkdir: sub(6, () => mkdirAction),
    rm: sub(7, () => rmAction),
    symlink: sub(8, () => symlinkAction),
  }),
});

export const fileOp = message<FileOp>("FileOp", { actions: list(sub(2, () => fileAction)) });

export const checkFile: OpCheck<FileOp> = ({ actions }, inputs) => {
  const fail = (why: string): never => {
    throw new BakeError("llb-invalid", `a file op ${why}`);
  };
  if (actions.length === 0) fail("has no actions");
  const outputs = new Set<number>();
  for (const [index, { input, secondaryInput, output, action }] of actions.entries()) {
    if (action === undefined) return fail(`does not say what its action ${index} is`);
    // An action may use the inputs of the op and the actions before it.
    for (const used of [input, secondaryInput]) {
      if (used < -1 || used >= inputs.length + index)
        fail(`has an action ${index} that uses the unknown input ${used}`);
    }
    if (action.kind !== "rm") {
      for (const option of [action.value.owner?.user?.user, action.value.owner?.group?.user]) {
        if (option?.kind === "byName")
          checkInput(option.value.input, inputs, `the owner "${option.value.name}" of a file op`);
      }
    }
    if (output === SKIP_OUTPUT) continue;
    if (output < 0) fail(`gives its action ${index} the output ${output}`);
    if (outputs.has(output)) fail(`gives the output ${output} to two actions`);
    outputs.add(output);
  }
  if (outputs.size === 0) fail("has no output");
};
