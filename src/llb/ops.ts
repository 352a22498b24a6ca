// The ops by kind, and the bytes of a whole op (pb.Op): its inputs, platform and constraints around the message of
// its kind. A new kind is a file in op/ and a row here.
import { BakeError } from "../diagnostic/error.ts";
import { isDigest } from "../oci/digest.ts";
import type { Platform } from "../oci/platform.ts";
import { list, message, oneof, sub, type FieldsOf, type Message, type OneOf } from "./message.ts";
import { buildOp, checkBuild, type BuildOp } from "./op/build.ts";
import { checkDiff, diffOp, type DiffOp } from "./op/diff.ts";
import { checkExec, execOp, type ExecOp } from "./op/exec.ts";
import { checkFile, fileOp, type FileOp } from "./op/file.ts";
import { checkMerge, mergeOp, type MergeOp } from "./op/merge.ts";
import {
  inputMessage,
  platformMessage,
  workerConstraints,
  type Input,
  type InputMessage,
  type OpCheck,
  type PlatformMessage,
  type WorkerConstraints,
} from "./op/op.ts";
import { checkSource, sourceOp, type SourceOp } from "./op/source.ts";
import { decode, encode } from "./wire.ts";

/** The messages of the kinds. */
export interface OpSpecs {
  readonly exec: ExecOp;
  readonly source: SourceOp;
  readonly file: FileOp;
  readonly build: BuildOp;
  readonly merge: MergeOp;
  readonly diff: DiffOp;
}

export type OpKind = keyof OpSpecs;

/** An op of one kind. `spec` is the message of the kind. */
export interface OpOf<K extends OpKind> {
  readonly kind: K;
  readonly spec: OpSpecs[K];
  readonly inputs: readonly Input[];
  /** Set on exec and build ops and on image sources. */
  readonly platform?: Platform;
  readonly constraints?: WorkerConstraints;
}

/** A vertex that does something; narrow it by `kind`. */
export type Op = { readonly [K in OpKind]: OpOf<K> }[OpKind];

/** The last op of a definition: it names the result and does nothing. */
export interface TerminalOp {
  readonly kind: "terminal";
  readonly inputs: readonly Input[];
}

interface OpRow<S> {
  readonly message: Message<S>;
  readonly check: OpCheck<S>;
}

const rows = {
  exec: { message: execOp, check: checkExec },
  source: { message: sourceOp, check: checkSource },
  file: { message: fileOp, check: checkFile },
  build: { message: buildOp, check: checkBuild },
  merge: { message: mergeOp, check: checkMerge },
  diff: { message: diffOp, check: checkDiff },
} satisfies { readonly [K in OpKind]: OpRow<OpSpecs[K]> };

interface OpMessage {
  readonly inputs: readonly InputMessage[];
  readonly op?: OneOf<OpSpecs>;
  readonly platform?: PlatformMessage;
  readonly constraints?: WorkerConstraints;
}

const members: FieldsOf<OpSpecs> = {
  exec: sub(2, () => rows.exec.message),
  source: sub(3, () => rows.source.message),
  file: sub(4, () => rows.file.message),
  build: sub(5, () => rows.build.message),
  merge: sub(6, () => rows.merge.message),
  diff: sub(7, () => rows.diff.message),
};

export const opMessage = message<OpMessage>("Op", {
  inputs: list(sub(1, () => inputMessage)),
  op: oneof<OpSpecs>(members),
  platform: sub(10, () => platformMessage),
  constraints: sub(11, () => workerConstraints),
});

/** The bytes whose sha256 is the digest of the vertex. @throws BakeError "llb-invalid" */
export function encodeOp(op: Op | TerminalOp): Uint8Array {
  if (op.kind === "terminal") return encode(opMessage, { inputs: op.inputs });
  return encode(opMessage, {
    inputs: op.inputs,
    op: chosen(op),
    ...(op.platform && { platform: platformToMessage(op.platform) }),
    ...(op.constraints && { constraints: op.constraints }),
  });
}

/**
 * Reads an op; an op without a kind is a terminal.
 * @throws BakeError "llb-invalid" when the bytes are malformed or the kind is not known
 */
export function decodeOp(bytes: Uint8Array): Op | TerminalOp {
  const { inputs: wireInputs, op, platform, constraints } = decode(opMessage, bytes);
  const inputs = wireInputs.map(({ digest, index }): Input => {
    if (!isDigest(digest))
      throw new BakeError(
        "llb-invalid",
        `an op has an input with the malformed digest ${JSON.stringify(digest)}`,
      );
    if (index < 0)
      throw new BakeError("llb-invalid", `an op uses the output ${index} of its input ${digest}`);
    return { digest, index };
  });
  if (op === undefined) {
    if (platform !== undefined || constraints !== undefined) {
      throw new BakeError("llb-invalid", "an op is of a kind that is not known", {
        hint: "it may need a newer version; known kinds are " + Object.keys(rows).join(", "),
      });
    }
    return { kind: "terminal", inputs };
  }
  const rest = {
    inputs,
    ...(platform && { platform: platformFromMessage(platform) }),
    ...(constraints && { constraints }),
  };
  return opFrom(op, rest);
}

/**
 * Checks what can be checked of an op alone: indexes in range, required parts present.
 * @throws BakeError "llb-invalid"
 */
export function validateOp(op: Op): void {
  switch (op.kind) {
    case "exec":
      return rows.exec.check(op.spec, op.inputs);
    case "source":
      return rows.source.check(op.spec, op.inputs);
    case "file":
      return rows.file.check(op.spec, op.inputs);
    case "build":
      return rows.build.check(op.spec, op.inputs);
    case "merge":
      return rows.merge.check(op.spec, op.inputs);
    case "diff":
      return rows.diff.check(op.spec, op.inputs);
    default: {
      const never: never = op;
      return never;
    }
  }
}

type Rest = Pick<OpOf<OpKind>, "inputs" | "platform" | "constraints">;

function chosen<K extends OpKind>(
  op: { readonly [P in K]: OpOf<P> }[K],
): { readonly [P in K]: { readonly kind: P; readonly value: OpSpecs[P] } }[K] {
  return { kind: op.kind, value: op.spec };
}

function opFrom<K extends OpKind>(
  op: { readonly [P in K]: { readonly kind: P; readonly value: OpSpecs[P] } }[K],
  rest: Rest,
): { readonly [P in K]: OpOf<P> }[K] {
  return { kind: op.kind, spec: op.value, ...rest };
}

function platformToMessage({
  os,
  architecture,
  variant = "",
  osVersion = "",
  osFeatures = [],
}: Platform): PlatformMessage {
  return { os, architecture, variant, osVersion, osFeatures };
}

function platformFromMessage({
  os,
  architecture,
  variant,
  osVersion,
  osFeatures,
}: PlatformMessage): Platform {
  return {
    os,
    architecture,
    ...(variant !== "" && { variant }),
    ...(osVersion !== "" && { osVersion }),
    ...(osFeatures.length > 0 && { osFeatures }),
  };
}
