// The public door of the LLB library: `import { image, local } from "llbake/llb"`. Programs describe a build with
// states, marshal it and write the definition; docs/llb.md shows how.
import { randomBytes } from "node:crypto";
import { parsePlatform, type Platform } from "../oci/platform.ts";
import type { Definition } from "./definition.ts";
import { marshal as marshalState } from "./marshal.ts";
import type { State } from "./state.ts";

export { BakeError } from "../diagnostic/error.ts";
export { digestOf, type Digest } from "../oci/digest.ts";
export { normalizePlatform, platformFromNode, type Platform } from "../oci/platform.ts";
export type { MountRequest, RunOptions, UlimitRequest } from "./builder/exec.ts";
export { copy, FileAction, mkdir, mkfile, rm, symlink } from "./builder/file.ts";
export type {
  CopyOptions,
  MkdirOptions,
  MkfileOptions,
  Owner,
  RmOptions,
  SymlinkOptions,
} from "./builder/file.ts";
export type {
  GitOptions,
  HttpOptions,
  ImageOptions,
  LocalOptions,
  OciLayoutOptions,
  SourceDescription,
} from "./builder/source.ts";
export type { StateLike, StateValues } from "./builder/values.ts";
export type { VertexOptions } from "./builder/vertex.ts";
export type {
  Definition,
  LinuxResources,
  OpMetadata,
  SourceInfo,
  SourceLocation,
  VertexDigest,
} from "./definition.ts";
export { dumpDefinition, dumpDot } from "./dump.ts";
export { readDefinition, writeDefinition } from "./marshal.ts";
export { decodeOp, encodeOp, validateOp, type Op, type OpKind, type OpOf, type TerminalOp } from "./ops.ts";
export {
  diff,
  ExecState,
  git,
  http,
  image,
  local,
  merge,
  ociLayout,
  scratch,
  source,
  State,
  stateFromDefinition,
} from "./state.ts";

export interface PublicMarshalOptions {
  /**
   * The platform of images and commands that have none of their own, as `os/architecture[/variant]` or an object.
   * There is no default: a definition never depends on the machine it is made on.
   */
  readonly platform: Platform | string;
  /** The id of local sources without session and id; default: random, so that each marshalling differs. */
  readonly localUniqueId?: () => string;
}

/**
 * The definition of a state: ops with their metadata, inputs before users, the terminal op last.
 * @throws BakeError "llb-invalid", "platform-invalid"
 */
export function marshal(
  state: State,
  { platform, localUniqueId = randomId }: PublicMarshalOptions,
): Definition {
  const target = typeof platform === "string" ? parsePlatform(platform, FALLBACK) : platform;
  return marshalState(state, { platform: target, localUniqueId });
}

/** Completes platforms that name only an operating system or an architecture. */
const FALLBACK: Platform = { os: "linux", architecture: "amd64" };

const ID_LENGTH = 25;

/** 25 lower-case letters and digits, the form of BuildKit's ids: over 128 bits of chance. */
function randomId(): string {
  const value = BigInt(`0x${randomBytes(17).toString("hex")}`);
  return value.toString(36).padStart(ID_LENGTH, "0").slice(-ID_LENGTH);
}
