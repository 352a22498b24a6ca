// A process that enters a state directory and, once told, is until it is killed what a killed one is for an instant:
// without its byte locks, yet with the lock that tells that it lives. Run by lease.test.ts.
import { closeSync, openSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { openOwner } from "../../src/content/lease.ts";
import { openStateRoot } from "../../src/content/root.ts";

const [path = ""] = process.argv.slice(2);
const root = await openStateRoot(path);
const owner = await openOwner(root);
process.stdout.write(`${owner.name}\n`);
await once(process.stdin, "data");
// Closing a file anywhere drops the process's locks on it.
closeSync(openSync(join(root.path, "claims"), "r"));
process.stdout.write("dying\n");
