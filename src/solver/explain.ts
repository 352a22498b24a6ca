// Why a step had to run, in one line for people: compares the parts of its keys with those stored when it was last
// saved. The parts are the ones the keys are made of, so explanation and key cannot disagree.
import { contentLabel, FORCED_LABEL, inputLabel, storedPart } from "./cachekey.ts";
import type { Keying, Run } from "./edge.ts";
import type { KeyPart, StoredPart } from "./op.ts";

export interface ExplainRequest<R> {
  readonly run: Run<R>;
  /** Names of the inputs, in order. */
  readonly inputs: readonly string[];
  /** Looks up what was stored; only called when a comparison can tell something. */
  readonly previous: () => Promise<readonly StoredPart[] | undefined>;
}

/** How many changed parts a reason names. */
const NAMED = 3;

const OTHER_REASONS = {
  forced: "the cache is switched off for this step",
  volatile: "it depends on something that is read anew in every build",
  lost: "its result is no longer in the cache",
  doubt: "the cache could not be read",
} as const;

/** The reason of an execution. Never throws by itself. */
export async function reasonToExecute<R>({ run, inputs, previous }: ExplainRequest<R>): Promise<string> {
  if (run.because !== undefined) return OTHER_REASONS[run.because];
  return explainParts(await previous(), partsOf(run.keying), inputs);
}

/** Compares the parts of this run with those of an earlier one (undefined when there was none). */
export function explainParts(
  before: readonly StoredPart[] | undefined,
  now: readonly KeyPart[],
  inputs: readonly string[],
): string {
  if (before === undefined || before.length === 0) return "it was not built before";
  const changes = compareParts(
    before.filter(part => part.label !== FORCED_LABEL),
    now.map(storedPart),
  );
  // An input rebuilt with the same content changes its id alone; the pieces of its content say more than its digest.
  const pieces = changes.filter(change => inputOf(change.label) === undefined);
  const chosen = pieces.length > 0 ? pieces : changes;
  const sentences = [...new Set(chosen.map(change => sentence(change, inputs)))];
  if (sentences.length === 0) return "its result is no longer in the cache";
  const more = sentences.length - NAMED;
  return sentences.slice(0, NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

interface PartChange {
  readonly label: string;
  readonly change: "changed" | "added" | "removed";
  readonly from?: string;
  readonly to?: string;
}

/** Labels whose values differ, in the order of this run, removed ones last. A label may occur several times. */
export function compareParts(
  before: readonly StoredPart[],
  now: readonly StoredPart[],
): readonly PartChange[] {
  const old = byLabel(before);
  const fresh = byLabel(now);
  const changes: PartChange[] = [];
  for (const [label, parts] of fresh) {
    const earlier = old.get(label);
    if (earlier === undefined) changes.push({ label, change: "added", ...shown("to", parts) });
    else if (values(earlier) !== values(parts))
      changes.push({ label, change: "changed", ...shown("from", earlier), ...shown("to", parts) });
  }
  for (const [label, parts] of old)
    if (!fresh.has(label)) changes.push({ label, change: "removed", ...shown("from", parts) });
  return changes;
}

function partsOf<R>({ definition, content }: Keying<R>): readonly KeyPart[] {
  const parts = new Map<string, KeyPart>();
  for (const key of [definition, content]) {
    for (const part of key?.parts ?? []) parts.set(`${part.label}\n${part.value}`, part);
    for (const part of key?.details ?? []) parts.set(`${part.label}\n${part.value}`, part);
  }
  return [...parts.values()];
}

function byLabel(parts: readonly StoredPart[]): ReadonlyMap<string, readonly StoredPart[]> {
  const found = new Map<string, StoredPart[]>();
  for (const part of parts) {
    const list = found.get(part.label);
    if (list === undefined) found.set(part.label, [part]);
    else if (!list.some(other => other.value === part.value)) list.push(part);
  }
  return found;
}

function values(parts: readonly StoredPart[]): string {
  return parts
    .map(part => part.value)
    .sort()
    .join(" ");
}

function shown<K extends "from" | "to">(
  key: K,
  [first, ...rest]: readonly StoredPart[],
): { readonly [P in K]?: string } {
  return first?.shown === undefined || rest.length > 0
    ? {}
    : ({ [key]: first.shown } as { readonly [P in K]?: string });
}

function sentence({ label, change, from, to }: PartChange, inputs: readonly string[]): string {
  const input = inputOf(label);
  if (input !== undefined) return `input ${JSON.stringify(inputs[input] ?? String(input))} changed`;
  if (change === "changed" && from !== undefined && to !== undefined && from !== to)
    return `${label} changed from ${JSON.stringify(from)} to ${JSON.stringify(to)}`;
  return `${label} ${change}`;
}

/** The number of the input a label speaks of. */
function inputOf(label: string): number | undefined {
  const number = /(\d+)$/.exec(label)?.[1];
  if (number === undefined) return undefined;
  const index = Number(number);
  return label === inputLabel(index) || label === contentLabel(index) ? index : undefined;
}
