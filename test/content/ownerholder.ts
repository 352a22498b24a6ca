// A process that enters a state directory, holds a mounted snapshot and waits to be killed: run by lease.test.ts.
import { openOwner } from "../../src/content/lease.ts";
import { openStateRoot } from "../../src/content/root.ts";
import { openSnapshotter } from "../../src/snapshot/open.ts";

const [path = ""] = process.argv.slice(2);
const root = await openStateRoot(path);
const owner = await openOwner(root);
const snapshots = await openSnapshotter(root, owner);
const base = await (await snapshots.prepare(undefined)).commit();
// Mounted when first asked for.
const { root: mounted } = await snapshots.prepare(base);
if (mounted === "") throw new Error("a tree without a path");
process.stdout.write(`${owner.name}\n`);
setInterval(() => undefined, 1000);
