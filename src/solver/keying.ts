// How one vertex is keyed: the keys by which its result is sought, shared with other processes and saved. Inputs are
// known in one way before they are executed and may be known in another afterwards: a key must be true of both.
import type { Digest } from "../oci/digest.ts";
import { contentKeyOf, definitionKey, saltedKey, type Identity, type KeyedInput } from "./cachekey.ts";
import type { CacheKey, CacheMap, ContentKey } from "./op.ts";

/** How a vertex is keyed, found out before it becomes `known`. */
export interface Keying<R> {
  readonly map: CacheMap<R>;
  /** The inputs as they were when the keys were made. */
  readonly inputs: readonly KeyedInput[];
  readonly definition?: CacheKey;
  /** By input; holes where the input is named by its identity. */
  readonly contents?: readonly (ContentKey | undefined)[];
  readonly content?: CacheKey;
  /** The store could not answer: a record may exist that was not seen. */
  readonly doubt: boolean;
}

/** The keying of a vertex by its definition. */
export function keyingOf<R>(map: CacheMap<R>, inputs: readonly KeyedInput[]): Keying<R> {
  const definition = definitionKey(map, inputs);
  return { map, inputs, ...(definition && { definition }), doubt: false };
}

/** The same with what was read of the inputs, which are now known as `inputs`: reading may have executed some. */
export function withContents<R>(
  { map, inputs: before, definition: asked, doubt }: Keying<R>,
  inputs: readonly KeyedInput[],
  contents: readonly (ContentKey | undefined)[],
): Keying<R> {
  // What stands for an input may have changed when it was executed (see truthfulKeys).
  const definition = sameIdentities(before, inputs) ? asked : definitionKey(map, inputs);
  const content = contentKeyOf(map, inputs, contents);
  return { map, inputs, contents, doubt, ...(definition && { definition }), ...(content && { content }) };
}

/** The inputs that can be named by their content. */
export function readableInputs<R>({ map, inputs }: Keying<R>): readonly number[] {
  const readable: number[] = [];
  for (const i of inputs.keys()) if (map.inputs[i]?.contentKey !== undefined) readable.push(i);
  return readable;
}

/** Whether no key can be made, whatever is read of the inputs. */
export function isNameless<R>({ map, inputs }: Keying<R>): boolean {
  return (
    map.volatile === true ||
    inputs.some((input, i) => input.identity === "volatile" && map.inputs[i]?.contentKey === undefined)
  );
}

/**
 * The identity of a vertex that has no record: the key it will be saved under. Forced executions, and those whose
 * record may exist unseen, get one that nothing older can have been keyed by.
 */
export function prospect<R>(
  facts: { readonly forced: boolean; readonly nonce: string },
  keying: Keying<R>,
): Identity {
  const key = keying.definition ?? keying.content;
  if (key === undefined) return "volatile";
  return facts.forced || keying.doubt ? saltedKey(key, facts.nonce).digest : key.digest;
}

/** The keys by which another's execution may stand for one, and the one that both claim: the coarsest. */
export function keysToShare<R>(
  { forced }: { readonly forced: boolean },
  { identity, keying }: { readonly identity: Identity; readonly keying: Keying<R> },
  inputs: readonly KeyedInput[],
): { readonly keys: readonly CacheKey[]; readonly claim: CacheKey } | undefined {
  if (forced || identity === "volatile") return undefined;
  const keys = truthfulKeys(keying, inputs);
  const { map, contents } = keying;
  const coarsest = sameIdentities(keying.inputs, inputs)
    ? (keying.content ?? keying.definition)
    : ((contents && contentKeyOf(map, inputs, contents)) ?? definitionKey(map, inputs));
  const claim = coarsest ?? keys[0];
  return keys.length === 0 || claim === undefined ? undefined : { keys, claim };
}

function sameIdentities(before: readonly KeyedInput[], now: readonly KeyedInput[]): boolean {
  return before.every((input, i) => input.identity === now[i]?.identity);
}

/**
 * The keys an execution may be saved under, given its inputs as they are known afterwards. An input that took the
 * identity of an older record has both; one whose identity was withdrawn (its own source changed under it) names
 * nothing any more.
 */
export function truthfulKeys<R>(keying: Keying<R>, now: readonly KeyedInput[]): readonly CacheKey[] {
  const { map, inputs, contents } = keying;
  const candidates = [keying.definition, keying.content];
  if (!sameIdentities(inputs, now)) {
    const withdrawn = (i: number): boolean =>
      now[i]?.identity === "volatile" && inputs[i]?.identity !== "volatile";
    if (inputs.some((_, i) => withdrawn(i))) candidates[0] = undefined;
    if (inputs.some((_, i) => withdrawn(i) && contents?.[i] === undefined)) candidates[1] = undefined;
    candidates.push(definitionKey(map, now));
    if (contents !== undefined) candidates.push(contentKeyOf(map, now, contents));
  }
  const keys = new Map<Digest, CacheKey>();
  for (const key of candidates) if (key !== undefined && !keys.has(key.digest)) keys.set(key.digest, key);
  return [...keys.values()];
}
