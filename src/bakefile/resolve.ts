// From definitions to the targets of one run: requested names, groups, inheritance, overrides and links
// (bake reference, "Inheritance", "Groups", "target: contexts").
import { BakeError } from "../diagnostic/error.ts";
import type { Diagnosed, Diagnostic } from "../diagnostic/diagnostic.ts";
import { compareUtf8 } from "../oci/json.ts";
import type { Range } from "../diagnostic/source.ts";
import { fields, mergeTargets, normalizeField, type TargetFields } from "./attributes.ts";
import { distinct, mergeMaps } from "./row.ts";
import { type Grants, grantsFromOverrides, mergeGrants, noGrants } from "./grants.ts";
import { isPattern, matchesGlob } from "./glob.ts";
import { cleanContext } from "./path.ts";
import { applyOverrides, parseOverrides, type Overrides } from "./override.ts";
import { unknownLink, unknownMember, unknownParent, unknownTarget } from "./unknown.ts";
import type { GroupDefinition, TargetDefinition } from "./definition.ts";
import type { BakeDocument } from "./load.ts";

export interface ResolvedGroup {
  readonly description: string;
  /** Null when the file says null. */
  readonly targets: readonly string[] | null;
}

/** A target with everything inherited, overridden and defaulted. */
export interface ResolvedTarget extends Readonly<Omit<TargetFields, "inherits">> {
  readonly name: string;
  /** A cleaned local path, or a URL. */
  readonly context: string;
  readonly dockerfile: string;
  /** Whether the target is only built because another one uses it as a context. */
  readonly linked: boolean;
  /** Type and label of the block that defines it. */
  readonly range: Range | undefined;
}

export interface ResolvedBake {
  readonly groups: ReadonlyMap<string, ResolvedGroup>;
  readonly targets: ReadonlyMap<string, ResolvedTarget>;
  /** The names asked for, patterns expanded. */
  readonly requested: readonly string[];
  /** What the overrides grant by naming it. */
  readonly grants: Grants;
}

export interface ResolveOptions {
  /** Names or patterns of targets and groups; default ["default"]. */
  readonly targets: readonly string[];
  /** Values of `--set`. */
  readonly overrides: readonly string[];
  /** What a context stands for; default: local paths cleaned, without `cwd://`. */
  readonly contextOf?: (context: string) => string;
}

/** More inheritance steps than this in a row are refused. */
const MAX_PARENTS = 500;

/** The targets and groups of a run; every problem at once. No value when there are any. */
export function resolveTargets(document: BakeDocument, options: ResolveOptions): Diagnosed<ResolvedBake> {
  const diagnostics: Diagnostic[] = [];
  try {
    const value = resolve(document, options, diagnostics);
    return { value: diagnostics.length === 0 ? value : undefined, diagnostics };
  } catch (thrown) {
    if (!(thrown instanceof BakeError)) throw thrown;
    return { value: undefined, diagnostics: [...diagnostics, ...thrown.diagnostics] };
  }
}

function resolve(document: BakeDocument, options: ResolveOptions, diagnostics: Diagnostic[]): ResolvedBake {
  const targets = new Map(document.targets.map(target => [target.name, target]));
  const groups = new Map([...document.groups].reverse().map(group => [group.name, group]));
  const lookUp = (name: string): string | undefined =>
    document.environmentHidden ? undefined : document.environment[name];
  const wanted = options.targets.length === 0 ? ["default"] : options.targets;
  const requested = [...new Set(wanted.flatMap(name => matchNames(name.replaceAll(".", "_"), document)))];
  const overrides = parseOverrides(options.overrides, [...targets.keys()], lookUp);

  /** Keeps what is wrong with one target, to go on with the others. */
  function keep(thrown: unknown): void {
    if (!(thrown instanceof BakeError)) throw thrown;
    for (const found of thrown.diagnostics) {
      const again = diagnostics.some(
        known =>
          known.message === found.message &&
          known.range?.source === found.range?.source &&
          known.range?.start === found.range?.start,
      );
      if (!again) diagnostics.push(found);
    }
  }

  const grants: Grants[] = [];
  const { contextOf = cleanContext } = options;
  const resolved = new Map<string, ResolvedTarget>();
  const reached = new Set<string>();
  for (const name of requested) {
    const expanded = expandGroup(name, groups);
    for (const group of expanded.groups) reached.add(group);
    for (const target of expanded.targets) {
      if (resolved.has(target)) continue;
      try {
        resolved.set(target, resolveTarget(target, targets, groups, overrides, grants, contextOf));
      } catch (thrown) {
        keep(thrown);
      }
    }
  }
  if (diagnostics.length > 0) return { groups: new Map(), targets: resolved, requested, grants: noGrants };
  const settled = new Set<string>();
  for (const target of [...resolved.values()]) {
    try {
      link(target.name, [], resolved, settled, (name, context, user) => {
        if (!targets.has(name)) throw unknownLink(user, context, name, targets, targets.get(user));
        return resolveTarget(name, targets, groups, overrides, grants, contextOf);
      });
    } catch (thrown) {
      keep(thrown);
    }
  }
  const epoch = lookUp("SOURCE_DATE_EPOCH");
  if (epoch) {
    for (const [name, target] of resolved) {
      const args = target.args ?? {};
      if (!Object.hasOwn(args, "SOURCE_DATE_EPOCH"))
        resolved.set(name, { ...target, args: mergeMaps(args, { SOURCE_DATE_EPOCH: epoch }) });
    }
  }
  return {
    groups: printedGroups(requested, reached, groups),
    targets: resolved,
    requested,
    grants: mergeGrants(grants),
  };
}

