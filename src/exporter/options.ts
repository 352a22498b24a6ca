// Reads the options of an export request, with errors that name the option and what it may be.
import { BakeError } from "../diagnostic/error.ts";
import type { ExportRequest } from "./exporter.ts";

const TRUE = new Set(["1", "t", "T", "TRUE", "true", "True"]);
const FALSE = new Set(["0", "f", "F", "FALSE", "false", "False"]);

/** A boolean option, by the spellings Go's ParseBool takes; an empty value is true. @throws BakeError "usage" */
export function booleanOption(request: ExportRequest, key: string, fallback: boolean): boolean {
  const value = request.attrs[key];
  if (value === undefined) return fallback;
  if (value === "" || TRUE.has(value)) return true;
  if (FALSE.has(value)) return false;
  throw new BakeError(
    "usage",
    `invalid value "${value}" for option "${key}" of output type=${request.type}`,
    {
      hint: "use true or false",
    },
  );
}

/** One of a closed list of words. @throws BakeError "usage" */
export function choiceOption<T extends string>(
  request: ExportRequest,
  key: string,
  choices: readonly T[],
  fallback: T,
): T {
  const value = request.attrs[key];
  if (value === undefined || value === "") return fallback;
  const found = choices.find(choice => choice === value);
  if (found !== undefined) return found;
  throw new BakeError(
    "usage",
    `invalid value "${value}" for option "${key}" of output type=${request.type}`,
    {
      hint: `use ${choices.join(", ")}`,
    },
  );
}

/** A whole number, or undefined when the option is not given. @throws BakeError "usage" */
export function integerOption(request: ExportRequest, key: string): number | undefined {
  const value = request.attrs[key];
  if (value === undefined || value === "") return undefined;
  if (/^-?\d{1,15}$/.test(value)) return Number(value);
  throw new BakeError(
    "usage",
    `invalid value "${value}" for option "${key}" of output type=${request.type}`,
    {
      hint: "use a whole number",
    },
  );
}

/** The tags of a request: the comma-separated `name` option, without empty ones. */
export function namesOf(request: ExportRequest): readonly string[] {
  return (request.attrs["name"] ?? "")
    .split(",")
    .map(name => name.trim())
    .filter(name => name !== "");
}
