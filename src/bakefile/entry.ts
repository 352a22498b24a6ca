// Entries of list attributes that have a string form and an object form: outputs, caches, secrets, ssh keys,
// attestations and policies.
import { BakeError } from "../diagnostic/error.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import { parseBoolText, parseCsvFields } from "./csv.ts";
import { convert, describe } from "./hcl/convert.ts";
import { BOOL, STRING, typeName, typeOf, unwrapItems, type Value } from "./hcl/value.ts";

export type Attributes = Readonly<Record<string, string>>;

export interface OutputEntry {
  readonly type: string;
  /** Undefined when the exporter decides. */
  readonly dest: string | undefined;
  readonly attrs: Attributes;
}

export interface CacheEntry {
  readonly type: string;
  readonly attrs: Attributes;
}

export interface AttestEntry {
  readonly type: string;
  readonly disabled: boolean;
  readonly attrs: Attributes;
}

/** Missing parts are empty strings. */
export interface SecretEntry {
  readonly id: string;
  readonly src: string;
  readonly env: string;
}

export interface SshEntry {
  readonly id: string;
  readonly paths: readonly string[];
}

export interface PolicyEntry {
  readonly files: readonly string[];
  readonly reset: boolean;
  readonly disabled: boolean;
  readonly strict: boolean | undefined;
  readonly logLevel: string | undefined;
}

function problem(message: string, hint?: string): BakeError {
  return new BakeError("bake-schema", message, { hint });
}

function splitField(field: string): [string, string] {
  const at = field.indexOf("=");
  if (at < 0) throw problem(`expected "key=value", found "${field}"`);
  return [field.slice(0, at), field.slice(at + 1)];
}

/** `type=local,dest=out`; a text without keys is a folder, `-` a tar archive on standard output. @throws BakeError */
export function parseOutput(text: string): OutputEntry {
  const fields = parseCsvFields(text);
  if (fields.length === 1 && fields[0] === text && !text.startsWith("type=")) {
    return text === "-" ? { type: "tar", dest: text, attrs: {} } : { type: "local", dest: text, attrs: {} };
  }
  let type = "";
  let dest = "";
  const attrs: Record<string, string> = {};
  for (const field of fields) {
    const [rawKey, value] = splitField(field);
    const key = rawKey.toLowerCase().trim();
    if (key === "type") type = value;
    else if (key === "dest") dest = value;
    else attrs[key] = value;
  }
  if (type === "") throw problem(`the output "${text}" has no type`, 'for example "type=local,dest=out"');
  return { type, dest: dest === "" ? undefined : dest, attrs };
}

/** A text without `=` is one or more references of registry caches. */
export function parseCaches(text: string): readonly CacheEntry[] {
  const fields = parseCsvFields(text);
  if (!text.includes("=")) return fields.map(ref => ({ type: "registry", attrs: { ref } }));
  let type = "";
  const attrs: Record<string, string> = {};
  for (const field of fields) {
    const [key, value] = splitField(field);
    if (key.toLowerCase() === "type") type = value;
    else attrs[key.toLowerCase()] = value;
  }
  if (type === "")
    throw problem(`the cache "${text}" has no type`, 'for example "type=registry,ref=example.com/app:cache"');
  return [{ type, attrs }];
}

/** `type=sbom`, `type=provenance,mode=max`. @throws BakeError */
export function parseAttest(text: string): AttestEntry {
  let type = "";
  let disabled = false;
  const attrs: Record<string, string> = {};
  for (const field of parseCsvFields(text)) {
    const [key, value] = splitField(field);
    const name = key.toLowerCase().trim();
    if (name === "type") type = value;
    else if (name === "disabled") disabled = expectBool(value, field);
    else attrs[key] = value;
  }
  if (type === "") throw problem(`the attestation "${text}" has no type`, 'for example "type=sbom"');
  return { type, disabled, attrs };
}

function expectBool(value: string, field: string): boolean {
  const parsed = parseBoolText(value);
  if (parsed === undefined) throw problem(`expected true or false in "${field}"`);
  return parsed;
}

const SECRET_KEYS = ["type", "id", "source", "src", "env"];

/** `id=key,src=path` or `id=key,env=NAME`. @throws BakeError */
export function parseSecret(text: string): SecretEntry {
  let type = "";
  let id = "";
  let src = "";
  let env = "";
  for (const field of parseCsvFields(text)) {
    const [rawKey, value] = splitField(field);
    const key = rawKey.toLowerCase();
    if (key === "id") id = value;
    else if (key === "src" || key === "source") src = value;
    else if (key === "env") env = value;
    else if (key === "type" && (value === "file" || value === "env")) type = value;
    else if (key === "type") throw problem(`unknown type "${value}" of a secret`, 'it is "file" or "env"');
    else throw problem(`unknown key "${rawKey}" of a secret`, didYouMean(key, SECRET_KEYS));
  }
  return type === "env" && env === "" ? { id, src: "", env: src } : { id, src, env };
}

/** `default`, or `id=path,path`. */
export function parseSsh(text: string): SshEntry {
  const at = text.indexOf("=");
  return at < 0 ? { id: text, paths: [] } : { id: text.slice(0, at), paths: text.slice(at + 1).split(",") };
}

