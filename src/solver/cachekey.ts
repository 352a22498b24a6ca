// Cache keys: digests over labelled parts. A definition key names the inputs of a step by the records they have, a
// content key by what the step can see of them. The same parts are stored and compared by explain.ts.
import { digestOf, type Digest } from "../oci/digest.ts";
import type { CacheKey, CacheMap, ContentKey, InputKeying, KeyPart, StoredPart } from "./op.ts";

/**
 * What stands for an input in the keys of its users: the id of its record, or "volatile" when the input has no key of
 * its own and must be named by content.
 */
export type Identity = Digest | "volatile";

/** An input as it enters a key: who it is, and which of its outputs is used. */
export interface KeyedInput {
  readonly identity: Identity;
  readonly index: number;
}

/** The key over parts. Labels and values are both hashed, each with its length, so no two lists collide. */
export function keyOfParts(parts: readonly KeyPart[], details?: readonly KeyPart[]): CacheKey {
  let text = "llbake.key.v1\n";
  for (const { label, value } of parts) text += `${label.length}:${label}=${value.length}:${value}\n`;
  const digest = digestOf(text);
  return details === undefined || details.length === 0 ? { digest, parts } : { digest, parts, details };
}

/** The key of a step by its definition alone, or undefined when an input has no identity to be named by. */
export function definitionKey<R>(map: CacheMap<R>, inputs: readonly KeyedInput[]): CacheKey | undefined {
  if (map.volatile === true) return undefined;
  const parts = [...map.parts];
  for (const [i, input] of inputs.entries()) {
    if (input.identity === "volatile") return undefined;
    parts.push(inputPart(i, map.inputs[i], input.identity, input.index));
  }
  return keyOfParts(parts);
}

/**
 * The key of a step by the content of its inputs. `contents` has an entry for each input that can be read; the others
 * enter as in the definition key. Undefined when a volatile input cannot be read.
 */
export function contentKeyOf<R>(
  map: CacheMap<R>,
  inputs: readonly KeyedInput[],
  contents: readonly (ContentKey | undefined)[],
): CacheKey | undefined {
  if (map.volatile === true) return undefined;
  const parts = [...map.parts];
  const details: KeyPart[] = [];
  for (const [i, input] of inputs.entries()) {
    const content = contents[i];
    if (content !== undefined) {
      parts.push({ label: contentLabel(i), value: content.digest });
      // Not a spread: an op may list many thousand files.
      for (const part of content.parts ?? []) details.push(part);
    } else if (input.identity === "volatile") return undefined;
    else parts.push(inputPart(i, map.inputs[i], input.identity, input.index));
  }
  return keyOfParts(parts, details);
}

/** The key of one forced execution: differs in every run, so that nothing keyed by older results can match it. */
export function saltedKey(key: CacheKey, nonce: string): CacheKey {
  return keyOfParts([...key.parts, { label: FORCED_LABEL, value: nonce }], key.details);
}

/** A part as it may be stored: the value hashed (it may carry credentials), only `shown` in clear. */
export function storedPart({ label, value, shown }: KeyPart): StoredPart {
  return { label, value: digestOf(value), ...(shown !== undefined && { shown }) };
}

/** Label of the part that salts forced executions; explanations leave it out. */
export const FORCED_LABEL = "forced run";

/** Labels of the parts that name inputs. They hold numbers, not names: renaming a step must not change keys. */
export function inputLabel(index: number): string {
  return `input ${index}`;
}

export function contentLabel(index: number): string {
  return `content of input ${index}`;
}

function inputPart<R>(
  i: number,
  keying: InputKeying<R> | undefined,
  identity: Digest,
  index: number,
): KeyPart {
  return { label: inputLabel(i), value: `${identity}#${index} ${keying?.selector ?? ""}` };
}
