// `--filter` of `bake du` and `bake prune`: the keys of buildx's, read as buildx reads them (`key=value`, `key!=value`,
// `key~=regex`, `key` alone for what is true or not).
import { BakeError } from "../diagnostic/error.ts";
import { nearest } from "../diagnostic/suggest.ts";
import type { StoredThing } from "../engine/usage.ts";
import { parseAge } from "./sizes.ts";

export interface StorageFilter {
  /** What has not been used for this long, in milliseconds; undefined when that does not matter. */
  readonly unusedForMs: number | undefined;
  readonly matches: (thing: StoredThing) => boolean;
}

type Field = (thing: StoredThing) => readonly string[] | boolean;

const isMutable = ({ kind }: StoredThing): boolean => ["cache-mount", "git", "active"].includes(kind);

/** What BuildKit calls our kinds. */
const recordTypes: Readonly<Record<string, string>> = {
  snapshot: "regular",
  blob: "regular",
  "cache-mount": "exec.cachemount",
  git: "source.git.checkout",
  metadata: "internal",
  active: "internal",
};

const fields: Readonly<Record<string, Field>> = {
  id: ({ id }) => [id],
  kind: ({ kind }) => [kind],
  type: ({ kind }) => [kind, recordTypes[kind] ?? kind],
  description: ({ description }) => [description],
  target: ({ targets }) => targets.map(({ target }) => target),
  parents: ({ parent }) => (parent === undefined ? [] : [parent]),
  inuse: ({ inUse }) => inUse,
  shared: ({ shared }) => shared,
  private: ({ shared }) => !shared,
  mutable: isMutable,
  immutable: thing => !isMutable(thing),
};

const AGE_KEYS = ["until", "unused-for"];

/** Different keys all have to hold; of several values of one key, any. @throws BakeError "usage" */
export function parseStorageFilter(filters: readonly string[]): StorageFilter {
  const tests = new Map<string, ((thing: StoredThing) => boolean)[]>();
  let unusedForMs: number | undefined;
  for (const text of filters) {
    const [, key = "", operator = "", value = ""] = /^([^=!~]*)(!=|~=|==?|)([^]*)$/.exec(text.trim()) ?? [];
    if (AGE_KEYS.includes(key)) {
      if (unusedForMs !== undefined)
        throw new BakeError("usage", "only one of the filters until and unused-for can be given");
      unusedForMs = parseAge(value, `--filter ${key}`);
      continue;
    }
    const field = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (field === undefined) {
      const known = [...Object.keys(fields), ...AGE_KEYS];
      const meant = nearest(key, known);
      throw new BakeError("usage", `unknown filter "${key}"`, {
        hint: meant === undefined ? `one of: ${known.join(", ")}` : `did you mean "${meant}"?`,
      });
    }
    const isEqual = key === "id" ? isPart : (value: string) => (found: string) => found === value;
    const compare = operator === "~=" ? matcher(value) : isEqual(value);
    const test = (thing: StoredThing): boolean => {
      const found = field(thing);
      const isTrue = typeof found === "boolean" ? found === (value !== "false") : found.some(compare);
      return operator === "" && typeof found !== "boolean"
        ? found.length > 0
        : isTrue !== (operator === "!=");
    };
    tests.set(`${key} ${operator}`, [...(tests.get(`${key} ${operator}`) ?? []), test]);
  }
  const all = [...tests].map(
    ([key, any]) =>
      (thing: StoredThing): boolean =>
        key.endsWith("!=") ? any.every(test => test(thing)) : any.some(test => test(thing)),
  );
  return { unusedForMs, matches: thing => all.every(test => test(thing)) };
}

/** As buildx, which finds an entry by any piece of its id. */
function isPart(value: string): (found: string) => boolean {
  return found => found.includes(value);
}

function matcher(value: string): (found: string) => boolean {
  let pattern: RegExp;
  try {
    pattern = new RegExp(value);
  } catch {
    throw new BakeError("usage", `invalid regular expression "${value}" in --filter`);
  }
  return found => pattern.test(found);
}

/** What the named targets use and no other target does. @throws BakeError "file-missing" when a name is not known */
export function expectOfTargets(
  things: readonly StoredThing[],
  names: readonly string[],
): (thing: StoredThing) => boolean {
  const known = new Set(things.flatMap(({ targets }) => targets.map(({ target }) => target)));
  for (const name of names) {
    if (known.has(name)) continue;
    const meant = nearest(name, [...known]);
    throw new BakeError("file-missing", `nothing in the cache is known to be of target "${name}"`, {
      hint: meant === undefined ? "bake du shows which targets use what" : `did you mean "${meant}"?`,
    });
  }
  return ({ targets }) => targets.length > 0 && targets.every(({ target }) => names.includes(target));
}
