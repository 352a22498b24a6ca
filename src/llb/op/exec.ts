// The exec op (pb.ExecOp): a command in a container whose root and mounts are other results.
import { BakeError } from "../../diagnostic/error.ts";
import { bigint, bool, choice, int32, int64, list, message, sub, text, uint32 } from "../message.ts";
import { checkInput, EMPTY_INPUT, SKIP_OUTPUT, type OpCheck } from "./op.ts";

export interface ExecOp {
  readonly meta?: ExecMeta;
  /** Sorted by destination, except that secrets and ssh agents come last. The root is the mount at "/". */
  readonly mounts: readonly Mount[];
  readonly network: NetworkMode;
  readonly security: SecurityMode;
  readonly secretEnv: readonly SecretEnv[];
  readonly cdiDevices: readonly CdiDevice[];
}

/** `sandbox` is the default of the worker: a network namespace of its own with access to the outside. */
export type NetworkMode = "sandbox" | "host" | "none";
export type SecurityMode = "sandbox" | "insecure";
export type MountType = "bind" | "secret" | "ssh" | "cache" | "tmpfs";
export type CacheSharing = "shared" | "private" | "locked";
export type ContentCache = "default" | "on" | "off";

export interface ExecMeta {
  readonly args: readonly string[];
  /** `NAME=value`, in the order the process sees them. */
  readonly env: readonly string[];
  readonly cwd: string;
  /** Empty means the default user of the runtime (root). */
  readonly user: string;
  readonly proxyEnv?: ProxyEnv;
  readonly extraHosts: readonly HostIp[];
  readonly hostname: string;
  readonly ulimits: readonly Ulimit[];
  readonly cgroupParent: string;
  /** Whether empty parents of mount points that the executor made are removed too; always true in what we write. */
  readonly removeMountStubsRecursive: boolean;
  /** Exit codes that count as success; empty means only 0. */
  readonly validExitCodes: readonly number[];
}

export interface Mount {
  /** Index into the inputs of the op, or -1 for an empty file system. */
  readonly input: number;
  /** The path within the input that is mounted; empty means its root. */
  readonly selector: string;
  readonly dest: string;
  /** Index of the output that holds the mount after the command, or -1. */
  readonly output: number;
  readonly readonly: boolean;
  readonly type: MountType;
  readonly tmpfs?: TmpfsOptions;
  readonly cache?: CacheOptions;
  readonly secret?: SecretOptions;
  readonly ssh?: SshOptions;
  readonly resultId: string;
  /** Whether the content of the input decides the cache key. */
  readonly contentCache: ContentCache;
}

export interface TmpfsOptions {
  /** Bytes; 0 means no limit. */
  readonly size: number;
}

export interface CacheOptions {
  readonly id: string;
  readonly sharing: CacheSharing;
}

export interface SecretOptions {
  readonly id: string;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly optional: boolean;
}

export type SshOptions = SecretOptions;

export interface SecretEnv {
  readonly id: string;
  /** The variable's name. */
  readonly name: string;
  readonly optional: boolean;
}

export interface CdiDevice {
  readonly name: string;
  readonly optional: boolean;
}

export interface ProxyEnv {
  readonly httpProxy: string;
  readonly httpsProxy: string;
  readonly ftpProxy: string;
  readonly noProxy: string;
  readonly allProxy: string;
}

export interface HostIp {
  readonly host: string;
  readonly ip: string;
}

export interface Ulimit {
  readonly name: string;
  readonly soft: bigint;
  readonly hard: bigint;
}

const proxyEnv = message<ProxyEnv>("ProxyEnv", {
  httpProxy: text(1, "http_proxy"),
  httpsProxy: text(2, "https_proxy"),
  ftpProxy: text(3, "ftp_proxy"),
  noProxy: text(4, "no_proxy"),
  allProxy: text(5, "all_proxy"),
});

const hostIp = message<HostIp>("HostIP", { host: text(1, "Host"), ip: text(2, "IP") });

const ulimit = message<Ulimit>("Ulimit", {
  name: text(1, "Name"),
  soft: bigint(2, "Soft"),
  hard: bigint(3, "Hard"),
});

