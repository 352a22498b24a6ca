// From Compose files to one model: documents interpolated, included files taken in, services extended, files merged,
// in the order of compose-go.
import type { Diagnostic } from "../../diagnostic/diagnostic.ts";
import { BakeError } from "../../diagnostic/error.ts";
import type { Range, Source } from "../../diagnostic/source.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import { canonicalDocument, folderOf, isReadByBuilds, joinPath, localPath, type Place } from "./canonical.ts";
import { parseDotenv } from "./dotenv.ts";
import type { ComposeHost } from "./host.ts";
import { interpolateTree } from "./interpolate.ts";
import { dropMarked, mergeModels, mergeServices } from "./merge.ts";
import { childOf, describeNode, mapNode, scalarText, withEntries, type MapNode, type Node } from "./node.ts";
import { parseYaml } from "./yaml.ts";

export type Environment = ReadonlyMap<string, string>;

export interface ComposeModel {
  /** "services" and "secrets" in canonical form, not yet checked. */
  readonly root: MapNode;
  /** What variables were looked up in. */
  readonly environment: Environment;
}

/** Includes and `extends` in a row; more are refused before the stack ends. */
const MAX_CHAIN = 100;
const DEFAULT_PROJECT = "bake";

/** Variables: the environment, then `.env` of the working directory, then `--var` over both. */
function composeEnvironment({ env, vars, readFile }: ComposeHost): Environment {
  const out = new Map<string, string>();
  for (const [name, value] of Object.entries(env)) if (value !== undefined) out.set(name, value);
  const text = readFile(".env");
  if (text !== undefined) {
    for (const [name, value] of parseDotenv({ name: ".env", text }, one => out.get(one)))
      if (!out.has(name)) out.set(name, value);
  }
  for (const [name, value] of vars) out.set(name, value);
  return out;
}

/** Problems that do not stop the reading are added to `diagnostics`. @throws BakeError for those that do */
export function loadModel(
  sources: readonly Source[],
  host: ComposeHost,
  diagnostics: Diagnostic[],
): ComposeModel {
  const found = composeEnvironment(host);
  const documents = sources.map(source => ({ source, documents: parseYaml(source) }));
  const environment = new Map(found);
  environment.set("COMPOSE_PROJECT_NAME", projectName(documents, found));
  let root = mapNode([], wholeOf(sources[0] ?? { name: "compose.yaml", text: "" }));
  const run: Run = {
    host,
    diagnostics,
    environment,
    place: { base: "", home: host.env["HOME"] },
    warned: new Set(),
    including: [],
    bases: new Map(),
  };
  for (const { source, documents: parsed } of documents) root = addDocuments(root, source, parsed, run);
  return { root, environment };
}

interface Run {
  readonly host: ComposeHost;
  readonly diagnostics: Diagnostic[];
  readonly environment: Environment;
  readonly place: Place;
  /** Variables that were warned about. */
  readonly warned: Set<string>;
  /** Names of the files that include each other. */
  readonly including: readonly string[];
  /** Services of files that `extends` names, by path. */
  readonly bases: Map<string, Services>;
}

/** Services that can be extended, and what their document marks as reset. */
interface Services {
  readonly file: string;
  readonly found: Map<string, Node>;
  readonly marks: Node | undefined;
}

function wholeOf(source: Source): Range {
  return { source, start: 0, end: 0 };
}

/** The last `name` of the files, else COMPOSE_PROJECT_NAME, else "bake". */
function projectName(
  files: readonly { readonly documents: readonly Node[] }[],
  environment: Environment,
): string {
  let name = environment.get("COMPOSE_PROJECT_NAME") || DEFAULT_PROJECT;
  for (const { documents } of files) {
    for (const document of documents) {
      const written = childOf(document, "name");
      if (written?.kind !== "string" || written.text === "") continue;
      const text = interpolateTree(written, variablesOf(environment), []);
      if (text.kind === "string" && text.text !== "") name = text.text;
    }
  }
  return name;
}

function variablesOf(environment: Environment): {
  readonly lookUp: (name: string) => string | undefined;
  readonly names: () => Iterable<string>;
} {
  return { lookUp: name => environment.get(name), names: () => environment.keys() };
}

function prepare(document: Node, run: Run): MapNode {
  return canonicalDocument(
    interpolateTree(document, variablesOf(run.environment), run.diagnostics, {
      matters: isReadByBuilds,
      warned: run.warned,
    }),
    run.place,
  );
}

