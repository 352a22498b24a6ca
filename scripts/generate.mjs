// Writes what is made from the attribute table: schemas/bake.schema.json and docs/bake-reference.md.
// Run by tsx, since the table is TypeScript: `npm run generate`. With --check nothing is written, and a file that is
// out of date fails.
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { format, resolveConfig } from "prettier";
import { attributeTable, fields } from "../src/bakefile/attributes.ts";
import { standardLibrary } from "../src/bakefile/hcl/functions/table.ts";
import { SPECIAL } from "../src/bakefile/hcl/expression.ts";
import { overrideTable } from "../src/bakefile/override.ts";
import { attributeTexts } from "./bakeattributes.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const names = fields.map(field => attributeTable[field].name);

for (const name of names)
  if (attributeTexts[name] === undefined) throw new Error(`no text for the attribute "${name}"`);
for (const name of Object.keys(attributeTexts))
  if (!names.includes(name)) throw new Error(`no attribute "${name}"`);

const shapeNames = {
  string: "string",
  bool: "bool",
  strings: "list of strings",
  map: "map of strings",
  entries: "list of texts or objects",
  object: "object",
};

const longShapes = {
  ...shapeNames,
  entries: "list; an item is a text `key=value,key=value` or an object",
};

let outdated = false;
await emit("schemas/bake.schema.json", `${JSON.stringify(schema(), null, 2)}\n`);
await emit("docs/bake-reference.md", reference());
if (outdated) {
  console.error("run: npm run generate");
  process.exit(1);
}

async function emit(path, text) {
  const full = join(root, path);
  const formatted = await format(text, { ...(await resolveConfig(full)), filepath: full });
  if (!process.argv.includes("--check")) await writeFile(full, formatted);
  else if ((await readFile(full, "utf8").catch(() => "")) !== formatted) {
    console.error(`${path} is out of date`);
    outdated = true;
  }
}

/** JSON Schema (draft 7, which editors know) of a JSON bake file. Every string may be a template of any value. */
function schema() {
  const ref = name => ({ $ref: `#/definitions/${name}` });
  const oneOrMore = item => ({ anyOf: [item, { type: "array", items: item }] });
  const object = (properties, required = []) => ({
    type: "object",
    properties: { "//": {}, ...properties },
    ...(required.length > 0 && { required }),
    additionalProperties: false,
  });
  const named = (item, text) => ({
    description: text,
    ...oneOrMore({
      type: "object",
      properties: { "//": {} },
      additionalProperties: { anyOf: [...oneOrMore(item).anyOf, { type: "null" }] },
    }),
  });
  const shapes = {
    string: () => ref("text"),
    bool: () => ref("bool"),
    strings: () => ref("strings"),
    map: () => ref("map"),
    entries: ({ keys }) => ({
      anyOf: [
        ref("template"),
        {
          type: "array",
          items: {
            anyOf: [
              { type: "string" },
              {
                type: "object",
                properties: Object.fromEntries(
                  keys.map(key => [key, key === "paths" ? ref("strings") : ref("text")]),
                ),
                additionalProperties: ref("text"),
              },
            ],
          },
        },
      ],
    }),
    object: ({ keys, numbers }) => ({
      anyOf: [
        ref("template"),
        object(
          Object.fromEntries([
            ...keys.map(key => [key, ref("text")]),
            ...numbers.map(key => [key, ref("number")]),
          ]),
        ),
      ],
    }),
  };
  const targetProperties = Object.fromEntries(
    names.map(name => {
      const texts = attributeTexts[name];
      return [name, { description: plain(texts.text), ...shapes[texts.shape](texts) }];
    }),
  );
  const files = text => ({
    description: text,
    ...oneOrMore(object({ path: oneOrMore({ type: "string" }), optional: { type: "boolean" } }, ["path"])),
  });
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "Bake file",
    description: "A bake file in JSON. Properties that are not listed are attributes for use in expressions.",
    type: "object",
    properties: {
      group: named(ref("group"), "Groups of targets by name."),
      target: named(ref("target"), "Targets by name."),
      variable: named(ref("variable"), "Variables by name."),
      function: named(ref("function"), "Functions by name."),
      import: files("Other bake files, relative to this one; what they define comes below this file."),
      env_file: files("Files with values of variables, below the environment."),
    },
    definitions: {
      template: { type: "string", pattern: "[$%]\\{" },
      text: { type: ["string", "number", "boolean", "null"] },
      bool: { anyOf: [{ type: ["boolean", "null"] }, { enum: ["true", "false"] }, ref("template")] },
      number: { anyOf: [{ type: ["integer", "null"] }, { type: "string", pattern: "^[0-9]+$|[$%]\\{" }] },
      strings: {
        anyOf: [
          ref("template"),
          { type: "null" },
          { type: "array", items: { type: ["string", "number", "boolean"] } },
        ],
      },
      map: {
        anyOf: [ref("template"), { type: "null" }, { type: "object", additionalProperties: ref("text") }],
      },
      group: object({ description: ref("text"), targets: ref("strings") }, ["targets"]),
      target: object({
        name: { description: "The name of one target of a matrix.", type: "string" },
        matrix: {
          description: "Makes one target of each combination.",
          anyOf: [
            ref("template"),
            { type: "object", additionalProperties: { type: ["array", "object", "string"] } },
          ],
        },
        ...targetProperties,
      }),
      variable: object({
        type: {
          description: "string, number, bool, any, list(…), set(…), map(…), tuple([…]) or object({…}).",
          type: ["string", "null"],
        },
        default: { description: "The value when nothing else gives one." },
        description: ref("text"),
        validation: oneOrMore(object({ condition: {}, error_message: ref("text") }, ["condition"])),
      }),
      function: object(
        {
          params: { type: "array", items: { type: "string" } },
          variadic_params: { type: "string" },
          result: {},
        },
        ["params", "result"],
      ),
    },
  };
}

