// Makes exec vertices: sorts mounts, numbers their outputs, fills in defaults.
import { BakeError } from "../../diagnostic/error.ts";
import { compareUtf8 } from "../../oci/json.ts";
import { encodeOp } from "../ops.ts";
import type {
  CacheSharing,
  ContentCache,
  ExecOp,
  Mount,
  NetworkMode,
  ProxyEnv,
  SecretEnv,
  SecurityMode,
} from "../op/exec.ts";
import { SKIP_OUTPUT } from "../op/op.ts";
import type { StateLike, StateValues } from "./values.ts";
import { InputList, metadataFrom, type Output, type VertexNode, type VertexOptions } from "./vertex.ts";

/** A command. Give either `args` or `shell`. */
export interface RunOptions extends VertexOptions {
  readonly args?: readonly string[];
  /** Text for `/bin/sh -c`. */
  readonly shell?: string;
  readonly mounts?: readonly MountRequest[];
  /** Variables of this command only, added to those of the state. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly user?: string;
  readonly hostname?: string;
  readonly network?: NetworkMode;
  readonly security?: SecurityMode;
  /** Mounts the root read-only; the result is then the state itself. */
  readonly readonlyRoot?: boolean;
  /** Present even when empty writes the message. */
  readonly proxyEnv?: Partial<ProxyEnv>;
  readonly extraHosts?: readonly { readonly host: string; readonly ip: string }[];
  readonly ulimits?: readonly UlimitRequest[];
  readonly cgroupParent?: string;
  readonly validExitCodes?: readonly number[];
  readonly devices?: readonly { readonly name: string; readonly optional?: boolean }[];
}

export interface UlimitRequest {
  readonly name: string;
  readonly soft: number | bigint;
  readonly hard: number | bigint;
}

/** A mount beside the root. `target` is an absolute path, written as given. */
export type MountRequest =
  /** Another result; written changes are an output (`ExecState.getMount`) unless `readonly` or `noOutput`. */
  | {
      readonly kind: "bind";
      readonly target: string;
      /** Absent: an empty file system. */
      readonly from?: StateLike;
      /** The path within `from`; absent or "": its root. */
      readonly source?: string;
      readonly readonly?: boolean;
      readonly noOutput?: boolean;
      readonly contentCache?: ContentCache;
    }
  /** A directory that outlives the build, by id. `from` is what it starts with. Default sharing "shared". */
  | {
      readonly kind: "cache";
      readonly target: string;
      readonly id: string;
      readonly sharing?: CacheSharing;
      readonly from?: StateLike;
      readonly source?: string;
      readonly readonly?: boolean;
    }
  /** Memory; 0 or absent size means no limit of its own. */
  | {
      readonly kind: "tmpfs";
      readonly target: string;
      readonly sizeBytes?: number;
      readonly readonly?: boolean;
      /** Written to the op; there is nothing to select from. */
      readonly source?: string;
    }
  /** A secret as a file (`target`), a variable (`env`) or both. Default mode 0o400, owner 0:0, required. */
  | ({
      readonly kind: "secret";
      readonly id: string;
      readonly target?: string;
      readonly env?: string;
    } & LentOptions)
  /** The ssh agent. Default target `/run/buildkit/ssh_agent.N`, mode 0o600, id "" (the default agent). */
  | ({ readonly kind: "ssh"; readonly id?: string; readonly target?: string } & LentOptions);

interface LentOptions {
  readonly uid?: number;
  readonly gid?: number;
  readonly mode?: number;
  readonly optional?: boolean;
}

const SECRET_MODE = 0o400;
const SSH_MODE = 0o600;

/** A mount that may have an input, before sorting. */
interface Slot {
  readonly target: string;
  readonly source: Output | undefined;
  readonly selector: string;
  readonly readonly: boolean;
  readonly hasOutput: boolean;
  readonly options: Partial<Pick<Mount, "type" | "tmpfs" | "cache" | "contentCache">>;
  readonly caps: readonly string[];
}

/** An exec vertex and what its mounts became. */
export interface ExecVertex {
  readonly vertex: VertexNode;
  /** The root after the command. */
  readonly root: Output | undefined;
  /** The result at a mount. @throws BakeError "llb-invalid" when there is no such result */
  readonly mountOutput: (target: string) => Output | undefined;
}

