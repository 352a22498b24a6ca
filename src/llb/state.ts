// The builder: describe a build as values that lead to a file system, then marshal it. States are immutable; every
// method returns a new one. Rules are those of BuildKit's client/llb, so equal programs give equal digests.
//
//   const base = image("docker.io/library/alpine");
//   const built = base.file(copy(local("context"), "/src", "/src")).run({ shell: "make -C /src" }).root();
//   const definition = marshal(built, { platform });
import { BakeError } from "../diagnostic/error.ts";
import { digestOf } from "../oci/digest.ts";
import type { ImageConfig } from "../oci/imageconfig.ts";
import { normalizePlatform, type Platform } from "../oci/platform.ts";
import { createExec, type ExecVertex, type RunOptions, type UlimitRequest } from "./builder/exec.ts";
import { createFile, type FileAction } from "./builder/file.ts";
import {
  createSource,
  describeGit,
  describeHttp,
  describeImage,
  describeLocal,
  describeOciLayout,
  isPlatformSpecific,
  type GitOptions,
  type HttpOptions,
  type ImageOptions,
  type LocalOptions,
  type OciLayoutOptions,
  type SourceDescription,
} from "./builder/source.ts";
import {
  InputList,
  metadataFrom,
  type Output,
  type VertexNode,
  type VertexOptions,
} from "./builder/vertex.ts";
import { withEnv } from "./builder/environment.ts";
import type { StateLike, StateValues } from "./builder/values.ts";
import type { Definition } from "./definition.ts";
import { decodeOp, encodeOp } from "./ops.ts";
import { DEFINITION_FILE_ATTR, LLB_BUILDER, LLB_DEFINITION_INPUT } from "./op/build.ts";
import type { NetworkMode, SecurityMode, Ulimit } from "./op/exec.ts";
import type { Input } from "./op/op.ts";
import { joinPath } from "./path.ts";

const INITIAL: StateValues = {
  env: new Map(),
  dir: "/",
  user: "",
  hostname: "",
  network: "sandbox",
  security: "sandbox",
  extraHosts: [],
  ulimits: [],
  cgroupParent: "",
};

/** A file system to be built, and the settings commands on it start with. Made by `image`, `scratch` and the like. */
export class State implements StateLike {
  /** The step whose result this is; undefined is the empty file system. */
  readonly output: Output | undefined;
  readonly values: StateValues;

  constructor(output: Output | undefined, values: StateValues) {
    this.output = output;
    this.values = values;
  }

  /** Whether this is the empty file system. */
  get isScratch(): boolean {
    return this.output === undefined;
  }

  /**
   * Runs a command on this file system. Settings in the options hold for this command only.
   * @throws BakeError "llb-invalid" when there are no arguments
   */
  run(options: RunOptions): ExecState {
    return new ExecState(this, createExec(this.output, valuesFor(this.values, options), options));
  }

  /** Changes files without a command. Paths are relative to the working directory. */
  file(action: FileAction, options: VertexOptions = {}): State {
    return this.withOutput({ vertex: createFile(this.output, this.values.dir, action, options), index: 0 });
  }

  /**
   * Builds the LLB definition that a file of this file system holds (default name `buildkit.llb.definition`).
   * @throws BakeError "llb-invalid" on the empty file system
   */
  build(options: VertexOptions & { readonly filename?: string } = {}): State {
    return this.withOutput({ vertex: createBuild(this.output, options), index: 0 });
  }

  addEnv(name: string, value: string): State {
    return this.#with({ env: withEnv(this.values.env, { [name]: value }) });
  }

  /** `NAME=value`, as a command would see it. */
  envList(): readonly string[] {
    return [...this.values.env].map(([name, value]) => `${name}=${value}`);
  }

  /** Sets the working directory; a relative one is under the present one. An absolute one is kept as written. */
  dir(path: string): State {
    return this.#with({ dir: dirFrom(this.values.dir, path) });
  }

  user(user: string): State {
    return this.#with({ user });
  }

  hostname(hostname: string): State {
    return this.#with({ hostname });
  }

  /** Sets the platform of commands from here on. It is normalised. */
  platform(platform: Platform): State {
    return this.#with({ platform: normalizePlatform(platform) });
  }

  network(network: NetworkMode): State {
    return this.#with({ network });
  }

  security(security: SecurityMode): State {
    return this.#with({ security });
  }

  addExtraHost(host: string, ip: string): State {
    return this.#with({ extraHosts: [...this.values.extraHosts, { host, ip }] });
  }

  addUlimit(ulimit: UlimitRequest): State {
    return this.#with({ ulimits: [...this.values.ulimits, ulimitFrom(ulimit)] });
  }

