// One record of comma-separated values (RFC 4180), the form of output, cache, secret and attest strings.
import { BakeError } from "../diagnostic/error.ts";

/**
 * The fields of one record. Fields may be quoted, `""` stands for a quote within.
 * @throws BakeError "bake-schema" for an empty text or a misplaced quote
 */
export function parseCsvFields(text: string, comma = ","): readonly string[] {
  if (text === "")
    throw new BakeError("bake-schema", "expected comma-separated values, found an empty string");
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    if (text[at] === '"') {
      let field = "";
      at++;
      for (;;) {
        const quote = text.indexOf('"', at);
        if (quote < 0)
          throw new BakeError("bake-schema", `a quoted value in ${JSON.stringify(text)} is not closed`);
        field += text.slice(at, quote);
        at = quote + 1;
        if (text[at] !== '"') break;
        field += '"';
        at++;
      }
      if (at < text.length && text[at] !== comma) {
        throw new BakeError("bake-schema", `unexpected text after a quoted value in ${JSON.stringify(text)}`);
      }
      fields.push(field);
    } else {
      const next = text.indexOf(comma, at);
      const field = text.slice(at, next < 0 ? undefined : next);
      if (field.includes('"')) {
        const hint = 'put quotes around the whole value and write "" for a quote';
        throw new BakeError("bake-schema", `a quote within an unquoted value in ${JSON.stringify(text)}`, {
          hint,
        });
      }
      fields.push(field);
      at = next < 0 ? text.length : next;
    }
    if (at >= text.length) return fields;
    at++;
  }
}

/** Booleans as `--set` and comma-separated values spell them; undefined for anything else. */
export function parseBoolText(text: string): boolean | undefined {
  if (["1", "t", "T", "TRUE", "true", "True"].includes(text)) return true;
  if (["0", "f", "F", "FALSE", "false", "False"].includes(text)) return false;
  return undefined;
}

/** All records of a text; fields may be quoted and then hold line ends. */
export function parseCsvRecords(text: string): readonly (readonly string[])[] {
  const records: string[][] = [];
  let record: string[] = [];
  let at = 0;
  while (at < text.length) {
    let field = "";
    if (text[at] === '"') {
      at++;
      for (;;) {
        const quote = text.indexOf('"', at);
        if (quote < 0) throw new BakeError("bake-evaluate", "a quoted value is not closed");
        field += text.slice(at, quote);
        at = quote + 1;
        if (text[at] !== '"') break;
        field += '"';
        at++;
      }
      if (at < text.length && !/[,\r\n]/.test(text[at] ?? ""))
        throw new BakeError("bake-evaluate", "unexpected text after a quoted value");
    } else {
      const end = /[,\r\n]|$/.exec(text.slice(at))?.index ?? 0;
      field = text.slice(at, at + end);
      if (field.includes('"')) throw new BakeError("bake-evaluate", "a quote within an unquoted value");
      at += end;
    }
    record.push(field);
    if (text[at] === ",") {
      at++;
      if (at < text.length) continue;
      record.push("");
    }
    const lineEnd = /^\r?\n/.exec(text.slice(at, at + 2))?.[0] ?? "";
    at += lineEnd.length || (at < text.length ? 1 : 0);
    if (record.length > 1 || record[0] !== "") records.push(record);
    record = [];
  }
  return records;
}
