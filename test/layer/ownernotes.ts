// Gives files to owners, copies and packs them, and prints the owners in the layer: run by owner.test.ts.
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { copyInto } from "../../src/layer/copytree.ts";
import { loadOwners, setOwner } from "../../src/layer/owner.ts";
import { packTree } from "../../src/layer/pack.ts";
import { readTar } from "../../src/layer/tar.ts";
import { tempDir } from "../rig/tree.ts";

await loadOwners();
using dir = tempDir();
const at = (name: string): string => join(dir.path, name);
mkdirSync(at("tree"));
const give = (name: string, uid: number, gid: number, mode = 0o644): void => {
  writeFileSync(at(`tree/${name}`), name, { mode });
  setOwner(at(`tree/${name}`), uid, gid);
};
give("root", 0, 0);
give("app", 1000, 33);
give("far", 3_000_000, 33);
give("readonly", 5, 6, 0o444);
give("reset", 3_000_000, 6);
setOwner(at("tree/reset"), 0, 0);
give("again", 3_000_000, 6);
setOwner(at("tree/again"), 7, 8);
symlinkSync("root", at("tree/link"));
setOwner(at("tree/link"), 3_000_000, 6);
const copy = (dest: string, owner?: { readonly uid: number; readonly gid: number }): Promise<unknown> =>
  copyInto({
    srcRoot: at("tree"),
    src: "/far",
    destRoot: at("tree"),
    dest,
    followSymlink: false,
    dirCopyContents: false,
    createDestPath: true,
    allowWildcard: false,
    allowEmptyWildcard: false,
    signal: new AbortController().signal,
    ...(owner && { owner }),
  });
await copy("/copied");
await copy("/given", { uid: 12, gid: 34 });

const owners: Record<string, string> = {};
for await (const { header, body } of readTar(packTree({ root: at("tree") }))) {
  owners[header.name] = `${header.uid}:${header.gid}${header.xattrs.length > 0 ? " with attributes" : ""}`;
  for await (const _piece of body);
}
process.stdout.write(JSON.stringify(owners));