function matchNames(name: string, document: BakeDocument): readonly string[] {
  if (!isPattern(name)) return [name];
  const known = [...document.groups.map(group => group.name), ...document.targets.map(target => target.name)];
  const found = known.filter(one => matchesGlob(name, one));
  if (found.length === 0) throw new BakeError("bake-resolve", `no target or group matches "${name}"`);
  return found;
}

/** Members depth-first; a cycle is cut where it closes. */
function expandGroup(
  start: string,
  definitions: ReadonlyMap<string, GroupDefinition>,
): { readonly targets: ReadonlySet<string>; readonly groups: ReadonlySet<string> } {
  const visited = new Map<string, { targets: readonly string[]; groups: readonly string[] }>();
  const visit = (name: string, depth: number): { targets: readonly string[]; groups: readonly string[] } => {
    const known = visited.get(name);
    if (known !== undefined) return known;
    const group = definitions.get(name);
    if (group === undefined) return { targets: [name], groups: [] };
    if (depth > MAX_PARENTS)
      throw new BakeError("bake-resolve", `groups nest deeper than ${MAX_PARENTS} levels`, {
        range: group.range,
      });
    visited.set(name, { targets: [], groups: [] });
    const targets = new Set<string>();
    const groups = new Set([name]);
    for (const member of group.targets ?? []) {
      const inner = visit(member, depth + 1);
      for (const target of inner.targets.length > 0 ? inner.targets : [member]) targets.add(target);
      for (const one of inner.groups) groups.add(one);
    }
    const result = { targets: [...targets], groups: [...groups] };
    visited.set(name, result);
    return result;
  };
  const { targets, groups } = visit(start, 0);
  return { targets: new Set(targets), groups: new Set(groups) };
}

function resolveTarget(
  name: string,
  definitions: ReadonlyMap<string, TargetDefinition>,
  groups: ReadonlyMap<string, GroupDefinition>,
  overrides: Overrides,
  grants: Grants[],
  contextOf: (context: string) => string,
): ResolvedTarget {
  const visited = new Map<string, TargetFields | undefined>();
  const unknown: Diagnostic[] = [];
  const visit = (
    one: string,
    depth: number,
    heir: TargetDefinition | undefined,
  ): TargetFields | undefined => {
    if (visited.has(one)) return visited.get(one);
    visited.set(one, undefined);
    const definition = definitions.get(one);
    if (definition === undefined) {
      if (heir === undefined) throw unknownRoot(one, definitions, groups);
      unknown.push(...unknownParent(heir, one, definitions).diagnostics);
      return undefined;
    }
    if (depth > MAX_PARENTS)
      throw new BakeError("bake-resolve", `targets inherit over more than ${MAX_PARENTS} levels`, {
        range: definition.range,
      });
    let inherited: TargetFields = {};
    const written = definition.fieldsFor?.(name) ?? definition.fields;
    for (const parent of written.inherits ?? []) {
      const fromParent = visit(parent, depth + 1, definition);
      if (fromParent !== undefined) inherited = mergeTargets(inherited, fromParent);
    }
    const own = mergeTargets(inherited, written);
    const changes = overrides.get(one);
    if (changes !== undefined) {
      applyOverrides(own, changes);
      grants.push(grantsFromOverrides(own, changes));
    }
    for (const field of fields) normalizeField(own, field);
    if (own.network === "host") own.entitlements = distinct([...(own.entitlements ?? []), "network.host"]);
    visited.set(one, own);
    return own;
  };
  const found = visit(name, 0, undefined) ?? {};
  if (unknown.length > 0) throw BakeError.ofDiagnostics(unknown);
  const definition = definitions.get(name);
  const { inherits: _inherits, ...rest } = found;
  return {
    ...rest,
    name,
    context: contextOf(found.context ?? definition?.defaultContext ?? "."),
    dockerfile: found.dockerfile === undefined || found.dockerfile === "" ? "Dockerfile" : found.dockerfile,
    linked: false,
    range: definition?.range,
  };
}

