// Looks at a path that may be anybody's: below a file, beyond folders that may not be entered, or not there at all.
import { lstatSync, type Stats } from "node:fs";

/** What is at a path, no link followed; undefined when that cannot be told, whatever the reason. */
export function lstatOrNone(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** What is at a path, no link followed; undefined for nothing, also below a file. @throws what else prevents the look */
export function lstatIfThere(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (thrown) {
    if (thrown instanceof Error && "code" in thrown && thrown.code === "ENOTDIR") return undefined;
    throw thrown;
  }
}
