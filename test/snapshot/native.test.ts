// Goal: copies keep the promises of snapshots where overlays are not to be had.
import { containerProblem } from "../rig/statedir.ts";
import { snapshotterContract } from "./contract.ts";

// Owners of files need root, mounts do not.
snapshotterContract("native", containerProblem() ?? false);
