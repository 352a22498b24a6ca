// Sizes as docker's flags take them: a number with an optional binary unit.
import { BakeError } from "../diagnostic/error.ts";

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  p: 2 ** 50,
};

/** `64m`, `1.5GiB`, `100` as bytes. `what` names the attribute in the error. @throws BakeError "bake-schema" */
export function parseSizeBytes(text: string, what: string): number {
  const match = /^(\d+(?:\.\d*)?|\.\d+)\s*([kmgtp]?)(?:i?b)?$/i.exec(text.trim());
  const unit = UNITS[match?.[2]?.toLowerCase() ?? "none"];
  if (match === null || unit === undefined)
    throw new BakeError("bake-schema", `invalid ${what} "${text}"`, {
      hint: `expected a size such as "64m" or "2g"`,
    });
  return Math.floor(Number(match[1]) * unit);
}
