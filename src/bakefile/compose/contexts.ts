// Named contexts of a service, and what a service is called as a target.
import { setOwn } from "../row.ts";

export type Strings = Readonly<Record<string, string>>;

/** Services become targets; everything else stays. */
export function namedContexts(pairs: readonly (readonly [string, string | undefined])[]): Strings {
  return recordOf(
    pairs.map(([name, value = ""]) => {
      const found = /^(?:service|target):([\s\S]*)$/.exec(value);
      return [name, found === null ? value : `target:${targetName(found[1] ?? "")}`] as const;
    }),
  );
}

/** Names of services may have dots, those of targets not. */
export function targetName(service: string): string {
  return service.replaceAll(".", "_");
}

export function recordOf(pairs: Iterable<readonly [string, string]>): Strings {
  const out: Record<string, string> = {};
  for (const [key, value] of pairs) setOwn(out, key, value);
  return out;
}
