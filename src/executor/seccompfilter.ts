// The seccomp profile compiled once. Building the filter takes libseccomp longer than the rest of a container's start;
// crun takes one that is built (annotation run.oci.seccomp_bpf_data of crun(1)) and leaves the one it built itself in
// the state of a container.
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { rememberFact } from "../content/facts.ts";
import type { Owner } from "../content/lease.ts";
import type { StateRoot } from "../content/root.ts";
import { ownerCgroup, removeCgroups } from "../content/cgroups.ts";
import type { Runtime } from "./runtime.ts";
import { probeConfig } from "./probeconfig.ts";
import type { RuntimeConfig } from "./spec.ts";

const ANNOTATION = "run.oci.seccomp_bpf_data";

const run = promisify(execFile);

const TIMEOUT_MS = 10_000;

/** A configuration with the filter in the place of the profile it was compiled of. */
export type WithFilter = (config: RuntimeConfig) => RuntimeConfig;

/** How to put in the compiled filter; as it is where the runtime takes none. Remembered until the runtime changes. */
export async function compileSeccomp(root: StateRoot, owner: Owner, runtime: Runtime): Promise<WithFilter> {
  const unchanged: WithFilter = config => config;
  const binary = runtime.args.find(word => word.startsWith("/")) ?? runtime.file;
  if (!runtime.label.startsWith("crun ")) return unchanged;
  const cgroupsPath = runtime.hasCgroups ? `/${join(ownerCgroup(owner.name), "seccomp")}` : undefined;
  const profile = seccompOf(probeConfig("", { program: "/probe", cgroupsPath }));
  const key = ["seccomp 1", runtime.label, binary, String((await stat(binary)).mtimeMs), profile].join("\n");
  const digest = createHash("sha256").update(key).digest("hex");
  const { filter } = await rememberFact(root, owner, `seccomp filter ${digest}`, decode, async () => ({
    filter: await compile(owner, runtime, binary, cgroupsPath).catch(() => ""),
  }));
  if (filter === "") return unchanged;
  return config => {
    // Only what was compiled is replaced.
    if (seccompOf(config) !== profile) return config;
    const { seccomp: _profile, ...linux } = config["linux"] as Readonly<Record<string, unknown>>;
    return { ...config, linux, annotations: { [ANNOTATION]: filter } };
  };
}

function seccompOf(config: RuntimeConfig): string {
  return JSON.stringify((config["linux"] as { readonly seccomp?: unknown }).seccomp);
}

/** The filter in base64; "" where the runtime would not look at it. */
async function compile(
  owner: Owner,
  runtime: Runtime,
  binary: string,
  cgroupsPath: string | undefined,
): Promise<string> {
  if (!(await readFile(binary)).includes(ANNOTATION)) return "";
  const bundle = owner.newPath("bundles");
  const id = `${owner.name}-seccomp`;
  const args = [...runtime.args, "--root", join(owner.path, "runtime")];
  await mkdir(join(bundle, "rootfs"), { recursive: true });
  try {
    await writeFile(join(bundle, "empty"), "");
    // It never runs, but has to be a program.
    await writeFile(join(bundle, "rootfs", "probe"), "", { mode: 0o755 });
    const config = probeConfig(bundle, { program: "/probe", cgroupsPath });
    await writeFile(join(bundle, "config.json"), JSON.stringify(config));
    await create(runtime.file, [...args, "create", "--bundle", bundle, id]);
    const filter = await readFile(join(owner.path, "runtime", id, "seccomp.bpf"));
    return filter.toString("base64");
  } finally {
    await run(runtime.file, [...args, "delete", "--force", id], { timeout: TIMEOUT_MS }).catch(
      () => undefined,
    );
    await rm(bundle, { recursive: true, force: true });
    if (cgroupsPath !== undefined) await removeCgroups(cgroupsPath);
  }
}

/** The container that waits to be started holds the streams of whoever creates it, so it gets none. */
function create(file: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: "ignore", timeout: TIMEOUT_MS, killSignal: "SIGKILL" });
    child.once("error", reject);
    child.once("exit", code => {
      if (code === 0) resolve();
      else reject(new Error(`create ended with ${code ?? "a signal"}`));
    });
  });
}

function decode(value: unknown): { readonly filter: string } | undefined {
  const { filter } = (typeof value === "object" && value !== null ? value : {}) as {
    readonly filter?: unknown;
  };
  return typeof filter === "string" ? { filter } : undefined;
}
