// `--call` and `--check`: which question, and how its answer is printed.
import { parseBoolText, parseCsvFields } from "../bakefile/csv.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { BakeFlags } from "./flags.ts";

export interface CallFlag {
  /** The value of the targets' `call`; "" when nothing was asked. */
  readonly method: string;
  readonly json: boolean;
  /** Warnings do not make the exit code 1. */
  readonly ignoreStatus: boolean;
}

/** Reads `name[,format=json][,ignorestatus=bool]`; `--check` is `--call=check`. @throws BakeError "usage" */
export function callFromFlags({ call = "", check }: Pick<BakeFlags, "call" | "check">): CallFlag {
  let method = "";
  let json = false;
  let ignoreStatus = false;
  for (const field of call === "" ? [] : parseCsvFields(call)) {
    const equals = field.indexOf("=");
    const [key, value] = equals < 0 ? ["", field] : [field.slice(0, equals), field.slice(equals + 1)];
    if (key === "" && method === "") method = value;
    else if (key === "format") json = value === "json";
    else if (key === "ignorestatus") {
      const wanted = parseBoolText(value);
      if (wanted === undefined)
        throw new BakeError("usage", `ignorestatus of --call must be true or false, not "${value}"`);
      ignoreStatus = wanted;
    } else {
      throw new BakeError("usage", `invalid option "${field}" of --call`, {
        hint: "format=json and ignorestatus=true are known",
      });
    }
  }
  if (check === true || method === "check") method = "lint";
  return { method: method === "build" ? "" : method, json, ignoreStatus };
}
