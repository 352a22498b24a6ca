// The configuration of a container that only tries what containers need.
import { join } from "node:path";
import { runtimeConfig, type RuntimeConfig } from "./spec.ts";

/** `bundle` has a folder "rootfs" and a file "empty". */
export function probeConfig(
  bundle: string,
  { program, cgroupsPath }: { readonly program: string; readonly cgroupsPath: string | undefined },
): RuntimeConfig {
  const empty = join(bundle, "empty");
  return runtimeConfig({
    command: { args: [program], env: ["PATH=/"], cwd: "/", user: "", network: "none", insecure: false },
    root: { path: join(bundle, "rootfs"), readonly: false, mounts: [] },
    user: { uid: 0, gid: 0, additionalGids: [] },
    hostname: "probe",
    hostsFile: empty,
    resolvFile: empty,
    cgroupsPath,
    network: { kind: "none" },
  });
}
