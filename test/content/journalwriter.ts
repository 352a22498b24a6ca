// A process that appends to a log: run by journal.test.ts with the state directory, a name and a count.
import { openJournal } from "../../src/content/journal.ts";
import { openOwner } from "../../src/content/lease.ts";
import { openStateRoot } from "../../src/content/root.ts";

const [path = "", name = "", count = ""] = process.argv.slice(2);
const root = await openStateRoot(path);
await using owner = await openOwner(root);
const journal = openJournal(root, owner, "test", {
  encode: (record: string) => record,
  decode: () => undefined,
});
for (let i = 0; i < Number(count); i++) await journal.append(`${name}${i}`);
