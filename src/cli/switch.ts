// Options that are on or off, and may be given a value: `--pull`, `--pull=false`.
import { Option } from "commander";
import { parseSwitch } from "./arguments.ts";

/** `short` is a one-letter name such as "-D". */
export function onOff(long: string, text: string, short = ""): Option {
  const option = new Option(`${short === "" ? "" : `${short}, `}${long} [bool]`, text).argParser(
    parseSwitch(long),
  );
  // commander would take `--no-cache` for the negation of `--cache`.
  option.negate = false;
  return option;
}
