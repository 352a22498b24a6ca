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

export interface Reason {
  readonly kind: "new" | "changed" | "lost" | "forced" | "volatile" | "doubt";
  /** To be read after "because". */
  readonly text: string;
}

/** How many changed parts a reason names. */
const NAMED = 3;

/** How many characters a reason shows of a value: of its beginning, and of its end, where digests are. */
const SHOWN_HEAD = 50;
const SHOWN_TAIL = 20;

const NEW = "it was not built before";

const OTHER_REASONS = {
  forced: "the cache is switched off for this step",
  volatile: "it depends on something that is read anew in every build",
  lost: "its result is no longer in the cache",
  doubt: "the cache could not be read",
} as const;

/** The reason of an execution. Never throws by itself. */
export async function reasonToExecute<R>({ run, inputs, previous }: ExplainRequest<R>): Promise<Reason> {
  if (run.because !== undefined) return { kind: run.because, text: OTHER_REASONS[run.because] };
  const text = explainParts(await previous(), partsOf(run.keying), inputs);
  return { kind: text === NEW ? "new" : text === OTHER_REASONS.lost ? "lost" : "changed", text };
}

/** Whether a reason tells more than what is so in every build or was asked for. */
export function isNotable({ kind }: Reason): boolean {
  return kind === "changed" || kind === "lost" || kind === "doubt";
}

/**
 * Compares the parts of this run with those of an earlier one (undefined when there was none). Labels that end in a
 * quoted name, such as `file "a.txt"`, are told together.
 */
export function explainParts(
  before: readonly StoredPart[] | undefined,
  now: readonly KeyPart[],
  inputs: readonly string[],
): string {
  if (before === undefined || before.length === 0) return NEW;
  const changes = compareParts(
    before.filter(part => part.label !== FORCED_LABEL),
    now.map(storedPart),
  );
  // An input rebuilt with the same content changes its id alone; the pieces of its content say more than its digest.
  const pieces = changes.filter(change => inputOf(change.label) === undefined);
  const chosen = pieces.length > 0 ? pieces : changes;
  if (chosen.length === 0) return OTHER_REASONS.lost;
  const facts = new Map(
    chosen.map(change => [JSON.stringify(factOf(change, inputs)), factOf(change, inputs)]),
  );
  const named = [...facts.values()].slice(0, NAMED);
  const more = facts.size - named.length;
  return groupFacts(named).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** A change in words: what it is, its quoted name when there may be several of its kind, and what happened. */
interface Fact {
  readonly noun: string;
  readonly name: string | undefined;
  readonly verb: string;
}

/** One clause for all things of a kind to which the same happened, in the order of the first of them. */
function groupFacts(facts: readonly Fact[]): readonly string[] {
  const groups = new Map<string, Fact[]>();
  for (const fact of facts) {
    const key = JSON.stringify([fact.noun, fact.name === undefined, fact.verb]);
    groups.set(key, [...(groups.get(key) ?? []), fact]);
  }
  return [...groups.values()].map(group => {
    const names = group.flatMap(({ name }) => name ?? []);
    const { noun, verb } = group[0] ?? { noun: "", verb: "" };
    return [names.length > 1 ? `${noun}s` : noun, names.join(", "), verb]
      .filter(word => word !== "")
      .join(" ");
  });
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

function factOf({ label, change, from, to }: PartChange, inputs: readonly string[]): Fact {
  const input = inputOf(label);
  if (input !== undefined)
    return { noun: "input", name: JSON.stringify(inputs[input] ?? String(input)), verb: "changed" };
  const [, noun = label, name] = /^(.*?) (".*")$/.exec(label) ?? [];
  const [before, after] = [abridged(from), abridged(to)];
  const differ = change === "changed" && before !== undefined && after !== undefined && before !== after;
  return { noun, name, verb: differ ? `changed from ${before} to ${after}` : change };
}

/** A value short enough to be read in a line: digests cut, line ends and the middle of long texts left out. */
function abridged(shown: string | undefined): string | undefined {
  if (shown === undefined) return undefined;
  const text = shown.replace(/sha256:([0-9a-f]{12})[0-9a-f]{52}/g, "sha256:$1").replace(/\s+/g, " ");
  return JSON.stringify(
    text.length > SHOWN_HEAD + SHOWN_TAIL ? `${text.slice(0, SHOWN_HEAD)}…${text.slice(-SHOWN_TAIL)}` : text,
  );
}

/** The number of the input a label speaks of. */
function inputOf(label: string): number | undefined {
  const number = /(\d+)$/.exec(label)?.[1];
  if (number === undefined) return undefined;
  const index = Number(number);
  return label === inputLabel(index) || label === contentLabel(index) ? index : undefined;
}
