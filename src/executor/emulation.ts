// How commands of a platform run on this machine: by the processor itself, or by QEMU. Emulators are registered with the
// kernel in a user namespace, which the container joins; where the kernel cannot do that the machine's own registrations
// serve; where there are none the emulator is mounted into the container and put before the command.
import { execFileSync } from "node:child_process";
import { writeFileSync, rmSync } from "node:fs";
import type { Owner } from "../content/lease.ts";
import { BakeError } from "../diagnostic/error.ts";
import { formatPlatform, type Platform } from "../oci/platform.ts";
import { type BinfmtNamespace, findHostEntry, type HostEntry, openBinfmtNamespace } from "./binfmt.ts";
import { smallElf } from "./elf.ts";
import {
  architectures,
  type Architecture,
  emulatorEnvironment,
  findEmulators,
  type FoundEmulators,
} from "./emulators.ts";

export type Emulation =
  | { readonly way: "native" }
  /** The container joins a user namespace in which the emulators are registered. */
  | {
      readonly way: "namespace";
      readonly namespace: Pick<BinfmtNamespace, "path" | "idMap">;
      /** Variables for the emulator: `NAME=value`. */
      readonly env: readonly string[];
    }
  /** The machine has the emulator registered; without `isOpen` the image must contain it. */
  | { readonly way: "host"; readonly interpreter: string; readonly isOpen: boolean }
  /** The emulator is mounted and runs the command; what the command starts in turn is not emulated. */
  | { readonly way: "mounted"; readonly emulator: string; readonly env: readonly string[] };

/** The ways to emulate, best first. */
export const emulationWays = ["namespace", "host", "mounted"] as const;
export type EmulationWay = (typeof emulationWays)[number];

export interface EmulationOptions {
  readonly owner: Owner;
  readonly native: Platform;
  /** Where to look for emulators: a list of folders as in PATH; "" is the usual ones. */
  readonly searchPath: string;
  /** The ways that may be taken. Default: all. */
  readonly ways?: readonly EmulationWay[] | undefined;
}

/** Finds the way for each platform, once; nothing is set up before a command of a foreign platform asks. */
export function createEmulation(options: EmulationOptions): (platform: Platform) => Promise<Emulation> {
  const { owner, native, ways = emulationWays } = options;
  const known = new Map<string, Promise<Emulation>>();
  let emulators: FoundEmulators | undefined;
  let namespace: Promise<BinfmtNamespace | undefined> | undefined;

  const openNamespace = async (found: FoundEmulators): Promise<BinfmtNamespace | undefined> => {
    const opened = await openBinfmtNamespace(found.usable).catch((thrown: unknown) => {
      if (thrown instanceof BakeError) return undefined;
      throw thrown;
    });
    if (opened !== undefined) owner.onDispose(() => Promise.resolve(opened[Symbol.dispose]()));
    return opened;
  };
  const find = async (platform: Platform): Promise<Emulation> => {
    if (runsNatively(platform, native, owner)) return { way: "native" };
    const architecture = architectureOf(platform, native);
    emulators ??= findEmulators(options.searchPath, native);
    const emulator = emulators.usable.find(({ architecture: { name } }) => name === architecture.name);
    for (const way of emulationWays.filter(candidate => ways.includes(candidate))) {
      if (way === "namespace" && emulator !== undefined) {
        const opened = await (namespace ??= openNamespace(emulators));
        if (opened !== undefined)
          return {
            way,
            namespace: { path: opened.path, idMap: opened.idMap },
            env: await emulatorEnvironment(emulator),
          };
      }
      if (way === "host") {
        const entry = findHostEntry(architecture);
        if (entry !== undefined && (entry.isOpen || emulator === undefined)) return { way, ...entry };
      }
      if (way === "mounted" && emulator !== undefined)
        return { way, emulator: emulator.path, env: await emulatorEnvironment(emulator) };
    }
    throw emulatorMissing(platform, native, architecture, emulators);
  };
  return platform => {
    const key = `${platform.os}/${platform.architecture}`;
    let found = known.get(key);
    if (found === undefined) known.set(key, (found = find(platform)));
    return found;
  };
}

