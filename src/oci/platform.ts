// Platforms as containerd normalises and prints them (OCI image spec, image-index.md "platform").
import { BakeError } from "../diagnostic/error.ts";

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly osVersion?: string;
  readonly osFeatures?: readonly string[];
}

const KNOWN_OS = new Set(
  "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos wasip1".split(
    " ",
  ),
);
const KNOWN_ARCH = new Set(
  "386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le ppc riscv riscv64 s390 s390x sparc sparc64 wasm".split(
    " ",
  ),
);
const COMPONENT = /^[A-Za-z0-9_.-]+$/;

/** Maps spellings of an architecture to Go's names, and drops variants that mean the default. */
export function normalizePlatform(platform: Platform): Platform {
  const { architecture, variant } = normalizeArchitecture(platform.architecture, platform.variant ?? "");
  const os = normalizeOs(platform.os);
  return {
    os,
    architecture,
    ...(variant && { variant }),
    ...(platform.osVersion && { osVersion: platform.osVersion }),
    ...(platform.osFeatures?.length && { osFeatures: platform.osFeatures }),
  };
}

function normalizeOs(os: string): string {
  const lower = os.toLowerCase();
  return lower === "macos" ? "darwin" : lower;
}

function normalizeArchitecture(
  architecture: string,
  variant: string,
): { architecture: string; variant: string } {
  const arch = architecture.toLowerCase();
  const kind = variant.toLowerCase();
  switch (arch) {
    case "i386":
      return { architecture: "386", variant: "" };
    case "x86_64":
    case "x86-64":
    case "amd64":
      return { architecture: "amd64", variant: kind === "v1" ? "" : kind };
    case "aarch64":
    case "arm64":
      if (kind === "8" || kind === "v8" || kind === "v8.0") return { architecture: "arm64", variant: "" };
      return {
        architecture: "arm64",
        variant: kind === "9" || kind === "9.0" || kind === "v9.0" ? "v9" : kind,
      };
    case "armhf":
      return { architecture: "arm", variant: "v7" };
    case "armel":
      return { architecture: "arm", variant: "v6" };
    case "arm":
      if (kind === "" || kind === "7") return { architecture: "arm", variant: "v7" };
      return { architecture: "arm", variant: /^[5-8]$/.test(kind) ? `v${kind}` : kind };
    default:
      return { architecture: arch, variant: kind };
  }
}

/**
 * Reads `os/arch[/variant]`, `os[(version)]/arch…`, or a lone os or architecture, which is completed from `host`.
 * @throws BakeError "platform-invalid"
 */
export function parsePlatform(text: string, host: Platform): Platform {
  const invalid = (why: string): BakeError =>
    new BakeError("platform-invalid", `invalid platform "${text}": ${why}`);
  const parts = text.split("/");
  if (parts.length > 3 || text.includes("*"))
    throw invalid(`expected "os/architecture" or "os/architecture/variant"`);
  const head = /^([A-Za-z0-9_.-]+)(?:\(([A-Za-z0-9_.-]*)\))?$/.exec(parts[0] ?? "");
  if (head === null) throw invalid("the operating system has characters that are not allowed");
  for (const part of parts.slice(1))
    if (!COMPONENT.test(part)) throw invalid(`"${part}" is not a valid component`);
  const osVersion = head[2] ? { osVersion: head[2] } : {};
  const first = head[1] ?? "";
  if (parts.length === 1) {
    const os = normalizeOs(first);
    if (KNOWN_OS.has(os)) {
      const { architecture, variant } = host;
      return normalizePlatform({ os, architecture, ...(variant && { variant }), ...osVersion });
    }
    const { architecture, variant } = normalizeArchitecture(first, "");
    if (KNOWN_ARCH.has(architecture)) {
      return normalizePlatform({ os: host.os, architecture, variant });
    }
    throw invalid("unknown operating system or architecture");
  }
  return normalizePlatform({
    os: first,
    architecture: parts[1] ?? "",
    ...(parts[2] && { variant: parts[2] }),
    ...osVersion,
  });
}

/** `os/arch[/variant]`. */
export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter(part => part).join("/");
}

/** Whether an image for `have` can serve `want`; both are normalised first. */
export function matchesPlatform(want: Platform, have: Platform): boolean {
  const a = normalizePlatform(want);
  const b = normalizePlatform(have);
  return a.os === b.os && a.architecture === b.architecture && (a.variant ?? "") === (b.variant ?? "");
}

/**
 * Platforms an image may have to serve `want`, best first: an exact match, then lower variants of the same
 * architecture (arm v7 runs v6 and v5; amd64 v3 runs v2 and v1).
 */
export function platformPreference(want: Platform): readonly Platform[] {
  const { os, architecture, variant } = normalizePlatform(want);
  const ladder: (string | undefined)[] = [variant];
  const level = Number(/^v(\d+)$/.exec(variant ?? "")?.[1] ?? Number.NaN);
  if (architecture === "arm" && !Number.isNaN(level))
    for (let v = level - 1; v >= 5; v--) ladder.push(`v${v}`);
  if (architecture === "amd64" && !Number.isNaN(level)) {
    for (let v = level - 1; v >= 2; v--) ladder.push(`v${v}`);
    ladder.push(undefined);
  }
  return ladder.map(step => ({ os, architecture, ...(step && { variant: step }) }));
}

const NODE_ARCH: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };

/** The platform of a machine by Node's names (`process.platform`, `process.arch`). */
export function platformFromNode(os: string, arch: string): Platform {
  return normalizePlatform({ os: os === "win32" ? "windows" : os, architecture: NODE_ARCH[arch] ?? arch });
}
