// Arbitrary values of a message, made from its table.
import fc from "fast-check";
import type { AnyMessage, FieldShape, Message } from "../../src/llb/message.ts";

/** Values in the form the reader gives: scalars, lists and maps present, messages and oneofs perhaps missing. */
export function arbitraryOf<T>(message: Message<T>): fc.Arbitrary<T> {
  // The table names every property of T, so what is made by it is a T.
  return recordOf(message, 4).map(value => value as T);
}

function recordOf(message: AnyMessage, depth: number): fc.Arbitrary<Record<string, unknown>> {
  const required: string[] = [];
  const properties: Record<string, fc.Arbitrary<unknown>> = {};
  for (const [key, field] of Object.entries(message.fields)) {
    if (field.kind !== "message" && field.kind !== "oneof") required.push(key);
    else if (depth === 0) continue;
    properties[key] = valueOf(field, depth);
  }
  return fc.record(properties, { requiredKeys: required, noNullPrototype: true });
}

function valueOf(field: FieldShape, depth: number): fc.Arbitrary<unknown> {
  switch (field.kind) {
    case "string":
      return fc.string({ unit: "grapheme", maxLength: 6 });
    case "bytes":
      return fc.uint8Array({ maxLength: 6 });
    case "bool":
      return fc.boolean();
    case "int32":
      return fc.integer();
    case "uint32":
      return fc.integer({ min: 0, max: 0xffffffff });
    case "int64":
      return fc.maxSafeInteger();
    case "uint64":
      return fc.maxSafeNat();
    case "bigint":
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    case "enum":
      return fc.constantFrom(...field.values);
    case "message":
      return recordOf(field.message(), depth - 1);
    case "list":
      return field.of.kind === "message" && depth === 0
        ? fc.constant([])
        : fc.array(valueOf(field.of, depth), { maxLength: 3 });
    case "map":
      return field.value.kind === "message" && depth === 0
        ? fc.constant({})
        : fc
            .array(fc.tuple(fc.string({ unit: "grapheme", maxLength: 6 }), valueOf(field.value, depth)), {
              maxLength: 3,
            })
            .map(entries => Object.fromEntries(entries));
    case "oneof":
      return fc.oneof(
        ...Object.entries(field.members).map(([kind, member]) =>
          valueOf(member, depth).map(value => ({ kind, value })),
        ),
      );
    default: {
      const never: never = field;
      return never;
    }
  }
}