/** What the machine offers for foreign platforms, for `doctor`. The namespace is tried out and given back. */
export interface EmulationReport {
  readonly emulators: FoundEmulators;
  readonly native: readonly Architecture[];
  readonly registered: readonly { readonly architecture: Architecture; readonly entry: HostEntry }[];
  /** Why emulators cannot be registered in a user namespace; undefined when they can, or when there are none. */
  readonly namespaceProblem: string | undefined;
}

export async function inspectEmulation({
  owner,
  native,
  searchPath,
}: EmulationOptions): Promise<EmulationReport> {
  const emulators = findEmulators(searchPath, native);
  let namespaceProblem: string | undefined;
  try {
    if (emulators.usable.length > 0) (await openBinfmtNamespace(emulators.usable))[Symbol.dispose]();
  } catch (thrown) {
    namespaceProblem = BakeError.from(thrown).message;
  }
  const foreign = architectures.filter(({ name }) => name !== native.architecture);
  return {
    emulators,
    native: foreign.filter(({ name }) => runsNatively({ os: "linux", architecture: name }, native, owner)),
    registered: foreign.flatMap(architecture => {
      const entry = findHostEntry(architecture);
      return entry === undefined ? [] : [{ architecture, entry }];
    }),
    namespaceProblem,
  };
}

/** 64-bit processors run programs of their 32-bit kin, where processor and kernel are made for it. */
const kin: Readonly<Record<string, { readonly of: string; readonly program: Uint8Array }>> = {
  // mov eax, 1; xor ebx, ebx; int 0x80
  "386": {
    of: "amd64",
    program: smallElf(0x03, 0, Uint8Array.of(0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80)),
  },
  // mov r0, #0; mov r7, #1; svc 0
  arm: {
    of: "arm64",
    program: smallElf(
      0x28,
      0x05000000,
      Uint8Array.of(0x00, 0x00, 0xa0, 0xe3, 0x01, 0x70, 0xa0, 0xe3, 0x00, 0x00, 0x00, 0xef),
    ),
  },
};

const PROBE_TIMEOUT_MS = 2_000;

function runsNatively(wanted: Platform, native: Platform, owner: Owner): boolean {
  if (wanted.os !== native.os) return false;
  if (wanted.architecture === native.architecture) return true;
  const kinship = kin[wanted.architecture];
  if (kinship?.of !== native.architecture) return false;
  const path = owner.newPath("temp");
  try {
    writeFileSync(path, kinship.program, { mode: 0o755 });
    execFileSync(path, { stdio: "ignore", timeout: PROBE_TIMEOUT_MS });
    return true;
  } catch {
    return false;
  } finally {
    rmSync(path, { force: true });
  }
}

/** @throws BakeError "platform-invalid" for what no emulator runs */
function architectureOf(platform: Platform, native: Platform): Architecture {
  const architecture = architectures.find(({ name }) => name === platform.architecture);
  if (platform.os === "linux" && architecture !== undefined) return architecture;
  throw new BakeError(
    "platform-invalid",
    `cannot run a command for ${formatPlatform(platform)} on ${formatPlatform(native)}: ${
      platform.os === "linux" ? "no emulator is known for it" : "only commands for Linux run here"
    }`,
    { hint: CROSS_HINT },
  );
}

const CROSS_HINT =
  "put the step in a stage with FROM --platform=$BUILDPLATFORM and copy what it makes into the image";

function emulatorMissing(
  platform: Platform,
  native: Platform,
  { qemu }: Architecture,
  { dynamic }: FoundEmulators,
): BakeError {
  const unusable = dynamic.find(path => path.endsWith(`/qemu-${qemu}`) || path.endsWith(`-${qemu}-static`));
  const why =
    unusable === undefined
      ? `no emulator found: qemu-${qemu}-static is not on PATH, nor registered with the kernel`
      : `the emulator "${unusable}" is not static, so that it does not start in containers`;
  return new BakeError(
    "emulator-missing",
    `cannot run a command for ${formatPlatform(platform)} on ${formatPlatform(native)}: ${why}`,
    {
      hint: `install it, such as with "apt-get install qemu-user-static" (Fedora: dnf install qemu-user-static), or ${CROSS_HINT}`,
    },
  );
}
