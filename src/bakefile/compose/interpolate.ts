// Variables in the strings of a Compose file (Compose specification, "Interpolation"): $NAME, ${NAME}, the defaults
// `-` and `:-`, the demands `?` and `:?`, the alternatives `+` and `:+`, all of which nest, and `$$` for a dollar sign.
import type { Diagnostic } from "../../diagnostic/diagnostic.ts";
import { BakeError } from "../../diagnostic/error.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import { stringNode, type Node } from "./node.ts";

export interface Variables {
  readonly lookUp: (name: string) => string | undefined;
  /** For suggestions. */
  readonly names: () => Iterable<string>;
  /** Told about variables that are not set and have no default: they become empty. */
  readonly missing: (name: string) => void;
}

/** Nested deeper than this, a default is refused before the stack ends. */
const MAX_DEPTH = 100;

export interface InterpolateOptions {
  /** Whether a value matters enough to warn when a variable of it is not set; default: all do. */
  readonly matters?: (path: readonly string[]) => boolean;
  /** Variables that were warned about already; grows. */
  readonly warned?: Set<string>;
}

/** The tree with every string interpolated. Problems are added to `diagnostics`; their strings stay as they were. */
export function interpolateTree(
  node: Node,
  variables: Omit<Variables, "missing">,
  diagnostics: Diagnostic[],
  { matters = () => true, warned = new Set() }: InterpolateOptions = {},
): Node {
  function visit(one: Node, path: readonly string[]): Node {
    switch (one.kind) {
      case "string":
        return one.text.includes("$") ? substituteNode(one.text, one, path) : one;
      case "list":
        return { ...one, items: one.items.map(item => visit(item, path)) };
      case "map": {
        const entries = [...one.entries].map(
          ([key, { keyRange, value }]) => [key, { keyRange, value: visit(value, [...path, key]) }] as const,
        );
        return { ...one, entries: new Map(entries) };
      }
      default:
        return one;
    }
  }

  function substituteNode(text: string, one: Node, path: readonly string[]): Node {
    const missing = (name: string): void => {
      if (warned.has(name) || !matters(path)) return;
      warned.add(name);
      diagnostics.push({
        severity: "warning",
        code: "bake-evaluate",
        message: `the variable "${name}" is not set and becomes empty`,
        range: one.range,
        hint: didYouMean(name, variables.names()) ?? `\${${name}:-value} gives it a default`,
      });
    };
    try {
      return stringNode(substitute(text, { ...variables, missing }), one.range);
    } catch (thrown) {
      if (!(thrown instanceof BakeError)) throw thrown;
      diagnostics.push(...thrown.at(one.range).diagnostics);
      return one;
    }
  }

  return visit(node, []);
}

/** `text` with its variables replaced. @throws BakeError without a range */
export function substitute(text: string, variables: Variables, depth = 0): string {
  if (depth > MAX_DEPTH) throw problem(`variables nest deeper than ${MAX_DEPTH} levels`);
  let out = "";
  let at = 0;
  while (at < text.length) {
    const dollar = text.indexOf("$", at);
    if (dollar < 0) return out + text.slice(at);
    out += text.slice(at, dollar);
    const next = text[dollar + 1];
    if (next === "$") {
      out += "$";
      at = dollar + 2;
    } else if (next === "{") {
      const end = closingBrace(text, dollar + 1);
      out += braced(text.slice(dollar + 2, end), text.slice(dollar, end + 1), variables, depth);
      at = end + 1;
    } else {
      const name = /^[_a-zA-Z][_a-zA-Z0-9]*/.exec(text.slice(dollar + 1))?.[0];
      out += name === undefined ? "$" : valueOf(name, variables);
      at = dollar + 1 + (name?.length ?? 0);
    }
  }
  return out;
}

/** The brace that closes the one at `open`; braces inside of a default count, unless they never close. */
function closingBrace(text: string, open: number): number {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if (text[at] === "{") depth++;
    else if (text[at] === "}" && --depth === 0) return at;
  }
  const last = text.lastIndexOf("}");
  if (last > open) return last;
  throw problem(
    `"${text.slice(open - 1)}" has no closing brace`,
    "write $$ for a dollar sign that stays one",
  );
}

function braced(inner: string, whole: string, variables: Variables, depth: number): string {
  const found = /^([_a-zA-Z][_a-zA-Z0-9]*)(?:(:?)([-?+])([\s\S]*))?$/.exec(inner);
  if (found === null)
    throw problem(`"${whole}" is not a variable`, "write $$ for a dollar sign that stays one");
  const [, name = "", colon, operator, rest = ""] = found;
  const value = variables.lookUp(name);
  const present = value !== undefined && (colon === "" || value !== "");
  switch (operator) {
    case undefined:
      return valueOf(name, variables);
    case "-":
      return present ? value : substitute(rest, variables, depth + 1);
    case "+":
      return present ? substitute(rest, variables, depth + 1) : (value ?? "");
    default: {
      if (present) return value;
      const reason = substitute(rest, variables, depth + 1);
      throw problem(
        `the variable "${name}" must have a value${reason === "" ? "" : `: ${reason}`}`,
        didYouMean(name, variables.names()) ??
          `set it in the environment, in .env, or with --var ${name}=...`,
      );
    }
  }
}

function valueOf(name: string, variables: Variables): string {
  const value = variables.lookUp(name);
  if (value === undefined) variables.missing(name);
  return value ?? "";
}

function problem(message: string, hint?: string): BakeError {
  return new BakeError("bake-evaluate", message, { hint });
}