  cgroupParent(cgroupParent: string): State {
    return this.#with({ cgroupParent });
  }

  /** Takes environment, working directory and platform of an image config. The user is left to the caller. */
  withImageConfig({
    config,
    os,
    architecture,
    variant,
    "os.version": osVersion,
    "os.features": osFeatures,
  }: Partial<ImageConfig>): State {
    let { env } = this.values;
    for (const entry of config?.Env ?? []) {
      const [, name = "", value = ""] = /^([^=]*)=?(.*)$/s.exec(entry) ?? [];
      if (name !== "") env = withEnv(env, { [name]: value });
    }
    const configured = this.#with({ env, dir: dirFrom(this.values.dir, config?.WorkingDir ?? "") });
    if (!os || !architecture) return configured;
    return configured.platform({
      os,
      architecture,
      ...(variant && { variant }),
      ...(osVersion && { osVersion }),
      ...(osFeatures && { osFeatures }),
    });
  }

  /** The file system of another state with the settings of this one, except for a platform that belongs to the result. */
  withResultOf(other: State): State {
    return this.withOutput(other.output);
  }

  /** These settings on another result; the platform the result brings along wins. */
  withOutput(output: Output | undefined): State {
    return new State(output, withPlatformOf(output, this.values));
  }

  /** Applies functions from states to states, first to last. */
  with(...steps: readonly ((state: State) => State)[]): State {
    return steps.reduce<State>((state, step) => step(state), this);
  }

  #with(values: Partial<StateValues>): State {
    return new State(this.output, { ...this.values, ...values });
  }
}

/** The state after a command: its root, with access to its other mounts. */
export class ExecState extends State {
  readonly #exec: ExecVertex;

  constructor(before: State, exec: ExecVertex) {
    super(exec.root, withPlatformOf(exec.root, before.values));
    this.#exec = exec;
  }

  /** The root file system after the command, with the settings of the state before it. */
  root(): State {
    return new State(this.output, this.values);
  }