export const execMeta = message<ExecMeta>("Meta", {
  args: list(text(1)),
  env: list(text(2)),
  cwd: text(3),
  user: text(4),
  proxyEnv: sub(5, () => proxyEnv, "proxy_env"),
  extraHosts: list(sub(6, () => hostIp)),
  hostname: text(7),
  ulimits: list(sub(9, () => ulimit, "ulimit")),
  cgroupParent: text(10),
  removeMountStubsRecursive: bool(11),
  validExitCodes: list(int32(12)),
});

const tmpfsOptions = message<TmpfsOptions>("TmpfsOpt", { size: int64(1) });

const cacheOptions = message<CacheOptions>("CacheOpt", {
  id: text(1, "ID"),
  sharing: choice(2, "CacheSharingOpt", { shared: "SHARED", private: "PRIVATE", locked: "LOCKED" }),
});

const lentFile = {
  id: text(1, "ID"),
  uid: uint32(2),
  gid: uint32(3),
  mode: uint32(4),
  optional: bool(5),
};

const secretOptions = message<SecretOptions>("SecretOpt", lentFile);

const sshOptions = message<SshOptions>("SSHOpt", lentFile);

const mountMessage = message<Mount>("Mount", {
  input: int64(1),
  selector: text(2),
  dest: text(3),
  output: int64(4),
  readonly: bool(5),
  type: choice(
    6,
    "MountType",
    { bind: "BIND", secret: "SECRET", ssh: "SSH", cache: "CACHE", tmpfs: "TMPFS" },
    "mountType",
  ),
  tmpfs: sub(19, () => tmpfsOptions, "TmpfsOpt"),
  cache: sub(20, () => cacheOptions, "cacheOpt"),
  secret: sub(21, () => secretOptions, "secretOpt"),
  ssh: sub(22, () => sshOptions, "SSHOpt"),
  resultId: text(23, "resultID"),
  contentCache: choice(24, "MountContentCache", { default: "DEFAULT", on: "ON", off: "OFF" }),
});

const secretEnv = message<SecretEnv>("SecretEnv", {
  id: text(1, "ID"),
  name: text(2),
  optional: bool(3),
});

const cdiDevice = message<CdiDevice>("CDIDevice", { name: text(1), optional: bool(2) });

export const execOp = message<ExecOp>("ExecOp", {
  meta: sub(1, () => execMeta),
  mounts: list(sub(2, () => mountMessage)),
  network: choice(3, "NetMode", { sandbox: "UNSET", host: "HOST", none: "NONE" }),
  security: choice(4, "SecurityMode", { sandbox: "SANDBOX", insecure: "INSECURE" }),
  secretEnv: list(sub(5, () => secretEnv, "secretenv")),
  cdiDevices: list(sub(6, () => cdiDevice)),
});

export const checkExec: OpCheck<ExecOp> = ({ meta, mounts }, inputs) => {
  const fail = (why: string): never => {
    throw new BakeError("llb-invalid", `an exec op ${why}`);
  };
  if (meta === undefined) return fail("has no command");
  if (meta.args.length === 0) fail("has no arguments");
  if (mounts.length === 0) fail("has no mounts");
  if (!mounts.some(({ dest, type }) => dest === "/" && type === "bind")) fail(`has no mount at "/"`);
  const outputs = new Set<number>();
  for (const { input, output, dest, type } of mounts) {
    checkInput(input, inputs, `the mount at "${dest}" of an exec op`);
    if (type === "tmpfs" && input !== EMPTY_INPUT) fail(`mounts a tmpfs at "${dest}" that has an input`);
    // Secrets and ssh agents carry output 0 for want of a value; they have no result.
    if (type === "secret" || type === "ssh" || output === SKIP_OUTPUT) continue;
    if (output < 0) fail(`gives the mount at "${dest}" the output ${output}`);
    if (outputs.has(output)) fail(`gives the output ${output} to two mounts`);
    outputs.add(output);
  }
  for (let index = 0; index < outputs.size; index++)
    if (!outputs.has(index)) fail(`has no output ${index} but a later one`);
};

/** The mounts whose result is an output, by output index. */
export function execOutputs({ mounts }: ExecOp): ReadonlyMap<number, Mount> {
  const outputs = new Map<number, Mount>();
  for (const mount of mounts) {
    if (mount.output !== SKIP_OUTPUT && mount.type !== "secret" && mount.type !== "ssh")
      outputs.set(mount.output, mount);
  }
  return outputs;
}
