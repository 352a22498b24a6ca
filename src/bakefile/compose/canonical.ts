// One document of a Compose file in one form: only what builds need, short forms written out, paths relative to the
// working directory (compose-go, "transform" and "paths").
import { BakeError } from "../../diagnostic/error.ts";
import { cleanPath } from "../path.ts";
import {
  childOf,
  describeNode,
  listNode,
  mapNode,
  stringNode,
  withEntries,
  type Entry,
  type MapNode,
  type Node,
} from "./node.ts";

export interface Place {
  /** Folder that paths are relative to, "" for the working directory. */
  readonly base: string;
  /** For paths with `~`; such paths stay when there is none. */
  readonly home: string | undefined;
}

const TOP_LEVEL: readonly string[] = ["name", "include", "services", "secrets"];
const SERVICE: readonly string[] = ["image", "build", "environment", "env_file", "extends"];

/** Whether builds read the value at a path of a document; `environment` counts as far as arguments take it up. */
export function isReadByBuilds([first = "", , field]: readonly string[]): boolean {
  return first === "services"
    ? field === undefined || (field !== "environment" && SERVICE.includes(field))
    : TOP_LEVEL.includes(first);
}

/** @throws BakeError when the document is no mapping, or when a short form is malformed */
export function canonicalDocument(document: Node, place: Place): MapNode {
  if (document.kind !== "map")
    throw schemaError(`a Compose file is a mapping, found ${describeNode(document)}`, document);
  const services = childOf(document, "services");
  const secrets = childOf(document, "secrets");
  if (services !== undefined && services.kind !== "map")
    throw schemaError(`"services" must be a mapping, found ${describeNode(services)}`, services);
  return withEntries(only(document, TOP_LEVEL), {
    ...(services && { services: mapValues(services, service => canonicalService(service, place)) }),
    ...(secrets?.kind === "map" && {
      secrets: mapValues(secrets, secret => canonicalSecret(secret, place)),
    }),
  });
}

function schemaError(message: string, node: Node, hint?: string): BakeError {
  return new BakeError("bake-schema", message, { range: node.range, hint });
}

function only(map: MapNode, names: readonly string[]): MapNode {
  return { ...map, entries: new Map([...map.entries].filter(([name]) => names.includes(name))) };
}

function mapValues(map: MapNode, change: (value: Node, key: string) => Node): MapNode {
  const entries = [...map.entries].map(
    ([key, { keyRange, value }]) => [key, { keyRange, value: change(value, key) }] as const,
  );
  return { ...map, entries: new Map(entries) };
}

function canonicalService(service: Node, place: Place): Node {
  if (service.kind === "null") return mapNode([], service.range);
  if (service.kind !== "map")
    throw schemaError(`a service must be a mapping, found ${describeNode(service)}`, service);
  checkVolumes(childOf(service, "volumes"));
  return mapValues(only(service, SERVICE), (value, key) => {
    switch (key) {
      case "build":
        return canonicalBuild(value, place);
      case "environment":
        return value.kind === "list" ? listNode(uniqueByKey(value.items), value.range) : value;
      case "env_file":
        return canonicalEnvFile(value, place);
      case "extends":
        return canonicalExtends(value, place);
      default:
        return value;
    }
  });
}

/** Builds mount no volumes, but a malformed one is most often a variable that is not set. */
function checkVolumes(volumes: Node | undefined): void {
  for (const item of volumes?.kind === "list" ? volumes.items : []) {
    if (item.kind !== "string") continue;
    // The colon of a Windows drive separates nothing.
    const parts = item.text.replace(/(^|:)[A-Za-z]:(?=[\\/])/g, "$1").split(":");
    if (parts.includes("") || parts.length > 3)
      throw schemaError(
        `"${item.text}" is not a volume`,
        item,
        'write "source:target" or "source:target:ro"',
      );
  }
}

function canonicalExtends(value: Node, place: Place): Node {
  if (value.kind === "string") return mapNode([["service", { keyRange: value.range, value }]], value.range);
  const service = childOf(value, "service");
  if (value.kind !== "map" || service?.kind !== "string")
    throw schemaError('"extends" names a service', value, "for example { service: base, file: common.yaml }");
  const file = childOf(value, "file");
  if (file === undefined || file.kind === "null") return withEntries(value, { file: undefined });
  return withEntries(value, { file: mapText(file, path => localPath(path, place)) });
}

function canonicalEnvFile(value: Node, place: Place): Node {
  const items = value.kind === "list" ? value.items : value.kind === "string" ? [value] : undefined;
  if (items === undefined) return value;
  const files = items.map(item => {
    const map =
      item.kind === "string" ? mapNode([["path", { keyRange: item.range, value: item }]], item.range) : item;
    const path = childOf(map, "path");
    if (map.kind !== "map" || path === undefined) return item;
    return withEntries(map, { path: mapText(path, text => localPath(text, place)) });
  });
  return listNode(uniqueByKey(files), value.range);
}

