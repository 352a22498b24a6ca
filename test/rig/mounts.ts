// What is mounted, as the kernel tells it (proc(5), mountinfo).
import { readFileSync } from "node:fs";

/** Mount points at or below a folder, in the order they were made. */
export function mountsBelow(folder: string): readonly string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map(line =>
      (line.split(" ")[4] ?? "").replace(/\\(\d{3})/g, (_, code: string) =>
        String.fromCharCode(parseInt(code, 8)),
      ),
    )
    .filter(path => path === folder || path.startsWith(`${folder}/`));
}
