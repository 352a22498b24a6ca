// Runs a compiled pattern over a text: all threads side by side, so that the time is bounded by the product of both
// sizes whatever the pattern is. Of several matches the leftmost counts, and of those the one a backtracking matcher
// would find first.
import { hasCharacter, type Assertion, type Program } from "./program.ts";

export interface Match {
  readonly start: number;
  readonly end: number;
  /** Texts of the groups, the whole match first; undefined for groups that took no part. */
  readonly groups: readonly (string | undefined)[];
}

type Slots = readonly number[];

interface Threads {
  readonly at: number[];
  readonly slots: Slots[];
}

/**
 * The first match at `from` or after, in UTF-16 units, or undefined. `spend` is told the work, in steps, before it
 * is done, and may throw.
 */
export function findMatch(
  program: Program,
  text: string,
  from: number,
  spend: (steps: number) => void,
): Match | undefined {
  const { instructions } = program;
  const seen = new Int32Array(instructions.length).fill(-1);
  let current: Threads = { at: [], slots: [] };
  let following: Threads = { at: [], slots: [] };
  let found: Slots | undefined;
  const empty = new Array<number>(program.groups * 2).fill(-1);

  /** Follows instructions that take no character; each is visited once a position. */
  function add(threads: Threads, start: number, slots: Slots, position: number): void {
    const stack: { readonly at: number; readonly slots: Slots }[] = [{ at: start, slots }];
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      const { at } = top;
      if (seen[at] === position) continue;
      seen[at] = position;
      const instruction = instructions[at];
      if (instruction === undefined) continue;
      switch (instruction.op) {
        case "split":
          stack.push({ at: instruction.other, slots: top.slots }, { at: instruction.next, slots: top.slots });
          break;
        case "save": {
          const changed = [...top.slots];
          changed[instruction.slot] = position;
          stack.push({ at: instruction.next, slots: changed });
          break;
        }
        case "assert":
          if (holdsAt(instruction.kind, text, position))
            stack.push({ at: instruction.next, slots: top.slots });
          break;
        case "char":
        case "match":
          threads.at.push(at);
          threads.slots.push(top.slots);
          break;
        default: {
          const never: never = instruction;
          return never;
        }
      }
    }
  }

  for (let position = from; ;) {
    spend(1 + current.at.length);
    if (found === undefined) add(current, program.start, empty, position);
    if (current.at.length === 0 && found !== undefined) break;
    const code = position < text.length ? text.codePointAt(position) : undefined;
    const next = position + (code !== undefined && code > 0xffff ? 2 : 1);
    for (const [i, at] of current.at.entries()) {
      const instruction = instructions[at];
      const slots = current.slots[i] ?? empty;
      if (instruction?.op === "match") {
        found = slots;
        // Threads after this one are of lower priority.
        break;
      }
      if (instruction?.op === "char" && code !== undefined && hasCharacter(instruction.set, code))
        add(following, instruction.next, slots, next);
    }
    current.at.length = 0;
    current.slots.length = 0;
    [current, following] = [following, current];
    if (code === undefined) break;
    position = next;
  }
  return found && matchOf(text, found);
}

function matchOf(text: string, slots: Slots): Match {
  const groups: (string | undefined)[] = [];
  for (let i = 0; i < slots.length; i += 2) {
    const [start = -1, end = -1] = slots.slice(i, i + 2);
    groups.push(start < 0 || end < 0 ? undefined : text.slice(start, end));
  }
  return { start: slots[0] ?? 0, end: slots[1] ?? 0, groups };
}

function holdsAt(kind: Assertion, text: string, position: number): boolean {
  switch (kind) {
    case "textStart":
      return position === 0;
    case "textEnd":
      return position === text.length;
    case "lineStart":
      return position === 0 || text[position - 1] === "\n";
    case "lineEnd":
      return position === text.length || text[position] === "\n";
    case "wordBoundary":
    case "noWordBoundary": {
      const boundary = isWord(text[position - 1]) !== isWord(text[position]);
      return boundary === (kind === "wordBoundary");
    }
    default: {
      const never: never = kind;
      return never;
    }
  }
}

function isWord(character: string | undefined): boolean {
  return character !== undefined && /\w/.test(character);
}