const LOG_LEVELS: Readonly<Record<string, string>> = { warn: "warning" };
const KNOWN_LEVELS = ["panic", "fatal", "error", "warning", "warn", "info", "debug", "trace"];

/** `filename=path,strict=true`. @throws BakeError */
export function parsePolicy(text: string): PolicyEntry {
  return policyFromFields(parseCsvFields(text).map(splitField));
}

function policyFromFields(fields: readonly (readonly [string, string])[]): PolicyEntry {
  const files: string[] = [];
  let reset = false;
  let disabled = false;
  let strict: boolean | undefined;
  let logLevel: string | undefined;
  for (const [rawKey, value] of fields) {
    const key = rawKey.toLowerCase().trim();
    const field = `${rawKey}=${value}`;
    if (key === "filename" && value !== "") files.push(value);
    else if (key === "reset") reset = expectBool(value, field);
    else if (key === "disabled") disabled = expectBool(value, field);
    else if (key === "strict") strict = expectBool(value, field);
    else if (key === "log-level" && KNOWN_LEVELS.includes(value.toLowerCase())) {
      logLevel = LOG_LEVELS[value.toLowerCase()] ?? value.toLowerCase();
    } else throw problem(`invalid field "${field}" of a policy`);
  }
  return { files, reset, disabled, strict, logLevel };
}

/** The items of a list attribute, without empty strings. */
export function entryItems(value: Value): readonly Value[] {
  const items = value.kind === "list" || value.kind === "tuple" ? unwrapItems(value) : undefined;
  if (items === undefined) {
    const hint = value.kind === "string" ? "put it in brackets" : undefined;
    throw problem(
      value.kind === "null" ? "null is not allowed here" : `expected a list, found ${describe(value)}`,
      hint,
    );
  }
  return items.filter(item => !(item.kind === "string" && item.value === ""));
}

/** An object or map of scalars as strings. */
function stringFields(value: Value): Record<string, string> {
  const map = convert(value, { kind: "map", element: STRING });
  const out: Record<string, string> = {};
  if (map.kind !== "map") throw problem("expected an object, found null");
  for (const [key, item] of map.entries) {
    if (item.kind !== "string") throw problem(`the value of "${key}" must not be null`);
    out[key] = item.value;
  }
  return out;
}

export function outputFromValue(value: Value): OutputEntry {
  if (value.kind === "string") return parseOutput(value.value);
  const { type = "", dest = "", ...attrs } = stringFields(value);
  if (type === "") throw problem("an output has no type");
  return { type, dest: dest === "" ? undefined : dest, attrs };
}

export function cachesFromValue(value: Value): readonly CacheEntry[] {
  if (value.kind === "string") return parseCaches(value.value);
  const { type = "", ...attrs } = stringFields(value);
  if (type === "") throw problem("a cache has no type");
  return [{ type, attrs }];
}

export function attestFromValue(value: Value): AttestEntry {
  if (value.kind === "string") return parseAttest(value.value);
  const { type = "", disabled, ...attrs } = stringFields(value);
  return {
    type,
    disabled: disabled === undefined ? false : expectBool(disabled, `disabled=${disabled}`),
    attrs,
  };
}

/** The named attributes of an object; further ones are ignored. */
function textField(value: Value, key: string): string {
  if (!("entries" in value)) throw problem(`expected an object or a string, found ${describe(value)}`);
  const item = value.entries.get(key);
  if (item === undefined || item.kind === "null") return "";
  const text = convert(item, STRING);
  return text.kind === "string" ? text.value : "";
}

export function secretFromValue(value: Value): SecretEntry {
  if (value.kind === "string") return parseSecret(value.value);
  return { id: textField(value, "id"), src: textField(value, "src"), env: textField(value, "env") };
}

export function sshFromValue(value: Value): SshEntry {
  if (value.kind === "string") return parseSsh(value.value);
  const id = textField(value, "id");
  const paths = "entries" in value ? value.entries.get("paths") : undefined;
  if (paths === undefined || paths.kind === "null") return { id, paths: [] };
  const list = convert(paths, { kind: "list", element: STRING });
  return {
    id,
    paths: (unwrapItems(list) ?? []).flatMap(item => (item.kind === "string" ? [item.value] : [])),
  };
}

export function policyFromValue(value: Value): PolicyEntry {
  if (value.kind === "string") return parsePolicy(value.value);
  if (!("entries" in value))
    throw problem(`expected an object or a string, found a ${typeName(typeOf(value))}`);
  const fields: [string, string][] = [];
  for (const [key, item] of value.entries) {
    if (item.kind === "null") continue;
    if (item.kind === "bool" || item.kind === "string" || item.kind === "number") {
      const text = convert(
        key === "reset" || key === "disabled" || key === "strict" ? convert(item, BOOL) : item,
        STRING,
      );
      if (text.kind === "string") fields.push([key, text.value]);
    } else throw problem(`the value of "${key}" of a policy must be a string or a bool`);
  }
  return policyFromFields(fields);
}
