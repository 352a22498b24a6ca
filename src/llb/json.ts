// Messages as JSON, in two styles: as Go prints BuildKit's structs (what `buildctl debug dump-llb` shows), and
// protobuf's own JSON mapping (https://protobuf.dev/programming-guides/json).
import { invariant } from "../diagnostic/error.ts";
import { compareUtf8, goJson } from "../oci/json.ts";
import { protoName, type AnyMessage, type FieldShape, type Message } from "./message.ts";

/** "go" keeps protobuf names, numbers and enum numbers; "protobuf" has camel case, 64-bit texts and enum constants. */
export type JsonStyle = "go" | "protobuf";

/** A JSON value in which 64-bit numbers may be bigints; print it with `jsonText`. */
export type JsonValue =
  string | number | bigint | boolean | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** A message as a JSON value. Zero values and missing parts are left out, keys are in the order of field numbers. */
export function messageToJson<T>(message: Message<T>, value: T, style: JsonStyle): JsonValue {
  return toJson(message, value, style);
}

/** Prints a value on one line as Go does (HTML escaping, no spaces); bigints as plain numbers. */
export function jsonText(value: JsonValue): string {
  if (typeof value === "bigint") return value.toString();
  if (isList(value)) return `[${value.map(jsonText).join(",")}]`;
  if (typeof value === "object") {
    const entries = Object.entries(value).map(([key, item]) => `${goJson(key)}:${jsonText(item)}`);
    return `{${entries.join(",")}}`;
  }
  return goJson(value);
}

/** Messages whose printing BuildKit wrote by hand (solver/pb/json.go): the oneof has a key of its own. */
const GO_WRAPPERS: Readonly<Record<string, string>> = { Op: "Op", FileAction: "Action", UserOpt: "User" };
/** …whose plain fields are printed when zero … */
const GO_KEEPS_ZEROS = new Set(["FileAction"]);
/** … and whose member has another spelling. */
const GO_MEMBER_NAMES: Readonly<Record<string, string>> = { byID: "byId" };

function toJson(
  message: AnyMessage,
  value: unknown,
  style: JsonStyle,
): { readonly [key: string]: JsonValue } {
  invariant(isRecord(value), "BUG: a message is not an object");
  const out: Record<string, JsonValue> = {};
  const keepZeros = style === "go" && GO_KEEPS_ZEROS.has(message.name);
  for (const [key, field] of Object.entries(message.fields).sort(
    ([, a], [, b]) => lowestNumber(a) - lowestNumber(b),
  )) {
    const item = value[key];
    if (field.kind === "oneof") {
      const member = memberToJson(field.members, item, style);
      if (style === "go") out[GO_WRAPPERS[message.name] ?? key] = member;
      else Object.assign(out, member);
      continue;
    }
    const json = item === undefined ? undefined : fieldToJson(field, item, style, keepZeros);
    if (json !== undefined) out[nameOf(key, field, style)] = json;
  }
  return out;
}

function memberToJson(
  members: Readonly<Record<string, FieldShape>>,
  chosen: unknown,
  style: JsonStyle,
): Record<string, JsonValue> {
  if (!isRecord(chosen) || typeof chosen["kind"] !== "string") return {};
  const member = members[chosen["kind"]];
  invariant(member !== undefined, "BUG: a oneof value has an unknown kind");
  const json = fieldToJson(member, chosen["value"], style, style === "protobuf");
  const name = style === "go" ? (GO_MEMBER_NAMES[chosen["kind"]] ?? chosen["kind"]) : chosen["kind"];
  return json === undefined ? {} : { [name]: json };
}

function fieldToJson(
  field: FieldShape,
  value: unknown,
  style: JsonStyle,
  keepZero: boolean,
): JsonValue | undefined {
  switch (field.kind) {
    case "list": {
      invariant(Array.isArray(value), "BUG: a repeated field is not a list");
      const { of } = field;
      return value.length === 0 ? undefined : value.map(item => fieldToJson(of, item, style, true) ?? "");
    }
    case "map": {
      invariant(isRecord(value), "BUG: a map is not an object");
      const keys = Object.keys(value).sort(compareUtf8);
      if (keys.length === 0) return undefined;
      return Object.fromEntries(
        keys.map(key => [key, fieldToJson(field.value, value[key], style, true) ?? ""]),
      );
    }
    case "message":
      return toJson(field.message(), value, style);
    case "bytes":
      invariant(value instanceof Uint8Array, "BUG: a bytes field holds something else");
      return value.length === 0 && !keepZero
        ? undefined
        : Buffer.from(value.buffer, value.byteOffset, value.length).toString("base64");
    case "enum": {
      const index = field.values.indexOf(String(value));
      if (index === 0 && !keepZero) return undefined;
      return style === "go" ? index : (field.constants[index] ?? index);
    }
    case "int64":
    case "uint64":
    case "bigint":
      invariant(
        typeof value === "number" || typeof value === "bigint",
        "BUG: a number field holds something else",
      );
      if (!value && !keepZero) return undefined;
      return style === "go" ? value : value.toString();
    case "string":
    case "bool":
    case "int32":
    case "uint32":
      invariant(
        typeof value === "string" || typeof value === "number" || typeof value === "boolean",
        "BUG: a scalar holds something else",
      );
      return !value && !keepZero ? undefined : value;
    case "oneof":
      return undefined;
    default: {
      const never: never = field;
      return never;
    }
  }
}

function nameOf(key: string, field: FieldShape, style: JsonStyle): string {
  const name = protoName(key, field);
  return style === "go" ? name : name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function lowestNumber(field: FieldShape): number {
  switch (field.kind) {
    case "list":
      return lowestNumber(field.of);
    case "oneof":
      return Math.min(...Object.values(field.members).map(lowestNumber));
    default:
      return field.number;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}
