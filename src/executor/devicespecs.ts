// Devices by name: the Container Device Interface (github.com/cncf-tags/container-device-interface, SPEC.md). Files in
// known folders say what a container needs to use a device; whoever installs a device's driver writes them.
import { readdir, readFile, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { BakeError } from "../diagnostic/error.ts";
import type { ContainerEdits, DeviceNode } from "./devices.ts";

export interface DeviceRequest {
  /** `vendor/class=name`, `vendor/class=*`, `vendor/class` for the first of its kind, or a class that devices are annotated with. */
  readonly name: string;
  readonly optional: boolean;
}

/** Where BuildKit looks; later folders win over earlier ones. */
export const deviceFolders: readonly string[] = ["/etc/cdi", "/var/run/cdi", "/etc/buildkit/cdi"];

/** BuildKit's way to call devices by what they are for. */
const CLASS_ANNOTATION = "org.mobyproject.buildkit.device.class";

type Fields = Readonly<Record<string, unknown>>;

interface Device {
  /** `vendor/class=name`. */
  readonly name: string;
  readonly kind: string;
  readonly className: string | undefined;
  readonly edits: Fields;
  /** What all devices of its file need, once. */
  readonly common: Fields;
}

/**
 * What the devices asked for add to a container. Optional ones that are not there are left out.
 * @throws BakeError "file-missing" when a required one is not there, "not-supported" when its description is unusable
 */
export async function findDevices(
  requests: readonly DeviceRequest[],
  folders: readonly string[] = deviceFolders,
): Promise<ContainerEdits> {
  const known = await readDevices(folders);
  const wanted = new Set<Device>();
  for (const request of requests) {
    const found = devicesFor(request.name, known);
    if (found.length === 0 && !request.optional) throw missingDevice(request.name, known, folders);
    for (const device of found) wanted.add(device);
  }
  const edits = new Set<Fields>();
  for (const { common, edits: own } of wanted) edits.add(common).add(own);
  return await mergeEdits([...edits]);
}

function devicesFor(name: string, known: readonly Device[]): readonly Device[] {
  const [kind = "", device] = name.split("=", 2);
  const ofKind = known.filter(candidate => candidate.kind === kind);
  const found =
    device === "*" ? ofKind : device ? ofKind.filter(({ name: full }) => full === name) : ofKind.slice(0, 1);
  return found.length > 0 ? found : known.filter(({ className }) => className === name);
}

function missingDevice(name: string, known: readonly Device[], folders: readonly string[]): BakeError {
  const names = known.map(device => `"${device.name}"`).join(", ");
  return new BakeError(
    "file-missing",
    `a step needs the device "${name}", which this machine does not have`,
    {
      hint:
        names === ""
          ? `no device is described in ${folders.join(", ")}: its driver's tools write such a file, for example nvidia-ctk cdi generate`
          : `there is ${names}`,
    },
  );
}

async function readDevices(folders: readonly string[]): Promise<readonly Device[]> {
  const byName = new Map<string, Device>();
  for (const folder of folders) {
    const names = await readdir(folder).catch(() => []);
    for (const name of names.filter(file => /\.(?:json|ya?ml)$/.test(file)).sort())
      for (const device of await readSpec(join(folder, name))) byName.set(device.name, device);
  }
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function readSpec(path: string): Promise<readonly Device[]> {
  const unusable = (problem: string, cause?: unknown): BakeError =>
    new BakeError("not-supported", `the device description "${path}" cannot be used: ${problem}`, {
      hint: "write it anew with the tools of the device's driver, or remove it",
      cause,
    });
  let spec: unknown;
  try {
    const text = await readFile(path, "utf8");
    spec = extname(path) === ".json" ? JSON.parse(text) : (await import("yaml")).parse(text);
  } catch (cause) {
    throw unusable(cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause), cause);
  }
  const { kind, devices, containerEdits } = fieldsOf(spec);
  if (typeof kind !== "string" || !Array.isArray(devices)) throw unusable(`it has no "kind" or no "devices"`);
  return devices.map((entry: unknown) => {
    const { name, annotations, containerEdits: edits } = fieldsOf(entry);
    if (typeof name !== "string") throw unusable("a device has no name");
    const className = fieldsOf(annotations)[CLASS_ANNOTATION];
    return {
      name: `${kind}=${name}`,
      kind,
      className: typeof className === "string" ? className : undefined,
      edits: fieldsOf(edits),
      common: fieldsOf(containerEdits),
    };
  });
}

async function mergeEdits(edits: readonly Fields[]): Promise<ContainerEdits> {
  const hooks: Record<string, object[]> = {};
  const deviceNodes: DeviceNode[] = [];
  for (const edit of edits) {
    for (const node of listOf(edit["deviceNodes"])) deviceNodes.push(await deviceNode(fieldsOf(node)));
    for (const hook of listOf(edit["hooks"])) {
      const { hookName, ...rest } = fieldsOf(hook);
      if (typeof hookName === "string") (hooks[hookName] ??= []).push(rest);
    }
  }
  const all = (field: string): readonly unknown[] => edits.flatMap(edit => listOf(edit[field]));
  return {
    env: all("env").filter(entry => typeof entry === "string"),
    deviceNodes,
    mounts: all("mounts").map(entry => {
      const { hostPath, containerPath, options, type } = fieldsOf(entry);
      return {
        destination: textOf(containerPath),
        source: textOf(hostPath),
        type: textOf(type) || "bind",
        options: options === undefined ? ["bind", "ro"] : listOf(options).map(textOf),
      };
    }),
    additionalGids: all("additionalGids").filter(gid => typeof gid === "number" && gid > 0) as number[],
    ...(Object.keys(hooks).length > 0 && { hooks }),
  };
}

const S_IFMT = 0o170000;
const S_IFBLK = 0o060000;

/** What a description leaves out is as on this machine. */
async function deviceNode(node: Fields): Promise<DeviceNode> {
  const path = textOf(node["path"]);
  const hostPath = textOf(node["hostPath"]) || path;
  const number = (name: string): number | undefined => {
    const value = node[name];
    return typeof value === "number" ? value : undefined;
  };
  let [type, major, minor] = [textOf(node["type"]), number("major"), number("minor")];
  if (type === "" || major === undefined || minor === undefined) {
    const found = await stat(hostPath).catch((cause: unknown) => {
      throw new BakeError("file-missing", `the device node "${hostPath}" is not there`, {
        hint: "is its driver loaded? the description of the device names it",
        cause,
      });
    });
    type ||= (found.mode & S_IFMT) === S_IFBLK ? "b" : "c";
    major ??= ((found.rdev >> 8) & 0xfff) | 0;
    minor ??= (found.rdev & 0xff) | ((found.rdev >>> 12) & 0xfff00);
  }
  const [fileMode, uid, gid] = [number("fileMode"), number("uid"), number("gid")];
  return {
    path,
    type: type === "b" ? "b" : "c",
    major,
    minor,
    access: textOf(node["permissions"]) || "rwm",
    ...(fileMode !== undefined && { fileMode }),
    ...(uid !== undefined && { uid }),
    ...(gid !== undefined && { gid }),
  };
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
