// What a cache takes: small projects that fill it, what the program says of it, and what the disk says.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { bakeOk, baseStage, type Project, target } from "./bake.ts";

export const MIB = 1024 ** 2;

/** A step that leaves some MiB of its own, and one that depends on it. */
export function writeBigStep(project: Project, mebibytes = 2): void {
  project.write("bake.hcl", target("default", `output = ["type=local,dest=out"]`));
  project.write(
    "Dockerfile",
    `${baseStage}
FROM base AS work
ARG X=0
RUN --mount=type=cache,target=/keep dd if=/dev/zero of=/big bs=1M count=${mebibytes} && echo $X > /x && echo $X > /keep/x
RUN cat /x /x > /twice
FROM scratch
COPY --from=work /twice /twice
`,
  );
}

/** What `bake du --format json` prints. */
export interface Usage {
  readonly total: number;
  readonly entries: readonly {
    readonly id: string;
    readonly kind: string;
    readonly size: number;
    readonly parent?: string;
    readonly description?: string;
    readonly inUse: boolean;
    readonly targets: readonly { readonly target: string; readonly file: string }[];
  }[];
}

export async function usage(project: Project): Promise<Usage> {
  return JSON.parse((await bakeOk(["du", "--format", "json"], project)).stdout) as Usage;
}

/** Nothing dangles: each snapshot's parent is there, and no owner is left. */
export async function expectWhole(project: Project): Promise<void> {
  const { entries } = await usage(project);
  const ids = new Set(entries.map(({ id }) => id));
  for (const { parent } of entries)
    assert.ok(parent === undefined || ids.has(parent), `${parent} is missing`);
  // What was killed before it had entered left an empty draft, which is swept when it is a minute old.
  const folder = join(project.root, "owners");
  const owners = existsSync(folder) ? readdirSync(folder).filter(name => !name.startsWith(".new-")) : [];
  assert.deepEqual(owners, []);
}

/**
 * What du(1) says of a folder, in bytes; what vanishes while it looks does not matter, and what moves counts once: with
 * a second folder it remembers each file.
 */
export function diskUsage(path: string): number {
  const { stdout } = spawnSync("du", ["-s", "-x", "--block-size=1", path, "/dev/null"], { encoding: "utf8" });
  return Number(stdout.split("\t")[0]);
}