  /** What a mount holds after the command, with initial settings. @throws BakeError "llb-invalid" when it has no result */
  getMount(target: string): State {
    return stateOn(this.#exec.mountOutput(target));
  }
}

/** The empty file system. */
export function scratch(): State {
  return stateOn(undefined);
}

/**
 * An image of a registry. The tag defaults to `latest`; nothing is looked up.
 * @throws BakeError "reference-invalid"
 */
export function image(reference: string, options: ImageOptions = {}): State {
  return source(describeImage(reference, options), options);
}

/** A directory that the session of the build lends under this name. */
export function local(name: string, options: LocalOptions = {}): State {
  return stateOn({ vertex: createSource(describeLocal(name, options), options, options.uniqueId), index: 0 });
}

/** A git repository: an https, http, ssh or git URL, `user@host:path`, or `host/path` for https. */
export function git(url: string, options: GitOptions = {}): State {
  return source(describeGit(url, options), options);
}

/** A file behind a URL. */
export function http(url: string, options: HttpOptions = {}): State {
  return source(describeHttp(url, options), options);
}

/** An image of an OCI layout directory that the session of the build lends: `name@sha256:…`. */
export function ociLayout(reference: string, options: OciLayoutOptions = {}): State {
  return source(describeOciLayout(reference, options), options);
}

/** Any source by its identifier and attributes. `caps` are the capabilities a worker must have. */
export function source({ identifier, attrs, caps }: SourceDescription, options: VertexOptions = {}): State {
  if (identifier === "") throw new BakeError("llb-invalid", "a source needs an identifier");
  const { platform } = options;
  const vertex = createSource({ identifier, attrs, caps }, options);
  return stateOn({ vertex, index: 0, ...(platform && isPlatformSpecific(identifier) && { platform }) });
}

/**
 * Lays file systems over each other, later ones on top. Empty ones are left out; one alone is returned as it is.
 * Settings are those of the first that is left.
 */
export function merge(states: readonly State[], options: VertexOptions = {}): State {
  const layers = states.filter(state => !state.isScratch);
  const [first] = layers;
  if (first === undefined) return scratch();
  if (layers.length === 1) return first;
  const children = layers.flatMap(({ output }) => output ?? []);
  const vertex: VertexNode = {
    children,
    metadata: metadataFrom(options, ["mergeop"]),
    ...(options.location && { location: options.location }),
    encode(context) {
      const inputs = new InputList(context);
      const spec = { inputs: children.map(child => ({ input: inputs.own(child) })) };
      return encodeOp({ kind: "merge", inputs: inputs.list, constraints: { filter: [] }, spec });
    },
  };
  return first.withOutput({ vertex, index: 0 });
}

/** What `upper` changed of `lower`. On an empty `lower` that is `upper` itself. Settings are those of `lower`. */
export function diff(lower: State, upper: State, options: VertexOptions = {}): State {
  if (lower.isScratch) return upper;
  const vertex: VertexNode = {
    children: [lower, upper].flatMap(({ output }) => output ?? []),
    metadata: metadataFrom(options, ["diffop"]),
    ...(options.location && { location: options.location }),
    encode(context) {
      const inputs = new InputList(context);
      const spec = { lower: { input: inputs.own(lower.output) }, upper: { input: inputs.own(upper.output) } };
      return encodeOp({ kind: "diff", inputs: inputs.list, constraints: { filter: [] }, spec });
    },
  };
  return lower.withOutput({ vertex, index: 0 });
}

/**
 * The result of a finished definition as a state. Its ops are kept byte for byte, so their digests stay.
 * @param outputIndex the output of the head to use; default: the one the terminal op names
 * @throws BakeError "llb-invalid"
 */
export function stateFromDefinition(definition: Definition, outputIndex?: number): State {
  const terminalBytes = definition.def.at(-1);
  if (terminalBytes === undefined) return scratch();
  const terminal = decodeOp(terminalBytes);
  const [head] = terminal.inputs;
  if (terminal.kind !== "terminal")
    throw new BakeError("llb-invalid", "a definition does not end with a terminal op");
  if (head === undefined) return scratch();
  const ops = new Map(definition.def.map(bytes => [digestOf(bytes), bytes]));
  const nodes = new Map<string, VertexNode>();
  const outputOf = ({ digest, index }: Input): Output => {
    const bytes = ops.get(digest);
    if (bytes === undefined)
      throw new BakeError("llb-invalid", `a definition lacks the op ${digest} that another one uses`);
    const { platform, ...op } = { platform: undefined, ...decodeOp(bytes) };
    let vertex = nodes.get(digest);
    if (vertex === undefined) {
      const location = definition.locations.get(digest);
      vertex = {
        children: op.inputs.map(outputOf),
        metadata: definition.metadata.get(digest) ?? {},
        ...(location && { location }),
        encode: () => bytes,
      };
      nodes.set(digest, vertex);
    }
    return { vertex, index, ...(platform && { platform }) };
  };
  return stateOn(outputOf({ digest: head.digest, index: outputIndex ?? head.index }));
}

function stateOn(output: Output | undefined): State {
  return new State(output, withPlatformOf(output, INITIAL));
}

function withPlatformOf(output: Output | undefined, values: StateValues): StateValues {
  return output?.platform === undefined
    ? values
    : { ...values, platform: normalizePlatform(output.platform) };
}

function dirFrom(current: string, path: string): string {
  return path.startsWith("/") ? path : joinPath(current === "" ? "/" : current, path);
}

function ulimitFrom({ name, soft, hard }: UlimitRequest): Ulimit {
  return { name, soft: BigInt(soft), hard: BigInt(hard) };
}

function valuesFor(values: StateValues, options: RunOptions): StateValues {
  const {
    env,
    cwd,
    user,
    hostname,
    network,
    security,
    extraHosts = [],
    ulimits = [],
    cgroupParent,
  } = options;
  return {
    ...values,
    ...(env && { env: withEnv(values.env, env) }),
    ...(cwd !== undefined && { dir: dirFrom(values.dir, cwd) }),
    ...(user !== undefined && { user }),
    ...(hostname !== undefined && { hostname }),
    ...(network !== undefined && { network }),
    ...(security !== undefined && { security }),
    ...(cgroupParent !== undefined && { cgroupParent }),
    extraHosts: [...values.extraHosts, ...extraHosts],
    ulimits: [...values.ulimits, ...ulimits.map(ulimitFrom)],
  };
}

function createBuild(
  base: Output | undefined,
  options: VertexOptions & { readonly filename?: string },
): VertexNode {
  if (base === undefined)
    throw new BakeError("llb-invalid", "a nested build needs a definition, but the file system is empty");
  const { filename } = options;
  return {
    children: [base],
    metadata: metadataFrom(options, ["source.buildop.llbfilename"]),
    ...(options.location && { location: options.location }),
    encode(context) {
      const inputs = new InputList(context);
      const input = inputs.shared(base);
      return encodeOp({
        kind: "build",
        inputs: inputs.list,
        platform: options.platform ?? context.platform,
        constraints: { filter: [] },
        spec: {
          builder: LLB_BUILDER,
          inputs: { [LLB_DEFINITION_INPUT]: { input } },
          attrs: filename === undefined ? {} : { [DEFINITION_FILE_ATTR]: filename },
        },
      });
    },
  };
}