function canonicalBuild(build: Node, place: Place): Node {
  if (build.kind === "string") {
    const context = mapText(build, text => contextPath(text, place));
    return mapNode([["context", { keyRange: build.range, value: context }]], build.range);
  }
  if (build.kind !== "map") return build;
  return mapValues(build, (value, key) => {
    switch (key) {
      case "context":
        return mapText(value, text => contextPath(text, place));
      case "args":
      case "labels":
      case "tags":
        return value.kind === "list" ? listNode(uniqueByKey(value.items), value.range) : value;
      case "additional_contexts": {
        const map = value.kind === "list" ? pairs(value.items, value) : value;
        return map.kind === "map"
          ? mapValues(map, path => mapText(path, text => contextPath(text, place)))
          : map;
      }
      case "secrets":
        return value.kind === "list" ? listNode(value.items.map(canonicalFileMount), value.range) : value;
      case "ssh": {
        const map = value.kind === "list" ? sshPairs(value.items, value) : value;
        return map.kind === "map"
          ? mapValues(map, path => mapText(path, text => filePath(text, place)))
          : map;
      }
      default:
        return value;
    }
  });
}

function canonicalFileMount(item: Node): Node {
  return item.kind === "string"
    ? mapNode([["source", { keyRange: item.range, value: item }]], item.range)
    : item;
}

function canonicalSecret(secret: Node, place: Place): Node {
  if (secret.kind === "null") return mapNode([], secret.range);
  if (secret.kind !== "map")
    throw schemaError(`a secret must be a mapping, found ${describeNode(secret)}`, secret);
  const file = childOf(secret, "file");
  return file === undefined
    ? secret
    : withEntries(secret, { file: mapText(file, text => filePath(text, place)) });
}

/** Of items with one key (the part before `=`, or the path) the last takes the place of the first. */
export function uniqueByKey(items: readonly Node[]): readonly Node[] {
  const found = new Map<string | Node, Node>();
  for (const item of items) found.set(keyOf(item) ?? item, item);
  return [...found.values()];
}

function keyOf(item: Node): string | undefined {
  if (item.kind === "string") return item.text.split("=", 1)[0];
  const path = childOf(item, "path");
  return path?.kind === "string" ? path.text : undefined;
}

function pairs(items: readonly Node[], whole: Node): MapNode {
  const entries = items.map((item): [string, Entry] => {
    const text = item.kind === "string" ? item.text : "";
    const equals = text.indexOf("=");
    if (equals < 0) throw schemaError(`expected "name=value", found ${shown(item)}`, item);
    return [
      text.slice(0, equals),
      { keyRange: item.range, value: stringNode(text.slice(equals + 1), item.range) },
    ];
  });
  return mapNode(entries, whole.range);
}

function sshPairs(items: readonly Node[], whole: Node): MapNode {
  const entries = items.map((item): [string, Entry] => {
    const text = item.kind === "string" ? item.text : "";
    const equals = text.indexOf("=");
    if (equals >= 0)
      return [
        text.slice(0, equals),
        { keyRange: item.range, value: stringNode(text.slice(equals + 1), item.range) },
      ];
    if (text !== "default")
      throw schemaError(
        `the ssh key ${shown(item)} has no path`,
        item,
        'write "id=path", or "default" for the agent',
      );
    return [text, { keyRange: item.range, value: { kind: "null", range: item.range } }];
  });
  return mapNode(entries, whole.range);
}

function shown(item: Node): string {
  return item.kind === "string" ? `"${item.text}"` : describeNode(item);
}

/** Changes a string; anything else stays, and the schema tells whether it is allowed. */
function mapText(node: Node, change: (text: string) => string): Node {
  return node.kind === "string" ? stringNode(change(node.text), node.range) : node;
}

export function joinPath(base: string, path: string): string {
  if (path.startsWith("/")) return path;
  return cleanPath(base === "" ? path : `${base}/${path}`);
}

export function folderOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "" : path.slice(0, slash) || "/";
}

function expandHome(path: string, { home }: Place): string {
  return path.startsWith("~") && home !== undefined ? joinPath(home, `./${path.slice(1)}`) : path;
}

export function localPath(path: string, place: Place): string {
  return path === "" ? path : joinPath(place.base, expandHome(path, place));
}

/** As local paths, but absolute paths of Windows stay. */
function filePath(path: string, place: Place): string {
  return /^(?:[A-Za-z]:[\\/]|\\\\)/.test(path) ? path : localPath(path, place);
}

const REMOTE = /:\/\/|^(?:service:|github\.com\/|git@)/;

function contextPath(path: string, place: Place): string {
  return REMOTE.test(path) ? path : localPath(path, place);
}
