// Why a step had to run, in one line for people: compares the parts of its keys with those stored when it was last
// saved. The parts are the ones the keys are made of, so explanation and key cannot disagree.
import { contentLabel, FORCED_LABEL, inputLabel, storedPart } from "./cachekey.ts";
import type { Run } from "./edge.ts";
import type { Keying } from "./keying.ts";
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

/** The reason of an execution, to be read after "because". Never throws by itself. */
export async function reasonToExecute<R>({ run, inputs, previous }: ExplainRequest<R>): Promise<string> {
  if (run.because !== undefined) return OTHER_REASONS[run.because];
  return explainParts(await previous(), partsOf(run.keying), inputs);
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
  if (before === undefined) return NEW;
  if (before.length === 0) return OTHER_REASONS.lost;
  const plain = before.filter(part => part.label !== FORCED_LABEL);
  const fresh = now.map(storedPart);
  const changes = compareParts(plain, fresh);
  // An input rebuilt with the same content changes its id alone; the pieces of its content say more than its digest.
  const pieces = changes.filter(change => inputOf(change.label) === undefined);
  const chosen = (pieces.length > 0 ? pieces : changes).filter(change => !isOfNew(change, changes));
  if (chosen.length === 0) {
    const moved = firstMoved(plain, fresh);
    return moved === undefined ? OTHER_REASONS.lost : `the order of its ${nounOf(moved)}s changed`;
  }
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
    return [names.length > 1 && noun !== "" ? `${noun}s` : noun, names.join(", "), verb]
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
function compareParts(before: readonly StoredPart[], now: readonly StoredPart[]): readonly PartChange[] {
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

/** The label of a part that is a quality of what another part's label names; only unusual values have a part. */
export function qualityLabel(quality: string, label: string): string {
  return `${quality} of ${label}`;
}

function ofWhat(label: string): string | undefined {
  return /^[a-z]+ of (.*)$/s.exec(label)?.[1];
}

/** Whether a change is of the quality of something that is there, or not there, as a whole. */
function isOfNew({ label }: PartChange, changes: readonly PartChange[]): boolean {
  const thing = ofWhat(label);
  return changes.some(other => other.label === thing && other.change !== "changed");
}

/** The first label that stands elsewhere than before, of labels that are all the same. */
function firstMoved(before: readonly StoredPart[], now: readonly StoredPart[]): string | undefined {
  // Two keys of a step share parts; each is told once.
  const old = [...byLabel(before).keys()];
  return [...byLabel(now).keys()].find((label, at) => label !== old[at]);
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
  if (input !== undefined) return { ...stepFact(inputs[input] ?? ""), verb: "changed" };
  const name = /^.*? (".*")$/.exec(label)?.[1];
  const noun = nounOf(label);
  const [before, after] = [abridged(from), abridged(to)];
  // The usual value of a quality has no part.
  if (ofWhat(label) !== undefined && change !== "changed")
    return { noun, name, verb: after === undefined ? "changed" : `changed to ${after}` };
  const differ = change === "changed" && before !== undefined && after !== undefined && before !== after;
  return { noun, name, verb: differ ? `changed from ${before} to ${after}` : change };
}

/** What kind of thing a label names: `variable "A"` is a variable. */
function nounOf(label: string): string {
  return /^(.*?) ".*"$/.exec(label)?.[1] ?? label;
}

/** How a step is called in the reason of another: its place, `[build 2/4]`, says enough. */
function stepFact(name: string): Pick<Fact, "noun" | "name"> {
  const place = /^\[[^\]]*\d+\/\d+\]/.exec(name)?.[0];
  return place === undefined ? { noun: "input", name: abridged(name) } : { noun: "", name: place };
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
