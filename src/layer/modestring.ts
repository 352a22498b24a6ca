// Symbolic permission changes, as `chmod` and `COPY --chmod` take them: `u+x`, `go-w,a=rX` (POSIX chmod). The umask
// counts as 0.
import { BakeError } from "../diagnostic/error.ts";

/** Gives the new permission bits for the old ones. */
export type ModeChange = (mode: number, isDirectory: boolean) => number;

interface Step {
  readonly who: number;
  readonly operator: string;
  /** Permissions by letter, or one of "u", "g", "o" to copy from. */
  readonly letters: string;
}

const CLASSES: Readonly<Record<string, number>> = { u: 0o4700, g: 0o2070, o: 0o1007, a: 0o7777 };
const SHIFTS: Readonly<Record<string, number>> = { u: 6, g: 3, o: 0 };

/** Reads octal digits or a comma-separated list of symbolic changes. @throws BakeError "file-operation" */
export function parseModeChange(text: string): ModeChange {
  if (/^[0-7]{1,5}$/.test(text)) {
    const fixed = Number.parseInt(text, 8) & 0o7777;
    return () => fixed;
  }
  const steps: Step[] = [];
  for (const clause of text.split(",")) {
    const parts = /^([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)$/.exec(clause);
    if (parts === null)
      throw new BakeError(
        "file-operation",
        `invalid mode "${text}": expected octal digits or changes such as "u+x,go-w"`,
      );
    const who = [...(parts[1] === "" ? "a" : (parts[1] ?? ""))].reduce(
      (bits, letter) => bits | (CLASSES[letter] ?? 0),
      0,
    );
    for (const [, operator = "", letters = ""] of (parts[2] ?? "").matchAll(/([-+=])([ugo]|[rwxXst]*)/g))
      steps.push({ who, operator, letters });
  }
  return (mode, isDirectory) =>
    steps.reduce((current, step) => applyStep(current, step, isDirectory), mode & 0o7777);
}

function applyStep(mode: number, { who, operator, letters }: Step, isDirectory: boolean): number {
  const bits = bitsOf(mode, letters, isDirectory) & who;
  switch (operator) {
    case "+":
      return mode | bits;
    case "-":
      return mode & ~bits;
    default:
      // Directories keep their setuid and setgid bits unless these are named.
      return (mode & ~(isDirectory ? who & 0o1777 : who)) | bits;
  }
}

function bitsOf(mode: number, letters: string, isDirectory: boolean): number {
  const shift = SHIFTS[letters];
  if (shift !== undefined) {
    const permissions = (mode >> shift) & 0o7;
    return (permissions << 6) | (permissions << 3) | permissions;
  }
  let bits = 0;
  for (const letter of letters) {
    if (letter === "r") bits |= 0o444;
    else if (letter === "w") bits |= 0o222;
    else if (letter === "x" || (letter === "X" && (isDirectory || (mode & 0o111) !== 0))) bits |= 0o111;
    else if (letter === "s") bits |= 0o6000;
    else if (letter === "t") bits |= 0o1000;
  }
  return bits;
}
