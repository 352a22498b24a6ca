// Protobuf bytes by message table (https://protobuf.dev/programming-guides/encoding). The writer is deterministic in
// the way BuildKit's digests need: plain fields by number, then oneof members, map entries by key bytes.
import { BakeError, invariant } from "../diagnostic/error.ts";
import { compareUtf8 } from "../oci/json.ts";
import { bytesType, MAX_DEPTH, Scanner, varintType } from "./scanner.ts";
import { Sink } from "./sink.ts";
import { protoName, type AnyMessage, type FieldShape, type Message } from "./message.ts";

type Leaf = Extract<FieldShape, { readonly number: number }>;

/**
 * Serialises a value. Zero scalars and empty lists are left out, set sub-messages and oneof members are not.
 * @throws BakeError "llb-invalid" when a string is not valid UTF-16 or a number does not fit its field
 */
export function encode<T>(message: Message<T>, value: T): Uint8Array {
  const sink = new Sink();
  writeMessage(sink, message, value);
  return sink.finish();
}

/**
 * Reads a value; fields the table does not know are skipped.
 * @throws BakeError "llb-invalid" on malformed bytes
 */
export function decode<T>(message: Message<T>, input: Uint8Array): T {
  const view = new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
  // The table names every property of T (FieldsOf), so what it builds is a T.
  return decodeAny(message, view, 0) as T;
}

// ---- writing

function writeMessage(sink: Sink, message: AnyMessage, value: unknown): void {
  invariant(isRecord(value), "BUG: a message is not an object");
  const { plain, choices } = planOf(message);
  for (const { key, field, where } of plain) writeField(sink, field, value[key], where);
  for (const [key, members] of choices) {
    const chosen = value[key];
    if (chosen === undefined) continue;
    invariant(isRecord(chosen) && typeof chosen["kind"] === "string", "BUG: a oneof value has no kind");
    const { kind } = chosen;
    const member = members[kind];
    invariant(member !== undefined && isLeaf(member), "BUG: a oneof value has an unknown kind");
    writeLeaf(sink, member, chosen["value"], () => `${message.name}.${kind}`);
  }
}

/** `where` tells errors which field it is. */
function writeField(sink: Sink, field: FieldShape, value: unknown, where: () => string): void {
  switch (field.kind) {
    case "list": {
      invariant(Array.isArray(value), "BUG: a repeated field is not a list");
      const { of } = field;
      invariant(isLeaf(of), "BUG: a list of lists");
      if (isPackable(of)) {
        if (value.length === 0) return;
        sink.nested(of.number, () => {
          for (const item of value) sink.varint(varintOf(of, item, where));
        });
        return;
      }
      for (const item of value) writeLeaf(sink, of, item, where);
      return;
    }
    case "map": {
      invariant(isRecord(value), "BUG: a map is not an object");
      const { value: valueField } = field;
      invariant(isLeaf(valueField), "BUG: a map of lists");
      for (const key of Object.keys(value).sort(compareUtf8)) {
        sink.nested(field.number, () => {
          writeText(sink, 1, key, where);
          writeLeaf(sink, valueField, value[key], where);
        });
      }
      return;
    }
    case "oneof":
      invariant(false, "BUG: a oneof among plain fields");
      return;
    case "message":
      if (value !== undefined) writeLeaf(sink, field, value, where);
      return;
    default:
      if (!isZero(field, value)) writeLeaf(sink, field, value, where);
  }
}

function writeLeaf(sink: Sink, field: Leaf, value: unknown, where: () => string): void {
  switch (field.kind) {
    case "string":
      invariant(typeof value === "string", "BUG: a string field holds something else");
      writeText(sink, field.number, value, where);
      return;
    case "bytes":
      invariant(value instanceof Uint8Array, "BUG: a bytes field holds something else");
      sink.block(field.number, value);
      return;
    case "message":
      sink.nested(field.number, () => writeMessage(sink, field.message(), value));
      return;
    case "map":
      invariant(false, "BUG: a map inside a map");
      return;
    default:
      sink.tag(field.number, varintType);
      sink.varint(varintOf(field, value, where));
  }
}

function varintOf(field: Leaf, value: unknown, where: () => string): number | bigint {
  if (field.kind === "bool") return value === true ? 1 : 0;
  if (field.kind === "enum") {
    const index = field.values.indexOf(String(value));
    invariant(index >= 0, "BUG: an enum field holds an unknown word");
    return index;
  }
  const bounds = BOUNDS[field.kind];
  invariant(bounds !== undefined, "BUG: a field that is not a number");
  const isNumber = typeof value === "number" && Number.isSafeInteger(value);
  if (!isNumber && typeof value !== "bigint") {
    throw new BakeError("llb-invalid", `cannot write ${where()}: ${String(value)} is not an exact integer`);
  }
  const number = isNumber ? value : BigInt(value);
  if (number < bounds.least || number > bounds.most) {
    throw new BakeError("llb-invalid", `cannot write ${where()}: ${String(value)} is out of range`);
  }
  return number;
}

