// The platform of this machine.
import { type Platform, platformFromNode } from "../oci/platform.ts";
import type { Environment } from "./environment.ts";

export function hostPlatform({ machine }: Environment): Platform {
  return platformFromNode(machine.os, machine.arch);
}
