// From a RUN mount as written to a mount of an exec op.
import type { MountRequest } from "../../llb/builder/exec.ts";
import { mkdir } from "../../llb/builder/file.ts";
import { scratch, type State } from "../../llb/state.ts";
import { cleanPath, joinPath } from "../../llb/path.ts";
import { lowerError } from "./arguments.ts";
import type { Conversion, Stage } from "./model.ts";
import type { MountSpec } from "./mount.ts";
import { noteNeed } from "./outline.ts";
import { basePath } from "./ospath.ts";
import type { InstructionLine } from "./parse.ts";

interface Place {
  readonly line: InstructionLine;
  readonly stage: Stage;
  readonly conversion: Conversion;
  /** The stage that `from` names. */
  readonly source: Stage | undefined;
}

const CACHE_DIRECTORY = "/cache";
const CACHE_MODE = 0o755;
const SECRET_MODE = 0o400;
const SSH_MODE = 0o600;

/** @throws BakeError "dockerfile-lower" */
export function lowerMount(spec: MountSpec, place: Place): MountRequest {
  const { line, stage, conversion, source } = place;
  const named = spec.from !== "" || spec.type === "cache";
  if (named && source?.dispatched !== true) {
    throw lowerError(
      `RUN cannot mount from stage "${spec.from}", which is not built yet`,
      line,
      "define the stage before the one that uses it",
    );
  }
  if (spec.type === "secret") {
    noteNeed(stage.notes.secrets, secretId(spec), spec.required, line.range);
    return secretMount(spec);
  }
  if (spec.type === "ssh") {
    const mount = sshMount(spec, line);
    noteNeed(stage.notes.ssh, spec.id || "default", spec.required, line.range);
    return mount;
  }
  const target =
    spec.target !== "" && cleanPath(spec.target).startsWith("/")
      ? spec.target
      : joinPath("/", stage.state.values.dir, spec.target);
  if (target === "/") throw lowerError(`RUN cannot mount on "/"`, line, `give the mount a "target"`);
  const path = joinPath("/", spec.source);
  const from = named && source !== undefined ? source.state : conversion.buildContext;
  const paths = named && source !== undefined ? source.paths : stage.contextPaths;
  paths.add(path);
  const selector = path === "/" ? {} : { source: path };
  switch (spec.type) {
    case "tmpfs":
      return { kind: "tmpfs", target, sizeBytes: spec.sizeBytes, readonly: spec.readonly, ...selector };
    case "bind":
      return {
        kind: "bind",
        target,
        from,
        ...selector,
        ...(spec.readonly ? { readonly: true } : { noOutput: true }),
      };
    case "cache": {
      const id = `${conversion.options.cacheNamespace}/${spec.id === "" ? cleanPath(spec.target) : spec.id}`;
      const owned =
        path === "/" && (spec.uid !== undefined || spec.gid !== undefined || spec.mode !== undefined);
      return {
        kind: "cache",
        target,
        id,
        sharing: spec.sharing ?? "shared",
        readonly: spec.readonly,
        from: owned ? cacheDirectory(spec, from) : from,
        ...(owned ? { source: CACHE_DIRECTORY } : selector),
      };
    }
    default: {
      const never: never = spec.type;
      return never;
    }
  }
}

/** A directory with the owner and mode that a cache starts with. */
function cacheDirectory({ uid = 0, gid = 0, mode = CACHE_MODE }: MountSpec, from: State): State {
  const action = mkdir(CACHE_DIRECTORY, mode, { owner: { user: uid, group: gid } });
  return (from.isScratch ? scratch() : from).file(action, {
    customName: "[internal] setting cache mount permissions",
  });
}

function secretId({ source, id, target }: MountSpec): string {
  return source || id || basePath(target);
}

function secretMount(spec: MountSpec): MountRequest {
  const id = secretId(spec);
  const target = spec.target || (spec.env === undefined ? `/run/secrets/${basePath(id)}` : undefined);
  return {
    kind: "secret",
    id,
    ...(target !== undefined && { target }),
    ...(spec.env !== undefined && { env: spec.env }),
    optional: !spec.required,
    ...ownership(spec, SECRET_MODE),
  };
}

function sshMount(spec: MountSpec, line: InstructionLine): MountRequest {
  if (spec.source !== "") throw lowerError(`an ssh mount does not take "source"`, line, `use "id"`);
  return {
    kind: "ssh",
    id: spec.id,
    ...(spec.target && { target: spec.target }),
    optional: !spec.required,
    ...ownership(spec, SSH_MODE),
  };
}

/** The defaults of the LLB builder hold unless one of the three is given. */
function ownership(
  { uid, gid, mode }: MountSpec,
  defaultMode: number,
): { readonly uid?: number; readonly gid?: number; readonly mode?: number } {
  if (uid === undefined && gid === undefined && mode === undefined) return {};
  return { uid: uid ?? 0, gid: gid ?? 0, mode: mode ?? defaultMode };
}
