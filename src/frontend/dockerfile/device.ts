// The value of RUN --device: the name of a CDI device and whether the step needs it, as comma-separated fields.
import { BakeError } from "../../diagnostic/error.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import type { FlagItem } from "./arguments.ts";
import { readCsvLine } from "./csv.ts";
import { cut, parseGoBool } from "./text.ts";

export interface DeviceSpec {
  /** As in `vendor.com/class=name`. */
  readonly name: string;
  /** Default false: a step runs without a device that the machine does not have. */
  readonly required: boolean;
}

/** @throws BakeError "dockerfile-syntax" */
export function readDevice(flag: FlagItem): DeviceSpec {
  const wrong = (why: string, hint?: string): BakeError =>
    new BakeError("dockerfile-syntax", `the device "${flag.value}" is wrong: ${why}`, {
      range: flag.range,
      hint: hint ?? "write for example --device=vendor.com/class=name,required",
    });
  let name = "";
  let required = false;
  for (const field of fieldsOf(flag)) {
    const [written, value] = cut(field, "=") ?? [field, undefined];
    const key = written.toLowerCase();
    if (key === "required") {
      const on = value === undefined ? true : parseGoBool(value);
      if (on === undefined) throw wrong(`"${value ?? ""}" is neither true nor false`);
      required = on;
    } else if (key === "name" && value !== undefined) {
      if (name !== "") throw wrong(`it has the name "${name}" already`);
      name = value;
    } else if (name === "")
      // A device's name has an equals sign itself.
      name = field;
    else throw wrong(`"${written}" is not a known key`, didYouMean(key, ["name", "required"]));
  }
  if (name === "") throw wrong("it has no name");
  return { name, required };
}

function fieldsOf(flag: FlagItem): readonly string[] {
  try {
    return readCsvLine(flag.value);
  } catch (thrown) {
    throw thrown instanceof BakeError ? thrown.at(flag.range) : thrown;
  }
}