function reference() {
  const rows = names.map(name => {
    const { shape, heirs } = attributeTexts[name];
    return `| [\`${name}\`](#${name}) | ${shapeNames[shape]} | ${heirs} |`;
  });
  const keyOf = { platforms: "platform", secret: "secrets" };
  const sections = names.map(name => {
    const { shape, text, heirs, example, keys, numbers } = attributeTexts[name];
    const key = keyOf[name] ?? name;
    const override = overrideTable[key];
    const overrideText =
      override === undefined ? "none" : `\`${key}${override.named === undefined ? "" : ".NAME"}=VALUE\``;
    const known = [...(keys ?? []), ...(numbers ?? [])];
    return `### ${name}\n\n${text}\n\n\`\`\`hcl\n${name} = ${example}\n\`\`\`\n\n- Type: ${longShapes[shape]}${
      known.length > 0 ? `\n- Keys: ${known.map(one => `\`${one}\``).join(", ")}` : ""
    }\n- Heirs, later blocks and files: ${heirs}\n- \`--set\`: ${overrideText}\n`;
  });
  const functions = [...standardLibrary.keys(), ...Object.keys(SPECIAL)].sort();
  const signature = name => {
    const found = standardLibrary.get(name);
    if (found === undefined) return `${name}(…)`;
    const params = found.params.map(param => param.name);
    return `${name}(${[...params, ...(found.variadic ? [`${found.variadic.name}…`] : [])].join(", ")})`;
  };
  return `# Bake reference

Made by \`npm run generate\` from the tables of the program. [Bake files](bakefile.md) tells how the parts work together;
\`schemas/bake.schema.json\` is the same for editors, for bake files in JSON.

## Attributes of a target

| Attribute | Type | Heirs, later blocks and files |
| --- | --- | --- |
${rows.join("\n")}
| \`matrix\` | object of lists | not inherited |
| \`name\` | string | not inherited; only with \`matrix\` |

${sections.join("\n")}
## Attributes of other blocks

| Block | Attributes |
| --- | --- |
| \`group "NAME"\` | \`targets\` (list of strings, required), \`description\` |
| \`variable "NAME"\` | \`type\`, \`default\`, \`description\`, blocks \`validation\` with \`condition\` and \`error_message\` |
| \`function "NAME"\` | \`params\` (required), \`variadic_params\`, \`result\` (required) |
| \`import\` | \`path\` (string or list of strings, required), \`optional\` |
| \`env_file\` | \`path\` (string or list of strings, required), \`optional\` |

## Functions

${functions.map(name => `- \`${signature(name)}\``).join("\n")}
`;
}

function plain(text) {
  return text.replaceAll("`", "");
}