/** A name without definition that was asked for, or is a member of a group that was. */
function unknownRoot(
  name: string,
  definitions: ReadonlyMap<string, TargetDefinition>,
  groups: ReadonlyMap<string, GroupDefinition>,
): BakeError {
  const owner = [...groups.values()].find(group => group.targets?.includes(name));
  return owner === undefined
    ? unknownTarget(name, definitions, groups)
    : unknownMember(owner, name, definitions, groups);
}

/** Pulls in the targets that contexts refer to, and passes their entitlements on. */
function link(
  name: string,
  path: readonly string[],
  resolved: Map<string, ResolvedTarget>,
  settled: Set<string>,
  load: (name: string, context: string, user: string) => ResolvedTarget,
): void {
  const trail = [...path, name];
  const first = resolved.get(name);
  if (first === undefined || settled.has(name)) return;
  if (trail.length > MAX_PARENTS)
    throw new BakeError("bake-resolve", `contexts link over more than ${MAX_PARENTS} targets`, {
      range: first.range,
    });
  for (const [context, value] of Object.entries(first.contexts ?? {})) {
    if (!value.startsWith("target:")) continue;
    const other = value.slice("target:".length);
    const { range } = first;
    if (other === name)
      throw new BakeError("bake-resolve", `target "${name}" uses itself as a context`, { range });
    if (trail.includes(other)) {
      throw new BakeError(
        "bake-resolve",
        `targets use each other as contexts: ${[...trail.slice(trail.indexOf(other)), other].join(" -> ")}`,
        { range },
      );
    }
    if (!resolved.has(other)) {
      const loaded = load(other, context, name);
      resolved.set(other, {
        ...loaded,
        output: [{ type: "cacheonly", dest: undefined, attrs: {} }],
        linked: true,
      });
    }
    link(other, trail, resolved, settled, load);
    const target = resolved.get(name);
    const base = resolved.get(other);
    if (target === undefined || base === undefined) return;
    const entitlements = distinct([...(target.entitlements ?? []), ...(base.entitlements ?? [])]);
    if (entitlements.length > 0) resolved.set(name, { ...target, entitlements });
    const platforms = target.platforms ?? [];
    const offered = base.platforms ?? [];
    const missing = platforms.filter(platform => !offered.includes(platform));
    if (platforms.length > 1 && offered.length > 1 && missing.length > 0) {
      throw new BakeError(
        "bake-resolve",
        `target "${name}" needs the platform "${missing[0] ?? ""}" of its context "${other}"`,
        {
          range,
          hint: `"${other}" is built for ${offered.join(", ")}`,
        },
      );
    }
  }
  settled.add(name);
}

function printedGroups(
  requested: readonly string[],
  reached: ReadonlySet<string>,
  definitions: ReadonlyMap<string, GroupDefinition>,
): ReadonlyMap<string, ResolvedGroup> {
  const out = new Map<string, ResolvedGroup>();
  for (const name of reached) {
    const group = definitions.get(name);
    if (group !== undefined)
      out.set(name, {
        description: group.description,
        targets: group.targets && [...new Set(group.targets)],
      });
  }
  for (const name of requested) {
    const group = out.get("default");
    if (group !== undefined && name === "default") continue;
    out.set("default", { description: group?.description ?? "", targets: [...(group?.targets ?? []), name] });
  }
  const group = out.get("default");
  if (group?.targets)
    out.set("default", { ...group, targets: [...new Set(group.targets)].sort(compareUtf8) });
  return out;
}
