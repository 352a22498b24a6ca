// The C library, for the few system calls Node does not offer. koffi is loaded on first use; where it cannot be
// (no prebuilt binary for the machine) callers do without, or say so.

export interface Native {
  /**
   * A function of the C library by its prototype, which is looked up by the first call (most of a millisecond). Calls
   * are synchronous, about a microsecond each.
   */
  bind(prototype: string): (...args: readonly NativeValue[]) => number;
  /** As `bind`, for calls that take long: each runs on another thread, some dozens at once. */
  bindAsync(prototype: string): (...args: readonly NativeValue[]) => Promise<number>;
  /** The error of the last synchronous call that failed on this thread. */
  lastError(): { readonly errno: number; readonly code: string };
}

export type NativeValue = string | number | bigint | Uint8Array | null | readonly (string | null)[];

let loading: Promise<Native | undefined> | undefined;

/** Loaded once; undefined when this machine has no usable native library. */
export function loadNative(): Promise<Native | undefined> {
  loading ??= load();
  return loading;
}

async function load(): Promise<Native | undefined> {
  if (process.platform !== "linux") return undefined;
  try {
    const koffi = await loadKoffi();
    const library = koffi.load(null);
    const codes = new Map(Object.entries(koffi.os.errno).map(([code, errno]) => [errno, code]));
    return {
      bind(prototype) {
        let call: ReturnType<typeof library.func> | undefined;
        return (...args) => Number((call ??= library.func(prototype))(...args));
      },
      bindAsync(prototype) {
        let call: ReturnType<typeof library.func> | undefined;
        return (...args) =>
          inTurn(
            () =>
              new Promise((resolve, reject) => {
                (call ??= library.func(prototype)).async(...args, (error: unknown, result: unknown) => {
                  if (error) reject(error instanceof Error ? error : new Error("a native call failed"));
                  else resolve(Number(result));
                });
              }),
          );
      },
      lastError() {
        const errno = koffi.errno();
        // The name is for people and tests; an uncommon one is told by its number.
        return { errno, code: codes.get(errno) ?? `errno ${errno}` };
      },
    };
  } catch {
    return undefined;
  }
}

/** koffi refuses more than 256 that wait or run. */
const MAX_CALLS = 64;
let running = 0;
const waiting: (() => void)[] = [];

async function inTurn<T>(call: () => Promise<T>): Promise<T> {
  if (running === MAX_CALLS) await new Promise<void>(resolve => waiting.push(resolve));
  else running += 1;
  try {
    return await call();
  } finally {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  }
}

type Koffi = Pick<typeof import("koffi"), "load" | "errno" | "os">;

/**
 * koffi's prebuilt binary, which is loaded in 1 ms; its script takes 5 ms to find the same. Only CommonJS, which the
 * bundle is, can load it so. What the script adds to it is nothing that is used here.
 */
async function loadKoffi(): Promise<Koffi> {
  const { platform, arch } = process;
  try {
    const binary = (await import(`@koromix/koffi-${platform}-${arch}/${platform}_${arch}/koffi.node`)) as {
      readonly default: Koffi;
    };
    if (typeof binary.default.load === "function") return binary.default;
  } catch {
    // Another libc, a machine whose binary is named otherwise, or one that koffi was compiled on.
  }
  return (await import("koffi")).default;
}
