// Validates a document by the part of JSON Schema (draft 7) that schemas/bake.schema.json uses.
import assert from "node:assert/strict";

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type Schema = { readonly [key: string]: Json };

const ANNOTATIONS = ["$schema", "title", "description", "definitions"];

/** The paths at which a document does not fit; empty when it fits. Throws on keywords it does not know. */
export function validate(root: Schema, document: unknown): readonly string[] {
  return check(root, root, document, "");
}

function check(root: Schema, schema: Schema, value: unknown, path: string): readonly string[] {
  const problems: string[] = [];
  const wrong = (what: string): void => void problems.push(`${path || "/"}: ${what}`);
  for (const [keyword, rule] of Object.entries(schema)) {
    switch (keyword) {
      case "$ref": {
        const name = textOf(rule).replace("#/definitions/", "");
        problems.push(...check(root, objectAt(objectAt(root, "definitions"), name), value, path));
        break;
      }
      case "anyOf": {
        const results = listOf(rule).map(one => check(root, objectOf(one), value, path));
        if (!results.some(result => result.length === 0)) {
          // The alternative that got furthest explains most.
          const depth = (result: readonly string[]): number =>
            Math.max(...result.map(line => line.split(":", 1)[0]?.length ?? 0));
          problems.push(...([...results].sort((a, b) => depth(b) - depth(a))[0] ?? []));
        }
        break;
      }
      case "type": {
        const types = Array.isArray(rule) ? rule : [rule];
        if (!types.some(type => type === typeOf(value) || (type === "number" && typeOf(value) === "integer")))
          wrong(`expected ${types.join(" or ")}`);
        break;
      }
      case "enum":
        if (!listOf(rule).some(one => one === value)) wrong("not one of the values");
        break;
      case "pattern":
        if (typeof value === "string" && !new RegExp(textOf(rule)).test(value)) wrong("does not match");
        break;
      case "required":
        if (isObject(value))
          for (const key of listOf(rule))
            if (!Object.hasOwn(value, String(key))) wrong(`lacks ${String(key)}`);
        break;
      case "items":
        if (Array.isArray(value))
          for (const [i, item] of value.entries())
            problems.push(...check(root, objectOf(rule), item, `${path}/${i}`));
        break;
      case "properties":
        if (isObject(value))
          for (const [key, inner] of Object.entries(objectOf(rule)))
            if (Object.hasOwn(value, key))
              problems.push(...check(root, objectOf(inner), value[key], `${path}/${key}`));
        break;
      case "additionalProperties":
        if (isObject(value)) {
          const known = isObject(schema["properties"]) ? Object.keys(schema["properties"]) : [];
          for (const [key, inner] of Object.entries(value)) {
            if (known.includes(key)) continue;
            if (rule === false) problems.push(`${path}/${key}: unknown`);
            else problems.push(...check(root, objectOf(rule), inner, `${path}/${key}`));
          }
        }
        break;
      default:
        assert.ok(ANNOTATIONS.includes(keyword), `the test's validator does not know "${keyword}"`);
    }
  }
  return problems;
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return Number.isInteger(value) ? "integer" : typeof value;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function objectOf(value: unknown): Schema {
  assert.ok(isObject(value));
  return value as Schema;
}

function objectAt(value: Schema, key: string): Schema {
  return objectOf(value[key]);
}

function listOf(value: unknown): readonly unknown[] {
  assert.ok(Array.isArray(value));
  return value;
}

function textOf(value: unknown): string {
  assert.ok(typeof value === "string");
  return value;
}
