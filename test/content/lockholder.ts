// A process that takes a lock, says so and holds it until it is killed: run by lock.test.ts.
import { acquireLock } from "../../src/content/lock.ts";
import { openStateRoot } from "../../src/content/root.ts";

const [path = "", key = ""] = process.argv.slice(2);
await acquireLock(await openStateRoot(path), key, undefined);
process.stdout.write("held\n");
setInterval(() => undefined, 1000);
