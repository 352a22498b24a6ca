// Command lines as Go's flag package reads them, made ready for commander: a switch may be given a value
// (`--push=false`), but never takes the next word; `-f=x` is `-f x`.
import { parseBoolText } from "../bakefile/csv.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { Command, CommanderError } from "commander";

/** Rewrites `argv` so that commander reads it as pflag would: every switch becomes `--switch=value`. */
export function normalizeArguments(command: Command, argv: readonly string[]): readonly string[] {
  const out: string[] = [];
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? "";
    if (word === "--") return [...out, ...argv.slice(at)];
    const equals = word.indexOf("=");
    const flag = equals < 0 ? word : word.slice(0, equals);
    const option = command.options.find(option => option.short === flag || option.long === flag);
    if (option === undefined) out.push(word);
    else if (option.optional)
      out.push(`${option.long ?? flag}=${equals < 0 ? "true" : word.slice(equals + 1)}`);
    else if (!option.required) out.push(word);
    else if (equals >= 0) out.push(flag, word.slice(equals + 1));
    else {
      out.push(word);
      at++;
      if (at < argv.length) out.push(argv[at] ?? "");
    }
  }
  return out;
}

/** Reads a switch's value as Go's ParseBool does. @throws BakeError "usage" */
export function parseSwitch(flag: string): (value: string) => boolean {
  return value => {
    const parsed = parseBoolText(value);
    if (parsed === undefined)
      throw new BakeError("usage", `invalid value "${value}" for ${flag}: expected true or false`);
    return parsed;
  };
}

/** For options that may be given several times. */
export function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}

/** A refusal of commander's in the program's own form. */
export function usageError({ message }: CommanderError, command: string): BakeError {
  const [first = "", suggestion] = message.split("\n");
  const hint = /\(Did you mean (.*)\?\)/.exec(suggestion ?? "")?.[1];
  return new BakeError("usage", first.replace(/^error: /, "").replaceAll("'", '"'), {
    hint: hint === undefined ? `${command} --help lists what there is` : `did you mean "${hint}"?`,
  });
}
