// What a user grants by writing it on the command line: paths, and entitlements, in the values of `--set`
// (buildx: Target.AddOverrides). Build contexts are not among them.
import type { TargetFields } from "./attributes.ts";
import type { Override } from "./override.ts";

export interface Grants {
  /** Paths as written. */
  readonly reads: readonly string[];
  readonly writes: readonly string[];
  /** Values of `entitlements`. */
  readonly entitlements: readonly string[];
}

export const noGrants: Grants = { reads: [], writes: [], entitlements: [] };

/** @param target what the overrides have made of the target */
export function grantsFromOverrides(target: TargetFields, overrides: ReadonlyMap<string, Override>): Grants {
  const reads: string[] = [];
  const writes: string[] = [];
  const entitlements: string[] = [];
  const add = (to: string[], path: string | undefined): void => {
    if (path) to.push(path);
  };
  const secrets = target.secret ?? [];
  for (const [fullKey, { values }] of overrides) {
    const [key = "", ...name] = fullKey.split(".");
    switch (key) {
      case "output":
        for (const { dest } of target.output ?? []) add(writes, dest);
        break;
      case "cache-from":
        for (const { type, attrs } of target.cacheFrom ?? []) if (type === "local") add(reads, attrs["src"]);
        break;
      case "cache-to":
        for (const { type, attrs } of target.cacheTo ?? []) if (type === "local") add(writes, attrs["dest"]);
        break;
      case "ssh":
        for (const { paths } of target.ssh ?? []) reads.push(...paths);
        break;
      case "secret":
        for (const { id, src } of secrets) if (id === name.join(".")) add(reads, src);
        break;
      case "secrets":
        // Those of the file that stay beside the added ones are not granted by them.
        for (const { id, src } of secrets) if (values.some(text => namesSecret(text, id))) add(reads, src);
        break;
      case "entitlements":
        entitlements.push(...values);
        break;
      default:
    }
  }
  return { reads, writes, entitlements };
}

function namesSecret(text: string, id: string): boolean {
  return text.split(",").some(field => field.trim().replace(/^"/, "").replace(/"$/, "") === `id=${id}`);
}

/** All that any of them grants. */
export function mergeGrants(all: readonly Grants[]): Grants {
  return {
    reads: all.flatMap(({ reads }) => reads),
    writes: all.flatMap(({ writes }) => writes),
    entitlements: all.flatMap(({ entitlements }) => entitlements),
  };
}
