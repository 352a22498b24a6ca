// A process that runs a long step on a snapshot and waits to be killed: run by container.test.ts.
import { openOwner } from "../../src/content/lease.ts";
import { openStateRoot } from "../../src/content/root.ts";
import { createExecutor } from "../../src/executor/container.ts";
import { openSnapshotter } from "../../src/snapshot/open.ts";
import { makeBusyboxRoot } from "../rig/statedir.ts";

const [path = "", runtime = "", seconds = "", cgroupParent = ""] = process.argv.slice(2);
const root = await openStateRoot(path);
const owner = await openOwner(root);
const snapshots = await openSnapshotter(root, owner);
const executor = await createExecutor({ root, owner, runtime });
const base = await snapshots.prepare(undefined);
makeBusyboxRoot(base.root);
const step = await snapshots.prepare(await base.commit());
await executor.run(
  {
    args: ["/bin/sh", "-c", `setsid sleep ${seconds} & echo; wait`],
    env: ["PATH=/bin"],
    cwd: "/",
    user: "",
    network: "default",
    ...(cgroupParent && { cgroupParent }),
    insecure: false,
  },
  { path: step.root, readonly: false, mounts: [] },
  { signal: new AbortController().signal, onOutput: () => process.stdout.write(`${owner.name}\n`) },
);