const BOUNDS: Readonly<
  Partial<Record<FieldShape["kind"], { readonly least: bigint; readonly most: bigint }>>
> = {
  int32: { least: -(2n ** 31n), most: 2n ** 31n - 1n },
  uint32: { least: 0n, most: 2n ** 32n - 1n },
  int64: { least: -(2n ** 63n), most: 2n ** 63n - 1n },
  bigint: { least: -(2n ** 63n), most: 2n ** 63n - 1n },
  uint64: { least: 0n, most: 2n ** 64n - 1n },
};

function writeText(sink: Sink, number: number, value: string, where: () => string): void {
  // With the u flag only halves of a pair that stand alone match.
  if (/\p{Surrogate}/u.test(value))
    throw new BakeError("llb-invalid", `cannot write ${where()}: the text is not valid UTF-8`);
  sink.text(number, value);
}

function isZero(field: Leaf, value: unknown): boolean {
  switch (field.kind) {
    case "string":
      return value === "";
    case "bytes":
      return value instanceof Uint8Array && value.length === 0;
    case "enum":
      return value === field.values[0];
    default:
      return value === 0 || value === 0n || value === false;
  }
}

// ---- reading

interface Slot {
  readonly key: string;
  readonly field: FieldShape;
  /** The member when the slot belongs to a oneof. */
  readonly member?: string;
}

interface PlainField {
  readonly key: string;
  readonly field: FieldShape;
  /** The field's name, for errors. */
  readonly where: () => string;
}

interface Plan {
  readonly plain: readonly PlainField[];
  readonly choices: readonly (readonly [string, Readonly<Record<string, FieldShape>>])[];
  readonly slots: ReadonlyMap<number, Slot>;
  /** Fields that have a value even when nothing is said of them. */
  readonly initial: readonly (readonly [string, FieldShape])[];
}

const plans = new WeakMap<AnyMessage, Plan>();

function planOf(message: AnyMessage): Plan {
  const known = plans.get(message);
  if (known !== undefined) return known;
  const plain: PlainField[] = [];
  const choices: [string, Readonly<Record<string, FieldShape>>][] = [];
  const slots = new Map<number, Slot>();
  for (const [key, field] of Object.entries(message.fields)) {
    if (field.kind === "oneof") {
      choices.push([key, field.members]);
      for (const [member, shape] of Object.entries(field.members))
        slots.set(numberOf(shape), { key, field: shape, member });
    } else {
      plain.push({ key, field, where: () => `${message.name}.${protoName(key, field)}` });
      slots.set(numberOf(field), { key, field });
    }
  }
  plain.sort((a, b) => numberOf(a.field) - numberOf(b.field));
  const initial = Object.entries(message.fields).filter(
    ([, { kind }]) => kind !== "message" && kind !== "oneof",
  );
  const plan = { plain, choices, slots, initial };
  plans.set(message, plan);
  return plan;
}

function decodeAny(message: AnyMessage, input: Uint8Array, depth: number): Record<string, unknown> {
  const scanner = new Scanner(input, message.name);
  if (depth > MAX_DEPTH) scanner.fail("it is nested too deep");
  const { slots, initial } = planOf(message);
  // Made when needed: a definition has many small messages.
  let maps: Map<string, Map<string, unknown>> | undefined;
  /** A message that appears twice is the merge of both, which is the message of the bytes put together. */
  let parts: Map<string, { readonly slot: Slot; readonly pieces: Uint8Array[] }> | undefined;
  const values: Record<string, unknown> = {};
  for (const [key, field] of initial)
    values[key] = field.kind === "list" ? [] : field.kind === "map" ? {} : zeroOf(field);
  while (!scanner.done) {
    const { number, wireType } = scanner.tag();
    const slot = slots.get(number);
    if (slot === undefined) {
      scanner.skip(number, wireType, depth);
      continue;
    }
    const { key, field, member } = slot;
    if (field.kind === "list") {
      const { of } = field;
      invariant(isLeaf(of), "BUG: a list of lists");
      const target = values[key];
      invariant(Array.isArray(target), "BUG: a repeated field is not a list");
      if (isPackable(of) && wireType === bytesType) {
        const packed = new Scanner(scanner.block(), message.name);
        while (!packed.done) target.push(readLeaf(packed, of, varintType, depth));
      } else target.push(readLeaf(scanner, of, wireType, depth));
    } else if (field.kind === "map") {
      if (wireType !== bytesType) scanner.fail(`field ${number} has the wrong wire type`);
      const [entryKey, value] = readEntry(scanner.block(), field.value, message.name, depth);
      maps ??= new Map();
      (maps.get(key) ?? put(maps, key, new Map<string, unknown>())).set(entryKey, value);
    } else if (field.kind === "message") {
      if (wireType !== bytesType) scanner.fail(`field ${number} has the wrong wire type`);
      const piece = scanner.block();
      parts ??= new Map();
      const known = parts.get(key);
      if (known?.slot === slot) known.pieces.push(piece);
      else parts.set(key, { slot, pieces: [piece] });
    } else {
      invariant(isLeaf(field), "BUG: a oneof inside a oneof");
      const value = readLeaf(scanner, field, wireType, depth);
      values[key] = member === undefined ? value : { kind: member, value };
      parts?.delete(key);
    }
  }
  for (const [key, entries] of maps ?? []) values[key] = Object.fromEntries(entries);
  for (const [key, { slot, pieces }] of parts ?? []) {
    invariant(slot.field.kind === "message", "BUG: parts of something that is no message");
    const value = decodeAny(slot.field.message(), joined(pieces), depth + 1);
    values[key] = slot.member === undefined ? value : { kind: slot.member, value };
  }
  return values;
}

