// Tables that describe protobuf messages: one row a field. wire.ts reads and writes bytes by them, json.ts prints by
// them, and a test holds them against schemas/llb.proto.

export type ScalarKind = "string" | "bytes" | "bool" | "int32" | "uint32" | "int64" | "uint64" | "bigint";

/** One row without its value type. `name` is the protobuf name when it differs from the key of the row. */
export type FieldShape =
  | { readonly kind: ScalarKind; readonly number: number; readonly name?: string }
  /** An enum; the first of `values` is the zero. `constants` are the names in the protobuf text, in the same order. */
  | {
      readonly kind: "enum";
      readonly number: number;
      readonly name?: string;
      readonly type: string;
      readonly values: readonly string[];
      readonly constants: readonly string[];
    }
  /** The message is a thunk because definitions may hold definitions. */
  | {
      readonly kind: "message";
      readonly number: number;
      readonly name?: string;
      readonly message: () => AnyMessage;
    }
  | { readonly kind: "list"; readonly of: FieldShape }
  /** Keys are strings; entries are written in byte order of the keys. `value` has number 2. */
  | { readonly kind: "map"; readonly number: number; readonly name?: string; readonly value: FieldShape }
  /** At most one of the members; the value is `{kind: member, value}`. Written after all plain fields. */
  | { readonly kind: "oneof"; readonly members: Readonly<Record<string, FieldShape>> };

/** A row whose values have type V. Nothing of V exists at run time. */
export type Field<V> = FieldShape & { readonly example?: V };

export interface AnyMessage {
  readonly name: string;
  readonly fields: Readonly<Record<string, FieldShape>>;
}

/** A message whose values have type T. */
export interface Message<T> extends AnyMessage {
  readonly example?: T;
}

/** A row for every property of T: scalars, lists and maps are always present, messages and oneofs may be missing. */
export type FieldsOf<T> = { readonly [K in keyof T]-?: Field<Exclude<T[K], undefined>> };

export type OneOf<M> = {
  readonly [K in keyof M & string]: { readonly kind: K; readonly value: M[K] };
}[keyof M & string];

export function message<T>(name: string, fields: FieldsOf<T>): Message<T> {
  return { name, fields };
}

const scalar =
  <V>(kind: ScalarKind) =>
  (number: number, name?: string): Field<V> => ({ kind, number, ...(name !== undefined && { name }) });

export const text = scalar<string>("string");
export const bytes = scalar<Uint8Array>("bytes");
export const bool = scalar<boolean>("bool");
export const int32 = scalar<number>("int32");
export const uint32 = scalar<number>("uint32");
/** A 64-bit integer that must be exact as a number; reading a larger one fails. */
export const int64 = scalar<number>("int64");
export const uint64 = scalar<number>("uint64");
/** An int64 that may use all 64 bits: nanoseconds, resource limits. */
export const bigint = scalar<bigint>("bigint");

/** An enum: `values` are the words used in code, `constants` those of the protobuf text. */
export function choice<const W extends string>(
  number: number,
  type: string,
  words: { readonly [K in W]: string },
  name?: string,
): Field<W> {
  return {
    kind: "enum",
    number,
    type,
    values: Object.keys(words),
    constants: Object.values<string>(words),
    ...(name !== undefined && { name }),
  };
}

export function sub<T>(number: number, of: () => Message<T>, name?: string): Field<T> {
  return { kind: "message", number, message: of, ...(name !== undefined && { name }) };
}

export function list<V>(of: Field<V>): Field<readonly V[]> {
  return { kind: "list", of };
}

export function map<V>(
  number: number,
  value: (number: number) => Field<V>,
  name?: string,
): Field<Readonly<Record<string, V>>> {
  return { kind: "map", number, value: value(2), ...(name !== undefined && { name }) };
}

export function oneof<M>(members: FieldsOf<M>): Field<OneOf<M>> {
  return { kind: "oneof", members };
}

/** The protobuf name of a row. */
export function protoName(key: string, field: FieldShape): string {
  if (field.kind === "list") return protoName(key, field.of);
  return (field.kind !== "oneof" ? field.name : undefined) ?? key;
}
