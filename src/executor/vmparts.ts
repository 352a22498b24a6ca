// What a virtual machine for steps is made of: a Linux kernel with its modules, QEMU, the file server virtiofsd, and a
// first root of busybox and an OCI runtime. All of it comes from the distribution's packages.
import { execFileSync } from "node:child_process";
import { accessSync, constants, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { BakeError } from "../diagnostic/error.ts";
import { cpioArchive, type CpioEntry } from "./cpio.ts";
import { readElfHead } from "./elf.ts";

export interface VmParts {
  readonly qemu: string;
  readonly fileServer: string;
  readonly kernel: { readonly path: string; readonly version: string; readonly modules: string };
  readonly busybox: string;
  readonly runtime: string;
}

export interface VmPartsOptions {
  /** Where to look for programs: a list of folders as in PATH; "" is the usual ones. */
  readonly searchPath: string;
  /** Folder with boot/vmlinuz-VERSION and lib/modules/VERSION: the machine's root, or an unpacked package of a kernel. */
  readonly kernelFolder?: string | undefined;
}

const USUAL_FOLDERS = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"];
/** Distributions keep virtiofsd off the PATH. */
const FILE_SERVERS = ["/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/lib/qemu/virtiofsd"];

/** @throws BakeError "runtime-missing" naming everything that is missing */
export function findVmParts({ searchPath, kernelFolder = "/" }: VmPartsOptions): VmParts {
  const folders = [...searchPath.split(delimiter).filter(Boolean), ...USUAL_FOLDERS];
  const program = (...names: readonly string[]): string | undefined =>
    names.flatMap(name => folders.map(folder => join(folder, name))).find(isExecutable);
  const parts = {
    qemu: program("qemu-system-x86_64"),
    fileServer: program("virtiofsd") ?? FILE_SERVERS.find(isExecutable),
    kernel: newestKernel(kernelFolder),
    busybox: ["/bin/busybox", "/usr/bin/busybox"].find(path => readElfHead(path)?.isStatic === true),
    // runc cannot do without pivot_root(2), which a first root does not allow.
    runtime: program("crun"),
  };
  const { qemu, fileServer, kernel, busybox, runtime } = parts;
  if (qemu && fileServer && kernel && busybox && runtime)
    return { qemu, fileServer, kernel, busybox, runtime };
  const packages = {
    qemu: "qemu-system-x86",
    fileServer: "virtiofsd (in qemu-system-common before Debian 13)",
    kernel: "linux-image-cloud-amd64",
    busybox: "busybox-static",
    runtime: "crun",
  } as const;
  const missing = (Object.keys(packages) as readonly (keyof typeof packages)[]).filter(name => !parts[name]);
  throw new BakeError(
    "runtime-missing",
    `steps cannot run in virtual machines here: there is no ${missing.map(name => NAMES[name]).join(", no ")}`,
    {
      hint: `install ${missing.map(name => packages[name]).join(", ")}; a kernel may also be unpacked into a folder that LLBAKE_VM_KERNEL names`,
    },
  );
}

const NAMES = {
  qemu: "qemu-system-x86_64",
  fileServer: "virtiofsd",
  kernel: "kernel with modules",
  busybox: "static busybox",
  runtime: "crun",
} as const;

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function newestKernel(folder: string): VmParts["kernel"] | undefined {
  const list = (path: string): readonly string[] => {
    try {
      return readdirSync(path);
    } catch {
      return [];
    }
  };
  const boot = join(folder, "boot");
  return list(boot)
    .filter(name => name.startsWith("vmlinuz-"))
    .map(name => name.slice("vmlinuz-".length))
    .sort((a, b) => b.localeCompare(a, "en", { numeric: true }))
    .flatMap(version =>
      ["usr/lib/modules", "lib/modules"]
        .map(path => join(folder, path, version))
        .filter(path => list(join(path, "kernel")).length > 0)
        .map(modules => ({ path: join(boot, `vmlinuz-${version}`), version, modules })),
    )[0];
}

const INIT = `#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sys /sys; $B mount -t devtmpfs dev /dev
for m in $($B cat /modules/order); do $B insmod /modules/$m; done
$B grep -q llbake=probe /proc/cmdline && { echo started >/dev/console; $B reboot -f; }
$B mount -t cgroup2 cgroup /sys/fs/cgroup
$B mount -t virtiofs step /step || $B reboot -f
$B ip link set lo up
if [ -e /sys/class/net/eth0 ]; then
  $B ip addr add 10.0.2.15/24 dev eth0; $B ip link set eth0 up; $B ip route add default via 10.0.2.2
fi
for p in /sys/class/virtio-ports/*; do read n <$p/name; eval "$n=/dev/\${p##*/}"; done
cd /
/bin/runtime --root /run/steps --cgroup-manager=disabled --log /step/log --log-format json run --no-pivot --bundle /step step >$out 2>$err </dev/null
echo $? >/step/exit
$B umount /step
$B reboot -f
`;

/** Modules the init needs; those they need are found. What a kernel has built in is no module of it. */
const MODULES = ["virtio_pci", "virtio_console", "virtiofs", "virtio_net"];

/** The first root of the machine, as the kernel unpacks it. */
export function firstRoot({ busybox, runtime, kernel }: VmParts): Uint8Array {
  const entries = new Map<string, CpioEntry>();
  const addFolder = (path: string): void => {
    if (path === "." || entries.has(path)) return;
    addFolder(dirname(path));
    entries.set(path, { path, mode: 0o040755 });
  };
  const addFile = (path: string, data: Uint8Array): void => {
    addFolder(dirname(path));
    entries.set(path, { path, mode: 0o100755, data });
  };
  for (const folder of ["proc", "sys", "dev", "run", "tmp", "step"]) addFolder(folder);
  addFile("init", Buffer.from(INIT));
  addFile("bin/busybox", readFileSync(busybox));
  addFile("bin/runtime", readFileSync(runtime));
  for (const library of librariesOf(runtime)) addFile(library.slice(1), readFileSync(library));
  const order = modulesInOrder(kernel.modules);
  for (const { name, data } of order) addFile(`modules/${name}`, data);
  addFile("modules/order", Buffer.from(order.map(({ name }) => `${name}\n`).join("")));
  return cpioArchive([...entries.values()]);
}

/** What ldd(1) says that a program loads. */
function librariesOf(program: string): readonly string[] {
  if (readElfHead(program)?.isStatic === true) return [];
  const text = execFileSync("ldd", [realpathSync(program)], { encoding: "utf8" });
  return [...text.matchAll(/(?:=> |^\s*)(\/\S+) \(/gm)].flatMap(([, path]) => path ?? []);
}

function modulesInOrder(folder: string): readonly { readonly name: string; readonly data: Uint8Array }[] {
  const files = new Map<string, string>();
  for (const entry of readdirSync(join(folder, "kernel"), { recursive: true, withFileTypes: true }))
    if (entry.isFile() && /\.ko$/.test(entry.name))
      files.set(entry.name.slice(0, -".ko".length).replaceAll("-", "_"), join(entry.parentPath, entry.name));
  const order = new Map<string, Uint8Array>();
  const add = (module: string): void => {
    const path = files.get(module.replaceAll("-", "_"));
    if (path === undefined || order.has(module)) return;
    const data = readFileSync(path);
    for (const needed of /(?:^|\0)depends=([^\0]*)\0/.exec(data.toString("latin1"))?.[1]?.split(",") ?? [])
      if (needed !== "") add(needed);
    order.set(module, data);
  };
  MODULES.forEach(add);
  return [...order].map(([module, data]) => ({ name: `${module}.ko`, data }));
}