function readEntry(input: Uint8Array, field: FieldShape, what: string, depth: number): [string, unknown] {
  const scanner = new Scanner(input, what);
  invariant(isLeaf(field), "BUG: a map of lists");
  let key = "";
  let value: unknown;
  while (!scanner.done) {
    const { number, wireType } = scanner.tag();
    if (number === 1 && wireType === bytesType) key = readText(scanner);
    else if (number === 2) value = readLeaf(scanner, field, wireType, depth);
    else scanner.skip(number, wireType, depth);
  }
  if (value === undefined)
    value =
      field.kind === "message" ? decodeAny(field.message(), new Uint8Array(0), depth + 1) : zeroOf(field);
  return [key, value];
}

function readLeaf(scanner: Scanner, field: Leaf, wireType: number, depth: number): unknown {
  const wanted =
    field.kind === "string" || field.kind === "bytes" || field.kind === "message" ? bytesType : varintType;
  if (wireType !== wanted) scanner.fail(`field ${field.number} has the wrong wire type`);
  switch (field.kind) {
    case "string":
      return readText(scanner);
    case "bytes":
      return scanner.block();
    case "message":
      return decodeAny(field.message(), scanner.block(), depth + 1);
    case "bool":
      return scanner.varint() !== 0n;
    case "int32":
      return Number(BigInt.asIntN(32, scanner.varint()));
    case "uint32":
      return Number(BigInt.asUintN(32, scanner.varint()));
    case "bigint":
      return BigInt.asIntN(64, scanner.varint());
    case "int64":
      return exact(scanner, BigInt.asIntN(64, scanner.varint()));
    case "uint64":
      return exact(scanner, scanner.varint());
    case "enum": {
      const value = Number(BigInt.asIntN(32, scanner.varint()));
      return field.values[value] ?? scanner.fail(`${field.type} has the unknown value ${value}`);
    }
    case "map":
      return scanner.fail("a map inside a map");
    default: {
      const never: never = field;
      return never;
    }
  }
}

function exact(scanner: Scanner, value: bigint): number {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : scanner.fail(`the number ${value} is too large`);
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function readText(scanner: Scanner): string {
  const piece = scanner.block();
  try {
    return decoder.decode(piece);
  } catch {
    return scanner.fail("a text is not valid UTF-8");
  }
}

function zeroOf(field: FieldShape): unknown {
  switch (field.kind) {
    case "string":
      return "";
    case "bytes":
      return new Uint8Array(0);
    case "bool":
      return false;
    case "bigint":
      return 0n;
    case "enum":
      return field.values[0];
    default:
      return 0;
  }
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const [only] = pieces;
  if (pieces.length === 1 && only !== undefined) return only;
  const sink = new Sink();
  for (const piece of pieces) sink.raw(piece);
  return sink.finish();
}

function put<V>(target: Map<string, V>, key: string, value: V): V {
  target.set(key, value);
  return value;
}

function numberOf(field: FieldShape): number {
  if (field.kind === "list") return numberOf(field.of);
  invariant(field.kind !== "oneof", "BUG: a oneof has no number");
  return field.number;
}

function isLeaf(field: FieldShape): field is Leaf {
  return field.kind !== "list" && field.kind !== "oneof";
}

function isPackable(field: Leaf): boolean {
  return (
    field.kind !== "string" && field.kind !== "bytes" && field.kind !== "message" && field.kind !== "map"
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
