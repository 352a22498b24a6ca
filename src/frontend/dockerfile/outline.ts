// What a target can be given from outside: build args, secrets and ssh agents, noted while its stages are lowered
// (BuildKit: dockerfile2llb/outline.go). Used for `--call=outline`.
import type { Range } from "../../diagnostic/source.ts";
import type { InstructionLine } from "./parse.ts";

export interface NotedArg {
  readonly name: string;
  readonly description: string;
  readonly value: string;
  readonly range: Range;
  /** Arguments its default was made of. */
  readonly uses: ReadonlySet<string>;
}

export interface NotedNeed {
  readonly name: string;
  readonly required: boolean;
  readonly range: Range;
}

/** The notes of one stage. */
export interface StageNotes {
  readonly args: Map<string, NotedArg>;
  /** Names of the arguments its instructions use. */
  readonly used: Set<string>;
  readonly secrets: Map<string, NotedNeed>;
  readonly ssh: Map<string, NotedNeed>;
}

export function createNotes(args: ReadonlyMap<string, NotedArg> = new Map()): StageNotes {
  return { args: new Map(args), used: new Set(), secrets: new Map(), ssh: new Map() };
}

/** What a stage begins with that builds on another: whatever was noted of that one so far. */
export function copyNotes({ args, used, secrets, ssh }: StageNotes): StageNotes {
  return { args: new Map(args), used: new Set(used), secrets: new Map(secrets), ssh: new Map(ssh) };
}

/** The first mention of a secret or agent counts. */
export function noteNeed(needs: Map<string, NotedNeed>, name: string, required: boolean, range: Range): void {
  if (!needs.has(name)) needs.set(name, { name, required, range });
}

/** The comment that describes a name: `# NAME text` right above the instruction that declares it; "" when none does. */
export function describedIn({ comments }: InstructionLine, name: string): string {
  if (name === "") return "";
  return comments.find(comment => comment.startsWith(`${name} `))?.slice(name.length + 1) ?? "";
}

/** A stage as far as its notes go. */
export interface NotedStage {
  readonly notes: StageNotes;
  readonly base: NotedStage | undefined;
  readonly dependencies: ReadonlyMap<NotedStage, unknown>;
}

export interface Outline {
  readonly args: readonly NotedArg[];
  readonly secrets: readonly NotedNeed[];
  readonly ssh: readonly NotedNeed[];
}

/** Everything noted of a target and of the stages it needs; of equal names the one nearest to the target. */
export function outlineOf(target: NotedStage): Outline {
  const args = new Map<string, NotedArg>();
  const secrets = new Map<string, NotedNeed>();
  const ssh = new Map<string, NotedNeed>();
  const seen = new Set<NotedStage>();
  const visit = (stage: NotedStage): void => {
    if (seen.has(stage)) return;
    seen.add(stage);
    const { notes } = stage;
    for (const name of withUses(notes)) {
      const found = notes.args.get(name);
      if (found !== undefined && !args.has(name)) args.set(name, found);
    }
    for (const [name, need] of notes.secrets) if (!secrets.has(name)) secrets.set(name, need);
    for (const [name, need] of notes.ssh) if (!ssh.has(name)) ssh.set(name, need);
    if (stage.base !== undefined) visit(stage.base);
    for (const dependency of stage.dependencies.keys()) visit(dependency);
  };
  visit(target);
  return { args: [...args.values()], secrets: [...secrets.values()], ssh: [...ssh.values()] };
}

/** The used arguments and those that their defaults use. */
function withUses({ args, used }: StageNotes): ReadonlySet<string> {
  const all = new Set<string>();
  const add = (name: string): void => {
    if (all.has(name)) return;
    all.add(name);
    for (const other of args.get(name)?.uses ?? []) add(other);
  };
  for (const name of used) add(name);
  return all;
}
