// Large graphs for the benchmarks.
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * Writes a definition of `count` file ops, a binary tree whose leaves make a file and whose other ops copy one from
 * their second input over their first; gives the ops' bytes. `program` is the one beside whose API it is made.
 */
export async function writeGraph(path, count, program) {
  const api = pathToFileURL(join(dirname(program), "llb", "mod.js")).href;
  const { copy, marshal, mkfile, scratch, writeDefinition } = await import(api);
  let level = [];
  const leaves = Math.ceil(count / 2);
  for (let i = 0; i < leaves; i++) level.push(scratch().file(mkfile("/f", 0o644, `content ${i}\n`)));
  for (let made = leaves; level.length > 1;) {
    const next = [];
    for (let i = 0; i < level.length; i += 2) {
      const [left, right] = [level[i], level[i + 1]];
      next.push(right === undefined ? left : left.file(copy(right, "/f", `/g${made++}`)));
    }
    level = next;
  }
  const definition = marshal(level[0], { platform: "linux/amd64" });
  writeFileSync(path, writeDefinition(definition));
  return definition.def;
}