/** `values` are those of the state with the command's own already applied. */
export function createExec(base: Output | undefined, values: StateValues, options: RunOptions): ExecVertex {
  const args = options.args ?? (options.shell === undefined ? [] : ["/bin/sh", "-c", options.shell]);
  if (args.length === 0)
    throw new BakeError("llb-invalid", "a command needs arguments", { hint: "give `args` or `shell`" });
  if (options.args !== undefined && options.shell !== undefined) {
    throw new BakeError("llb-invalid", "a command has both `args` and `shell`", { hint: "give one of them" });
  }
  const requests = options.mounts ?? [];
  const slots = [rootSlot(base, options.readonlyRoot ?? false), ...requests.flatMap(slotOf)].sort((a, b) =>
    compareUtf8(a.target, b.target),
  );
  const outputs = new Map<Slot, number>();
  for (const slot of slots) if (slot.hasOutput) outputs.set(slot, outputs.size);

  const secrets = requests.filter(request => request.kind === "secret");
  const agents = requests
    .filter(request => request.kind === "ssh")
    .map((agent, index) => ({ ...agent, target: agent.target || `/run/buildkit/ssh_agent.${index}` }));
  const env = new Map(values.env);
  const [agent] = agents;
  if (agent !== undefined && !env.has("SSH_AUTH_SOCK")) env.set("SSH_AUTH_SOCK", agent.target);

  const lent = [...secrets.filter(({ target }) => target !== undefined), ...agents].map(lentMount);
  const secretEnv = secrets.flatMap(({ id, env: name, optional = false }): SecretEnv[] =>
    name === undefined ? [] : [{ id, name, optional }],
  );
  const { network, security } = values;
  const meta: ExecOp["meta"] = {
    args,
    env: [...env].map(([name, value]) => `${name}=${value}`),
    cwd: values.dir,
    user: values.user,
    ...(options.proxyEnv && {
      proxyEnv: {
        httpProxy: "",
        httpsProxy: "",
        ftpProxy: "",
        noProxy: "",
        allProxy: "",
        ...options.proxyEnv,
      },
    }),
    extraHosts: values.extraHosts,
    hostname: values.hostname,
    ulimits: values.ulimits,
    cgroupParent: values.cgroupParent,
    removeMountStubsRecursive: true,
    validExitCodes: options.validExitCodes ?? [],
  };
  const cdiDevices = (options.devices ?? []).map(({ name, optional = false }) => ({ name, optional }));
  const platform = options.platform ?? values.platform;

  const vertex: VertexNode = {
    children: slots.flatMap(({ source }) => source ?? []),
    metadata: metadataFrom(options, [
      "exec.meta.base",
      "exec.meta.setsdefaultpath",
      ...slots.flatMap(({ caps }) => caps),
      ...capsOf(options, values, {
        secrets: secrets.length,
        secretEnv: secretEnv.length,
        agents: agents.length,
      }),
    ]),
    ...(options.location && { location: options.location }),
    encode(context) {
      const inputs = new InputList(context);
      const mounts = slots.map((slot): Mount => ({
        ...emptyMount,
        ...slot.options,
        input: inputs.shared(slot.source),
        selector: slot.selector,
        dest: slot.target,
        readonly: slot.readonly,
        output: outputs.get(slot) ?? SKIP_OUTPUT,
      }));
      return encodeOp({
        kind: "exec",
        inputs: inputs.list,
        platform: platform ?? context.platform,
        constraints: { filter: [] },
        spec: { meta, mounts: [...mounts, ...lent], network, security, secretEnv, cdiDevices },
      });
    },
  };

  const resultOf = (slot: Slot): Output | undefined => {
    if (slot.readonly && slot.options.type === undefined) return slot.source;
    const index = outputs.get(slot);
    if (index === undefined) {
      throw new BakeError("llb-invalid", `the mount at "${slot.target}" has no result`, {
        hint: "only writable bind mounts that are not marked noOutput have one",
      });
    }
    return { vertex, index, ...(options.platform && { platform: options.platform }) };
  };
  const root = slots.find(({ target }) => target === "/");
  return {
    vertex,
    root: root && resultOf(root),
    mountOutput(target) {
      const slot = slots.find(candidate => candidate.target === target);
      if (slot === undefined) throw new BakeError("llb-invalid", `the command has no mount at "${target}"`);
      return resultOf(slot);
    },
  };
}