function addDocuments(before: MapNode, source: Source, documents: readonly Node[], run: Run): MapNode {
  let root = before;
  for (const document of documents) {
    const marks = prepare(document, run);
    const included = applyIncludes(marks, source, run);
    root = dropMarked(root, marks);
    root = mergeModels(root, applyExtends(included, marks, source.name, run));
  }
  return root;
}

function applyExtends(document: MapNode, marks: MapNode, file: string, run: Run): MapNode {
  const services = childOf(document, "services");
  if (services?.kind !== "map") return document;
  const all: Services = {
    file,
    found: new Map([...services.entries].map(([name, { value }]) => [name, value])),
    marks: childOf(marks, "services"),
  };
  for (const name of all.found.keys()) extendService(name, all, [], run);
  const entries = [...services.entries].map(
    ([name, { keyRange, value }]) => [name, { keyRange, value: all.found.get(name) ?? value }] as const,
  );
  return withEntries(document, { services: { ...services, entries: new Map(entries) } });
}

/** A service with everything it extends merged in; remembers it in `services`. */
function extendService(
  name: string,
  services: Services,
  chain: readonly string[],
  run: Run,
): Node | undefined {
  const service = services.found.get(name);
  const extended = childOf(service, "extends");
  if (service?.kind !== "map" || extended === undefined) return service;
  const { range } = extended;
  const step = `${services.file}: ${name}`;
  if (chain.includes(step) || chain.length > MAX_CHAIN) {
    const names = [...chain.slice(chain.indexOf(step)), step].map(one => one.slice(one.lastIndexOf(" ") + 1));
    throw new BakeError("bake-resolve", `services extend each other: ${names.join(" -> ")}`, { range });
  }
  const reference = childOf(extended, "service");
  const file = childOf(extended, "file");
  if (reference?.kind !== "string")
    throw new BakeError("bake-schema", '"extends" names a service', { range });
  const from = file?.kind === "string" ? extendedFile(file.text, file.range, run) : services;
  if (!from.found.has(reference.text)) {
    const where = from === services ? "" : ` of "${from.file}"`;
    throw new BakeError(
      "bake-resolve",
      `service "${name}" extends the unknown service "${reference.text}"${where}`,
      { range: reference.range, hint: didYouMean(reference.text, from.found.keys()) },
    );
  }
  const base = extendService(reference.text, from, [...chain, step], run);
  const merged =
    base?.kind === "map" ? mergeServices(dropMarked(base, childOf(services.marks, name)), service) : service;
  const result = merged.kind === "map" ? withEntries(merged, { extends: undefined }) : merged;
  services.found.set(name, result);
  return result;
}

function extendedFile(path: string, range: Range, run: Run): Services {
  const known = run.bases.get(path);
  if (known !== undefined) return known;
  const source = readSource(path, range, run);
  const inFile: Run = { ...run, place: { ...run.place, base: folderOf(path) } };
  let root = mapNode([], range);
  let marks: MapNode | undefined;
  for (const document of parseYaml(source)) {
    marks = prepare(document, inFile);
    root = mergeModels(dropMarked(root, marks), marks);
  }
  const services = childOf(root, "services");
  if (services?.kind !== "map")
    throw new BakeError("bake-resolve", `the file "${path}" has no services to extend`, { range });
  const found = new Map([...services.entries].map(([name, { value }]) => [name, value]));
  const result: Services = { file: path, found, marks: childOf(marks, "services") };
  run.bases.set(path, result);
  return result;
}

function readSource(path: string, range: Range, run: Run): Source {
  const text = run.host.readFile(path);
  if (text === undefined)
    throw new BakeError("file-missing", `there is no Compose file "${path}"`, { range });
  return { name: path, text };
}

/** What an item of `include` says. */
interface Include {
  readonly paths: readonly { readonly path: string; readonly range: Range }[];
  readonly folder: string | undefined;
  readonly envFiles: readonly { readonly path: string; readonly range: Range }[];
}

function applyIncludes(document: MapNode, source: Source, run: Run): MapNode {
  const include = childOf(document, "include");
  if (include === undefined || include.kind === "null") return document;
  if (include.kind !== "list")
    throw new BakeError("bake-schema", `"include" must be a list, found ${describeNode(include)}`, {
      range: include.range,
    });
  let root = withEntries(document, { include: undefined });
  for (const item of include.items) {
    const imported = loadInclude(readInclude(item, run.place), item.range, source, run);
    // The file that includes wins over what it includes.
    root = mergeModels(dropMarked(imported, document), root);
  }
  return root;
}

