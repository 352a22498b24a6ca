// What a merged Compose file may say, as far as builds go (Compose specification, compose-spec.json). Every problem is
// reported, each where it was written.
import type { Diagnostic } from "../../diagnostic/diagnostic.ts";
import type { Range } from "../../diagnostic/source.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import { childOf, describeNode, type MapNode, type Node } from "./node.ts";

type Report = (message: string, range: Range, hint?: string) => void;
/** Checks the value of `name`. */
type Check = (value: Node, name: string, report: Report) => void;

/** Settings of `build`, one row each. */
const BUILD: Readonly<Record<string, Check>> = {
  context: kinds("a string", "string"),
  dockerfile: kinds("a string", "string"),
  dockerfile_inline: kinds("a string", "string"),
  entitlements: stringList,
  args: pairs,
  ssh: pairs,
  labels: pairs,
  cache_from: stringList,
  cache_to: stringList,
  no_cache: bool,
  no_cache_filter: stringOrList,
  additional_contexts: pairs,
  network: kinds("a string", "string"),
  provenance: kinds("a string or a bool", "string", "bool"),
  sbom: kinds("a string or a bool", "string", "bool"),
  pull: bool,
  target: kinds("a string", "string"),
  shm_size: kinds("a size", "int", "float", "string"),
  extra_hosts: hosts,
  isolation: kinds("a string", "string"),
  privileged: bool,
  secrets: secretList,
  tags: stringList,
  ulimits,
  platforms: stringList,
};

/** Settings of a service that builds read. */
const SERVICE: Readonly<Record<string, Check>> = {
  image: kinds("a string", "string"),
  build: (value, name, report) => {
    const example = "for example { context: ., dockerfile: Dockerfile }";
    if (expectMap(value, name, report, example)) checkFields(value, BUILD, "a build", report);
  },
  environment: pairs,
  env_file: envFiles,
};

const SECRET: Readonly<Record<string, Check>> = {
  name: kinds("a string", "string"),
  environment: kinds("a string", "string"),
  file: kinds("a string", "string"),
  external: kinds("true or false", "bool", "string", "map"),
  labels: pairs,
  driver: kinds("a string", "string"),
  driver_opts: kinds("a mapping", "map"),
  template_driver: kinds("a string", "string"),
};

const NAME = /^[a-zA-Z0-9._-]+$/;

/** Problems of a model are added to `diagnostics`. */
export function checkModel(root: MapNode, diagnostics: Diagnostic[]): void {
  const report: Report = (message, range, hint) =>
    diagnostics.push({
      severity: "error",
      code: "bake-schema",
      message,
      range,
      ...(hint !== undefined && { hint }),
    });
  forEachNamed(childOf(root, "services"), "service", report, (name, service) => {
    if (service.kind !== "map") return;
    for (const [key, { value }] of service.entries)
      if (Object.hasOwn(SERVICE, key)) SERVICE[key]?.(value, `${key}" of service "${name}`, report);
  });
  forEachNamed(childOf(root, "secrets"), "secret", report, (name, secret) => {
    if (expectMap(secret, `secret "${name}`, report)) checkFields(secret, SECRET, `secret "${name}"`, report);
  });
}

function forEachNamed(
  node: Node | undefined,
  what: string,
  report: Report,
  visit: (name: string, value: Node) => void,
): void {
  if (node === undefined) return;
  if (node.kind !== "map")
    return report(`"${what}s" must be a mapping, found ${describeNode(node)}`, node.range);
  for (const [name, { keyRange, value }] of node.entries) {
    if (!NAME.test(name)) {
      report(
        `the name "${name}" of a ${what} has characters that are not allowed`,
        keyRange,
        'use letters, digits, ".", "_" and "-"',
      );
    }
    visit(name, value);
  }
}

function checkFields(
  map: MapNode,
  rows: Readonly<Record<string, Check>>,
  what: string,
  report: Report,
): void {
  for (const [key, { keyRange, value }] of map.entries) {
    if (key.startsWith("x-")) continue;
    const check = Object.hasOwn(rows, key) ? rows[key] : undefined;
    if (check === undefined) report(`${what} has no setting "${key}"`, keyRange, suggestion(key, rows));
    else check(value, key, report);
  }
}

function suggestion(key: string, rows: Readonly<Record<string, Check>>): string {
  const names = Object.keys(rows);
  return (
    didYouMean(key.replaceAll("-", "_"), names) ??
    (names.length <= 10
      ? `${names.slice(0, -1).join(", ")} and ${names.at(-1) ?? ""} are known`
      : `keys of your own begin with "x-"`)
  );
}

