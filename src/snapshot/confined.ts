// Snapshots for a process that may neither mount them nor see the owners of their files: it can tell what there is, and
// use nothing of it.
import { BakeError } from "../diagnostic/error.ts";
import type { Snapshotter } from "./snapshotter.ts";

/** Whatever needs the content of a snapshot throws. */
export function confineSnapshotter(snapshotter: Snapshotter): Snapshotter {
  const refuse = (): Promise<never> =>
    Promise.reject(new BakeError("mount-failed", "snapshots cannot be opened without the right to mount"));
  return {
    ...snapshotter,
    prepare: refuse,
    view: refuse,
    changes: refuse,
    difference: refuse,
    lay: refuse,
  };
}
