// The C library, for the few system calls Node does not offer. koffi is loaded on first use; where it cannot be
// (no prebuilt binary for the platform) callers do without and say so.

export interface Libc {
  /** Binds a function by its C prototype. Calls are synchronous, about a microsecond each. */
  bind(prototype: string): (...args: readonly (string | number | bigint | Uint8Array | null)[]) => number;
  /** The symbolic name of the last failed call's error: "EPERM", or "errno 123" for uncommon ones. */
  errno(): string;
}

let loading: Promise<Libc | undefined> | undefined;

/** Loaded once; undefined when this machine has no usable native library. */
export function loadLibc(): Promise<Libc | undefined> {
  loading ??= load();
  return loading;
}

async function load(): Promise<Libc | undefined> {
  if (process.platform !== "linux") return undefined;
  try {
    const { default: koffi } = await import("koffi");
    const library = koffi.load(null);
    const names = new Map(Object.entries(koffi.os.errno).map(([name, value]) => [value, name]));
    return {
      bind(prototype) {
        const call = library.func(prototype);
        return (...args) => Number(call(...args));
      },
      errno: () => names.get(koffi.errno()) ?? `errno ${koffi.errno()}`,
    };
  } catch {
    return undefined;
  }
}
