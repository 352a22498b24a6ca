// A directory tree seen through filters: ignore patterns with re-inclusion, include patterns, follow paths. The same
// view serves hashing and copying, so what is keyed is what is copied.
import { lstatSync, readdirSync } from "node:fs";
import {
  compileIgnore,
  compileInclude,
  type IgnoreMatcher,
  type IncludeMatcher,
  type MatchState,
} from "../pattern/ignore.ts";
import { errnoOf } from "./errno.ts";
import { resolveFollowPaths } from "./followpaths.ts";
import { cleanPath, relativeToRoot, resolveInRoot, under } from "./rootpath.ts";

export interface TreeFilter {
  readonly excludePatterns?: readonly string[] | undefined;
  /** Empty or undefined includes everything. */
  readonly includePatterns?: readonly string[] | undefined;
  /** Only these paths and what they link to; undefined or empty shows everything. */
  readonly followPaths?: readonly string[] | undefined;
}

/** What a rule set says of one path; hand it back for the children of a directory. */
export interface RuleState {
  readonly included: boolean;
  /** Whether something below can be included, whatever `included` says. */
  readonly descend: boolean;
  readonly include: MatchState | undefined;
  readonly exclude: MatchState | undefined;
}

export interface RuleSet {
  /** False when every path is included: nothing need be asked then. */
  readonly active: boolean;
  /** The state of a path, given that of its directory (undefined at the top). Paths are relative to the set's top. */
  enter(parent: RuleState | undefined, path: string): RuleState;
}

const EVERYTHING: RuleState = { included: true, descend: true, include: undefined, exclude: undefined };
export const openRules: RuleSet = { active: false, enter: () => EVERYTHING };

/** @throws BakeError "pattern-invalid" */
export function compileRules(
  includePatterns: readonly string[] = [],
  excludePatterns: readonly string[] = [],
): RuleSet {
  const include: IncludeMatcher | undefined =
    includePatterns.length === 0 ? undefined : compileInclude(includePatterns);
  const exclude: IgnoreMatcher | undefined =
    excludePatterns.length === 0 ? undefined : compileIgnore(excludePatterns);
  if (include === undefined && exclude === undefined) return openRules;
  return {
    active: true,
    enter(parent, path) {
      const inState = include?.step(parent?.include, path);
      const exState = exclude?.step(parent?.exclude, path);
      const wanted = inState?.matched ?? true;
      const refused = exState?.matched ?? false;
      return {
        included: wanted && !refused,
        descend:
          (wanted || include?.mayContain(path) === true) &&
          (!refused || exclude?.mayReinclude(path) === true),
        include: inState,
        exclude: exState,
      };
    },
  };
}

export interface TreeView {
  /** Absolute, without symlinks. */
  readonly root: string;
  readonly rules: RuleSet;
}

/** @throws BakeError "pattern-invalid" */
export function createTreeView(root: string, filter: TreeFilter = {}): TreeView {
  const followed = filter.followPaths?.length ? resolveFollowPaths(root, filter.followPaths) : undefined;
  const includePatterns = [...(filter.includePatterns ?? []), ...(followed ?? [])];
  return { root, rules: compileRules(includePatterns, filter.excludePatterns) };
}

/** The state of a path (clean, relative to the root) in a view; undefined for the root itself. */
export function stateInView(view: TreeView, path: string): RuleState | undefined {
  if (path === "" || !view.rules.active) return undefined;
  let state: RuleState | undefined;
  for (let slash = path.indexOf("/"); ; slash = path.indexOf("/", slash + 1)) {
    const piece = slash < 0 ? path : path.slice(0, slash);
    state = view.rules.enter(state, piece);
    if (slash < 0) return state;
    if (!state.descend) return { ...state, included: false };
  }
}

/**
 * Where `path` leads inside a view: the path of the entry relative to the root, or undefined when nothing visible is
 * there. A directory that is ignored itself but has something visible below counts as visible.
 */
export function resolveInView(view: TreeView, path: string, followLast: boolean): string | undefined {
  const absolute = resolveInRoot(view.root, path, {
    followLast,
    mayFollow: link => stateInView(view, link)?.included ?? true,
  });
  const found = relativeToRoot(view.root, absolute);
  return isVisible(view, found) ? found : undefined;
}

function isVisible(view: TreeView, path: string): boolean {
  const stats = statOrUndefined(under(view.root, path));
  if (stats === undefined) return false;
  const state = stateInView(view, path);
  if (state === undefined || state.included) return true;
  return stats.isDirectory() && state.descend && holdsVisible(view, path, state);
}

function holdsVisible(view: TreeView, dir: string, parent: RuleState): boolean {
  return readdirSync(under(view.root, dir), { withFileTypes: true }).some(entry => {
    const path = cleanPath(`${dir}/${entry.name}`);
    const state = view.rules.enter(parent, path);
    return state.included || (entry.isDirectory() && state.descend && holdsVisible(view, path, state));
  });
}

function statOrUndefined(absolute: string): import("node:fs").Stats | undefined {
  try {
    return lstatSync(absolute, { throwIfNoEntry: false });
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOTDIR" || errnoOf(thrown) === "ENAMETOOLONG") return undefined;
    throw thrown;
  }
}