function expected(what: string, value: Node, name: string, report: Report, hint?: string): void {
  report(`"${name}" must be ${what}, found ${describeNode(value)}`, value.range, hint);
}

function kinds(what: string, ...allowed: readonly Node["kind"][]): Check {
  return (value, name, report) => {
    if (allowed.includes(value.kind)) return;
    const quotes = allowed.includes("string") && value.kind !== "map" && value.kind !== "list";
    expected(what, value, name, report, quotes && value.kind !== "null" ? "put it in quotes" : undefined);
  };
}

function expectMap(value: Node, name: string, report: Report, hint?: string): value is MapNode {
  if (value.kind === "map") return true;
  expected("a mapping", value, name, report, hint);
  return false;
}

const BOOL_TEXT = /^(?:true|false|y|yes|on|n|no|off)$/i;

function bool(value: Node, name: string, report: Report): void {
  if (value.kind === "bool" || (value.kind === "string" && BOOL_TEXT.test(value.text))) return;
  expected("true or false", value, name, report);
}

function stringList(value: Node, name: string, report: Report): void {
  if (value.kind !== "list") {
    const hint = value.kind === "string" ? "put it in brackets" : undefined;
    return expected("a list of strings", value, name, report, hint);
  }
  for (const item of value.items)
    if (item.kind !== "string") expected("a list of strings", item, name, report, "put it in quotes");
}

function stringOrList(value: Node, name: string, report: Report): void {
  if (value.kind !== "string") stringList(value, name, report);
}

/** A mapping of scalars, or a list of `key=value`. */
function pairs(value: Node, name: string, report: Report): void {
  if (value.kind === "list") return stringList(value, name, report);
  if (value.kind !== "map") return expected("a mapping or a list", value, name, report);
  for (const [key, { keyRange, value: item }] of value.entries) {
    if (key === "") report(`a key of "${name}" is empty`, keyRange);
    if (item.kind === "map" || item.kind === "list")
      report(
        `the value of "${key}" in "${name}" must be a string, a number, a bool or nothing, found ${describeNode(item)}`,
        item.range,
      );
    else if (item.kind === "float" && !Number.isFinite(item.value))
      report(`the value of "${key}" in "${name}" is not a finite number`, item.range, "put it in quotes");
  }
}

function hosts(value: Node, name: string, report: Report): void {
  if (value.kind === "list") return stringList(value, name, report);
  if (value.kind !== "map") return expected("a mapping or a list", value, name, report);
  for (const [key, { value: item }] of value.entries) {
    if (item.kind === "list") stringList(item, `${name}.${key}`, report);
    else if (item.kind !== "string") expected("an address or a list of them", item, `${name}.${key}`, report);
  }
}

function secretList(value: Node, name: string, report: Report): void {
  if (value.kind !== "list") return expected("a list", value, name, report);
  for (const item of value.items) {
    if (!expectMap(item, name, report)) continue;
    checkFields(item, SECRET_MOUNT, "a build secret", report);
  }
}

const SECRET_MOUNT: Readonly<Record<string, Check>> = {
  source: kinds("a string", "string"),
  target: kinds("a string", "string"),
  uid: kinds("a string", "string"),
  gid: kinds("a string", "string"),
  mode: kinds("a number", "int", "float", "string"),
};

function ulimits(value: Node, name: string, report: Report): void {
  if (!expectMap(value, name, report)) return;
  for (const [key, { value: limit }] of value.entries) {
    const own = `${name}.${key}`;
    if (limit.kind === "int") continue;
    if (!expectMap(limit, own, report, "write a number, or { soft: 10, hard: 20 }")) continue;
    checkFields(limit, LIMIT, "a ulimit", report);
    for (const part of Object.keys(LIMIT))
      if (!limit.entries.has(part)) report(`"${own}" lacks "${part}"`, limit.range);
  }
}

const LIMIT: Readonly<Record<string, Check>> = {
  soft: kinds("a number", "int"),
  hard: kinds("a number", "int"),
};

function envFiles(value: Node, name: string, report: Report): void {
  if (value.kind !== "list") return expected("a path or a list of paths", value, name, report);
  for (const item of value.items) {
    if (!expectMap(item, name, report)) continue;
    checkFields(item, ENV_FILE, "an environment file", report);
    if (!item.entries.has("path")) report(`an item of "${name}" lacks "path"`, item.range);
  }
}

const ENV_FILE: Readonly<Record<string, Check>> = {
  path: kinds("a string", "string"),
  format: kinds("a string", "string"),
  required: bool,
};
