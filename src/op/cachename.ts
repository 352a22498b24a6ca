// The name of a cache mount in the state directory: of its folder, its lock and its lease.
import type { Mount } from "../llb/op/exec.ts";
import { digestHex, digestOf } from "../oci/digest.ts";

/** Caches of one id but different sharing are different folders. */
export function cacheName({ cache }: Mount): string {
  return digestHex(digestOf(`${cache?.id ?? ""}\0${cache?.sharing ?? "shared"}`));
}