function readInclude(item: Node, place: Place): Include {
  const texts = (node: Node | undefined): { path: string; range: Range }[] => {
    const nodes =
      node === undefined || node.kind === "null" ? [] : node.kind === "list" ? node.items : [node];
    return nodes.map(one => {
      if (one.kind !== "string")
        throw new BakeError("bake-schema", `expected a path, found ${describeNode(one)}`, {
          range: one.range,
        });
      return { path: localPath(one.text, place), range: one.range };
    });
  };
  const folder = texts(childOf(item, "project_directory"))[0]?.path;
  const paths = texts(item.kind === "map" ? childOf(item, "path") : item);
  if (paths.length === 0)
    throw new BakeError("bake-schema", 'an item of "include" needs a path', { range: item.range });
  return { paths, folder, envFiles: texts(childOf(item, "env_file")) };
}

function loadInclude({ paths, folder, envFiles }: Include, range: Range, source: Source, run: Run): MapNode {
  const first = paths[0]?.path ?? "";
  const including = [...run.including, source.name];
  if (including.includes(first) || including.length > MAX_CHAIN)
    throw new BakeError("bake-resolve", `files include each other: ${[...including, first].join(" -> ")}`, {
      range,
    });
  const base = folder ?? folderOf(first);
  const environment = new Map(run.environment);
  const own = envFiles.length > 0 ? envFiles : [{ path: joinPath(base, ".env"), range: undefined }];
  const read = new Map<string, string>();
  for (const { path, range: at } of own) {
    if (path === "/dev/null") continue;
    const text = run.host.readFile(path);
    if (text === undefined && at !== undefined)
      throw new BakeError("file-missing", `there is no environment file "${path}"`, { range: at });
    const found = parseDotenv(
      { name: path, text: text ?? "" },
      name => run.environment.get(name) ?? read.get(name),
    );
    for (const [name, value] of found) read.set(name, value);
  }
  for (const [name, value] of read) if (!environment.has(name)) environment.set(name, value);
  const inside: Run = { ...run, environment, place: { ...run.place, base }, including, bases: new Map() };
  let root = mapNode([], range);
  for (const { path, range: at } of paths) {
    const file = readSource(path, at, run);
    root = addDocuments(root, file, parseYaml(file), inside);
  }
  return root;
}

/** The environment of a service: its `environment` over its `env_file`s, values that are missing taken from outside. */
export function serviceEnvironment(
  service: Node,
  environment: Environment,
  host: ComposeHost,
): ReadonlyMap<string, string | undefined> {
  const own = new Map<string, string | undefined>();
  for (const [name, value] of pairsOf(childOf(service, "environment")))
    own.set(name, value ?? environment.get(name));
  const out = new Map<string, string | undefined>(own);
  const fromFiles = new Map<string, string>();
  const files = childOf(service, "env_file");
  for (const item of files?.kind === "list" ? files.items : []) {
    const path = childOf(item, "path");
    if (path?.kind !== "string") continue;
    const text = host.readFile(path.text);
    if (text === undefined) {
      if (isOptional(childOf(item, "required"))) continue;
      throw new BakeError("file-missing", `there is no environment file "${path.text}"`, {
        range: path.range,
        hint: "{ path: ..., required: false } makes it optional",
      });
    }
    const lookUp = (name: string): string | undefined =>
      environment.get(name) ?? own.get(name) ?? fromFiles.get(name);
    for (const [name, value] of parseDotenv({ name: path.text, text }, lookUp)) fromFiles.set(name, value);
  }
  for (const [name, value] of fromFiles) if (!out.has(name)) out.set(name, value);
  return out;
}

function isOptional(required: Node | undefined): boolean {
  if (required?.kind === "bool") return !required.value;
  return required?.kind === "string" && /^(?:false|n|no|off)$/i.test(required.text);
}

/** A mapping or a list of `key=value`; undefined where there is no value. */
export function pairsOf(node: Node | undefined): readonly (readonly [string, string | undefined])[] {
  if (node?.kind === "map")
    return [...node.entries].flatMap(([key, { value }]) =>
      value.kind === "map" || value.kind === "list"
        ? []
        : [[key, value.kind === "null" ? undefined : scalarText(value)] as const],
    );
  if (node?.kind !== "list") return [];
  return node.items.flatMap((item): (readonly [string, string | undefined])[] => {
    if (item.kind !== "string") return [];
    const equals = item.text.indexOf("=");
    return [equals < 0 ? [item.text, undefined] : [item.text.slice(0, equals), item.text.slice(equals + 1)]];
  });
}
