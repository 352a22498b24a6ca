// What `bake doctor` says of foreign platforms: which of them run here, in which way, and what would make it better.
import type { EmulationReport } from "../executor/emulation.ts";

export interface EmulationFinding {
  readonly state: "ok" | "note";
  readonly text: string;
  readonly fix?: string;
}

const INSTALL = "apt-get install qemu-user-static";

export function emulationFinding(report: EmulationReport): EmulationFinding {
  const { emulators, native, registered, namespaceProblem } = report;
  const isNative = (name: string): boolean => native.some(architecture => architecture.name === name);
  const usable = emulators.usable
    .map(({ architecture }) => architecture)
    .filter(({ name }) => !isNative(name));
  const byMachine = registered
    .filter(({ entry, architecture }) => entry.isOpen && !isNative(architecture.name))
    .map(({ architecture }) => architecture);
  const inNamespace = namespaceProblem === undefined ? usable : [];
  const further = byMachine.filter(architecture => !inNamespace.includes(architecture));
  const mounted = usable.filter(
    architecture => !inNamespace.includes(architecture) && !further.includes(architecture),
  );
  const groups = [
    [inNamespace, "by QEMU, registered in a user namespace"],
    [further, "by what the machine's kernel has registered"],
    [mounted, "by QEMU mounted into the container, where programs that a command starts in turn do not run"],
    [native, "by the processor"],
  ] as const;
  const text = groups
    .filter(([group]) => group.length > 0)
    .map(([group, how]) => `${group.map(({ shown }) => shown).join(", ")} ${how}`)
    .join("; ");
  if (mounted.length > 0)
    return {
      state: "note",
      text: `${text} (${namespaceProblem ?? ""})`,
      fix: "use Linux 6.7 or newer, or register the emulators with the machine: apt-get install binfmt-support",
    };
  if (usable.length > 0 || byMachine.length > 0) return { state: "ok", text };
  const [dynamic] = emulators.dynamic;
  return {
    state: "note",
    text: [
      "no emulator for other platforms",
      ...(dynamic === undefined ? [] : [`${dynamic} is not static, so that it does not start in containers`]),
      ...(text === "" ? [] : [text]),
    ].join("; "),
    fix: INSTALL,
  };
}
