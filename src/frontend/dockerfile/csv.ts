// One line of comma-separated values (RFC 4180), the form of --mount and of several options.
import { BakeError } from "../../diagnostic/error.ts";

/** Splits a line into fields. @throws BakeError "dockerfile-syntax" without a range */
export function readCsvLine(line: string): readonly string[] {
  if (line === "") return [];
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    let field = "";
    if (line[at] === '"') {
      at++;
      for (;;) {
        const end = line.indexOf('"', at);
        if (end < 0) throw new BakeError("dockerfile-syntax", `a quote in "${line}" is not closed`);
        field += line.slice(at, end);
        at = end + 1;
        if (line[at] !== '"') break;
        field += '"';
        at++;
      }
      if (at < line.length && line[at] !== ",")
        throw new BakeError("dockerfile-syntax", `a comma must follow the closing quote in "${line}"`);
    } else {
      const comma = line.indexOf(",", at);
      field = line.slice(at, comma < 0 ? line.length : comma);
      if (field.includes('"'))
        throw new BakeError("dockerfile-syntax", `a quote stands within a field of "${line}"`, {
          hint: "quote the whole field",
        });
      at += field.length;
    }
    fields.push(field);
    if (at >= line.length) return fields;
    at++;
  }
}
