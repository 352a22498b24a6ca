// A process that takes a claim, says so and holds it until it is killed: run by claims.test.ts.
import { openClaims } from "../../src/content/claims.ts";
import { openOwner } from "../../src/content/lease.ts";
import { openStateRoot } from "../../src/content/root.ts";

const [path = "", key = ""] = process.argv.slice(2);
const root = await openStateRoot(path);
await openClaims(root, await openOwner(root)).take(key);
process.stdout.write("held\n");
setInterval(() => undefined, 1000);
