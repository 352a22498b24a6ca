// Contexts relative to the file that sets them instead of to the working directory
// (BUILDX_BAKE_FILE_RELATIVE_PATHS of buildx).
import type { Source } from "../diagnostic/source.ts";
import { pathOf } from "./hcl/walk.ts";
import { cleanPath, isRemote } from "./path.ts";
import type { TargetDefinition } from "./definition.ts";
import { attributeOf, type Block } from "./hcl/ast.ts";

/** Folders of the files that set the context and the named contexts of a target. */
export interface ContextOrigin {
  readonly fallback: string;
  readonly context: string | undefined;
  /** The target whose context is taken over: `context = target.NAME.context`. */
  readonly reference: string | undefined;
  readonly contexts: ReadonlyMap<string, string>;
}

/** What a further block of a target changes. */
export function extendOrigin(
  before: ContextOrigin | undefined,
  block: Block,
  isRelative: (source: Source) => boolean = () => false,
): ContextOrigin {
  const { source } = block.headRange;
  const relative = isRelative(source);
  const folder = relative ? folderOf(source.name) : "";
  const context = attributeOf(block, "context");
  const contexts = attributeOf(block, "contexts")?.expression;
  const named = new Map(before?.contexts);
  if (contexts?.kind === "object") {
    for (const { key } of contexts.entries)
      if (key.kind === "literal" && key.value.kind === "string") named.set(key.value.value, folder);
  } else if (contexts !== undefined) named.set("*", folder);
  const path = context && pathOf(context.expression);
  const [reference, attribute] = path?.name === "target" && path.steps.length === 2 ? path.steps : [];
  return {
    // What extends an imported target from elsewhere does not move it.
    fallback: relative ? folder : (before?.fallback ?? ""),
    context: context === undefined ? before?.context : folder,
    reference: context === undefined ? before?.reference : attribute === "context" ? reference : undefined,
    contexts: named,
  };
}

export function rebaseTarget(
  target: TargetDefinition,
  origins: ReadonlyMap<string, ContextOrigin>,
): TargetDefinition {
  const own = origins.get(target.name);
  if (own === undefined) return target;
  const other = own.reference === undefined ? undefined : origins.get(own.reference);
  const base = other === undefined ? own.context : (other.context ?? other.fallback);
  const { context, contexts } = target.fields;
  const { fieldsFor } = target;
  return {
    ...target,
    ...(fieldsFor && {
      fieldsFor: heir => {
        const { fieldsFor: _done, ...plain } = target;
        return rebaseTarget({ ...plain, fields: fieldsFor(heir) }, origins).fields;
      },
    }),
    defaultContext: rebase(own.fallback, "."),
    fields: {
      ...target.fields,
      ...(context !== undefined && base !== undefined && { context: rebase(base, context) }),
      ...(contexts !== undefined && {
        contexts: Object.fromEntries(
          Object.entries(contexts).map(([name, path]) => [
            name,
            rebase(own.contexts.get(name) ?? own.contexts.get("*") ?? "", path),
          ]),
        ),
      }),
    },
  };
}

/** A target whose paths are all set by one file. */
export function rebaseToFile(target: TargetDefinition, file: string): TargetDefinition {
  const folder = folderOf(file);
  const origin = {
    fallback: folder,
    context: folder,
    reference: undefined,
    contexts: new Map([["*", folder]]),
  };
  return rebaseTarget(target, new Map([[target.name, origin]]));
}

function folderOf(name: string): string {
  if (name === "-" || isRemote(name)) return "";
  const slash = name.lastIndexOf("/");
  return slash < 0 ? "." : name.slice(0, slash) || "/";
}

const SPECIAL = /^(?:cwd:\/\/|target:|docker-image:|oci-layout:\/\/|\/)/;

function rebase(base: string, path: string): string {
  if (base === "" || path === "" || SPECIAL.test(path) || isRemote(path)) return path;
  return cleanPath(`${base}/${path}`);
}