const emptyMount: Mount = {
  input: -1,
  selector: "",
  dest: "",
  output: 0,
  readonly: false,
  type: "bind",
  resultId: "",
  contentCache: "default",
};

function rootSlot(base: Output | undefined, readonly: boolean): Slot {
  return {
    target: "/",
    source: base,
    selector: "",
    readonly,
    hasOutput: !readonly,
    options: {},
    caps: base === undefined ? [] : ["exec.mount.bind"],
  };
}

function slotOf(request: MountRequest): Slot[] {
  switch (request.kind) {
    case "bind": {
      const {
        target,
        from,
        source = "",
        readonly = false,
        noOutput = false,
        contentCache = "default",
      } = request;
      return [
        {
          target,
          source: from?.output,
          selector: source,
          readonly,
          hasOutput: !readonly && !noOutput,
          options: { contentCache },
          caps: [
            ...(source === "" ? [] : ["exec.mount.selector"]),
            ...(from?.output === undefined ? [] : ["exec.mount.bind"]),
            ...(contentCache === "default" ? [] : ["exec.mount.cache.content"]),
          ],
        },
      ];
    }
    case "cache": {
      const { target, from, id, source = "", sharing = "shared", readonly = false } = request;
      if (id === "") throw new BakeError("llb-invalid", `the cache mount at "${target}" needs an id`);
      return [
        {
          target,
          source: from?.output,
          selector: source,
          readonly,
          hasOutput: false,
          options: { type: "cache", cache: { id, sharing } },
          caps: [
            ...(source === "" ? [] : ["exec.mount.selector"]),
            "exec.mount.cache",
            "exec.mount.cache.sharing",
          ],
        },
      ];
    }
    case "tmpfs": {
      const { target, sizeBytes: size = 0, readonly = false, source = "" } = request;
      return [
        {
          target,
          source: undefined,
          selector: source,
          readonly,
          hasOutput: false,
          options: { type: "tmpfs", tmpfs: { size } },
          caps: [
            ...(source === "" ? [] : ["exec.mount.selector"]),
            "exec.mount.tmpfs",
            ...(size > 0 ? ["exec.mount.tmpfs.size"] : []),
          ],
        },
      ];
    }
    case "secret":
    case "ssh":
      return [];
    default: {
      const never: never = request;
      return never;
    }
  }
}

/** Secrets and agents come after the sorted mounts and keep output 0, which means nothing for them. */
function lentMount(request: Extract<MountRequest, { readonly kind: "secret" | "ssh" }>): Mount {
  const { kind, id = "", target = "", uid = 0, gid = 0, optional = false } = request;
  const mode = request.mode ?? (kind === "secret" ? SECRET_MODE : SSH_MODE);
  return { ...emptyMount, dest: target, type: kind, [kind]: { id, uid, gid, mode, optional } };
}

function capsOf(
  { proxyEnv, validExitCodes, devices, linuxResources }: RunOptions,
  { network, security, ulimits }: StateValues,
  used: { readonly secrets: number; readonly secretEnv: number; readonly agents: number },
): string[] {
  const caps: readonly (readonly [string, boolean])[] = [
    ["exec.meta.network", network !== "sandbox"],
    ["exec.meta.security", security !== "sandbox"],
    ["exec.meta.proxyenv", proxyEnv !== undefined],
    ["exec.meta.ulimit", ulimits.length > 0],
    ["exec.meta.cdi", (devices ?? []).length > 0],
    ["exec.meta.linux.resources", linuxResources !== undefined],
    ["exec.validexitcode", validExitCodes !== undefined],
    ["exec.mount.secret", used.secrets > 0],
    ["exec.secretenv", used.secretEnv > 0],
    ["exec.mount.ssh", used.agents > 0],
  ];
  return caps.flatMap(([cap, needed]) => (needed ? [cap] : []));
}
