// The architectures that QEMU's user mode runs, and where its programs are. `qemu-ARCH-static` is what Debian, Ubuntu
// and Fedora call them; newer releases of Debian have static programs named `qemu-ARCH`.
import { execFile } from "node:child_process";
import { accessSync, constants, realpathSync } from "node:fs";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import type { Platform } from "../oci/platform.ts";
import { type ElfKind, readElfHead } from "./elf.ts";

export interface Architecture {
  /** As in platforms. */
  readonly name: string;
  /** How people write platforms of it. */
  readonly shown: string;
  /** As in the names of QEMU's programs. */
  readonly qemu: string;
  readonly elf: ElfKind;
}

const row = (name: string, qemu: string, bits: 32 | 64, machine: number, more?: Partial<ElfKind>) => ({
  name,
  shown: name === "arm" ? "arm/v7" : name,
  qemu,
  elf: { bits, order: "little", machine, ...more } as const,
});

export const architectures: readonly Architecture[] = [
  row("amd64", "x86_64", 64, 0x3e),
  row("arm64", "aarch64", 64, 0xb7),
  row("arm", "arm", 32, 0x28),
  row("riscv64", "riscv64", 64, 0xf3),
  row("ppc64le", "ppc64le", 64, 0x15),
  row("s390x", "s390x", 64, 0x16, { order: "big" }),
  row("386", "i386", 32, 0x03),
  row("loong64", "loongarch64", 64, 0x102),
];

/** QEMU has the property from this version on. */
const IMPDEF_MAJOR = 6;
const VERSION_TIMEOUT_MS = 5_000;

/**
 * Variables that make an emulator quick. Programs for arm64 sign their return addresses nowadays; QEMU computes the
 * signatures with the architecture's own cipher, which makes them run ten times slower than with one of its choosing.
 */
export async function emulatorEnvironment({ architecture, path }: Emulator): Promise<readonly string[]> {
  if (architecture.name !== "arm64") return [];
  const version = await promisify(execFile)(path, ["--version"], { timeout: VERSION_TIMEOUT_MS }).then(
    ({ stdout }) => stdout,
    () => "",
  );
  const major = Number(/version (\d+)\./.exec(version)?.[1] ?? 0);
  return major >= IMPDEF_MAJOR ? ["QEMU_CPU=max,pauth-impdef=on"] : [];
}

/** Whether a program is made for the processor of a platform. */
export function isFor({ architecture }: Platform, { bits, order, machine }: ElfKind): boolean {
  const elf = architectures.find(({ name }) => name === architecture)?.elf;
  return elf?.machine === machine && elf.bits === bits && elf.order === order;
}

export interface Emulator {
  readonly architecture: Architecture;
  /** Absolute, links resolved. */
  readonly path: string;
}

export interface FoundEmulators {
  readonly usable: readonly Emulator[];
  /** Programs that need a loader, which containers do not have. */
  readonly dynamic: readonly string[];
}

const USUAL_FOLDERS = ["/usr/local/bin", "/usr/bin", "/bin"];

/** The emulators for other architectures than `native`'s. `searchPath` is a list of folders as in PATH; "" is the usual ones. */
export function findEmulators(searchPath: string, native: Platform): FoundEmulators {
  const folders = searchPath === "" ? USUAL_FOLDERS : searchPath.split(delimiter).filter(Boolean);
  const usable: Emulator[] = [];
  const dynamic: string[] = [];
  for (const architecture of architectures) {
    if (architecture.name === native.architecture) continue;
    const names = [`qemu-${architecture.qemu}-static`, `qemu-${architecture.qemu}`];
    const paths = names.flatMap(name => folders.map(folder => join(folder, name))).filter(isExecutable);
    const path = paths.find(candidate => readElfHead(candidate)?.isStatic === true);
    if (path !== undefined) usable.push({ architecture, path: realpathSync(path) });
    else dynamic.push(...paths.slice(0, 1));
  }
  return { usable, dynamic };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
