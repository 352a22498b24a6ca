// Goal: a disk that runs full at any phase of a build is told in one clear error, leaves no partial output and no broken
// state, and once there is space again the same build succeeds with the right result.
// Method: the state directory, or the output, on a disk of a few megabytes that a filler file takes up but for less than
// the phase needs. LLBAKE_DISKFULL_MB makes the disk larger, and everything on it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createCipheriv, createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { bake, bakeOk, type BakeOutcome, baseStage, type Project, target, tempProject } from "../rig/bake.ts";
import { skipWithoutContainers } from "../rig/engine.ts";
import { skipWithoutRegistry, startRegistry } from "../rig/registry.ts";
import { type SmallDisk, skipWithoutSmallDisk, smallDisk } from "../rig/smalldisk.ts";

const MIB = 1024 ** 2;
const DISK_MIB = Number(process.env["LLBAKE_DISKFULL_MB"] ?? "64");
/** The size of what a phase writes, against which there is too little space. */
const BIG_MIB = Math.floor(DISK_MIB / 10);
const LESS = (BIG_MIB * MIB) / 2;

/** Bytes that cannot be compressed, the same in each run. */
const noise = createCipheriv("aes-128-ctr", Buffer.alloc(16), Buffer.alloc(16));
const big = noise.update(Buffer.alloc(BIG_MIB * MIB));
const zeros = Buffer.alloc(BIG_MIB * MIB);

interface Phase {
  readonly name: string;
  /** After `baseStage`. */
  readonly dockerfile: string;
  readonly output: (dest: string) => string;
  /** Where the result is, below the project or the small disk; none for what is pushed. */
  readonly dest?: string;
  /** Whether the state directory is on the small disk, or the output. */
  readonly small: "state" | "output" | "neither";
  readonly leaveBytes: number;
  /** What is built before the disk is filled. */
  readonly before?: "base" | "everything";
  readonly says: RegExp;
  /** What the one file of the result holds; the noise when absent. */
  readonly content?: Buffer;
}

const stateFull =
  /^error: no space left on the disk of state directory "[^"]+" \([\d.]+ [MG]iB of [\d.]+ [MG]iB are free now\)/m;
const outputFull =
  /^error: no space left on the disk of "[^"]+" \([\d.]+ [MG]iB of [\d.]+ [MG]iB are free now\)/m;
const stepHint = /the disk of the state directory "[^"]+" was full when the command ended: "bake prune"/;

const local = (dest: string): string => `type=local,dest=${dest}`;
const work = "FROM scratch AS work\nCOPY big /big\nFROM work\n";

const phases: readonly Phase[] = [
  {
    name: "entering",
    dockerfile: work,
    output: local,
    dest: "out",
    small: "state",
    leaveBytes: 0,
    says: stateFull,
  },
  {
    name: "the copy of a context",
    dockerfile: work,
    output: local,
    dest: "out",
    small: "state",
    leaveBytes: LESS,
    says: stateFull,
  },
  {
    name: "a command",
    dockerfile: `FROM base AS work\nRUN dd if=/dev/zero of=/zero bs=1M count=${BIG_MIB}\nFROM scratch\nCOPY --from=work /zero /big\n`,
    content: zeros,
    output: local,
    dest: "out",
    small: "state",
    leaveBytes: LESS,
    before: "base",
    says: stepHint,
  },
  {
    name: "a cache mount",
    dockerfile: `FROM base AS work\nRUN --mount=type=cache,target=/c dd if=/dev/zero of=/c/zero bs=1M count=${BIG_MIB} && echo done > /big\nFROM scratch\nCOPY --from=work /big /big\n`,
    content: Buffer.from("done\n"),
    output: local,
    dest: "out",
    small: "state",
    leaveBytes: LESS,
    before: "base",
    says: stepHint,
  },
  {
    name: "the commit of a snapshot",
    dockerfile: `FROM base AS work\nARG SIZE=${BIG_MIB}\nRUN dd if=/dev/zero of=/zero bs=4k count=$((SIZE * 256)) || true\nFROM scratch\nCOPY --from=work /zero /big\n`,
    content: zeros,
    output: local,
    dest: "out",
    small: "state",
    leaveBytes: LESS,
    before: "base",
    says: stateFull,
  },
  ...["oci", "docker"].map((type): Phase => ({
    name: `packing layers for output type=${type}`,
    dockerfile: work,
    output: dest => `type=${type},dest=${dest}`,
    dest: "image.tar",
    small: "state",
    leaveBytes: LESS,
    before: "everything",
    says: stateFull,
  })),
  ...["oci", "tar", "local"].map((type): Phase => ({
    name: `writing output type=${type} (bk#1305)`,
    dockerfile: work,
    output: dest => `type=${type},dest=${dest}`,
    dest: type === "local" ? "out" : "image.tar",
    small: "output",
    leaveBytes: LESS,
    says: outputFull,
  })),
];

/** A project whose state, or output, is on the small disk. */
function projectOn(
  disk: SmallDisk,
  phase: Pick<Phase, "small" | "dockerfile" | "output" | "dest">,
): Project & {
  readonly dest: string;
} {
  const project = tempProject();
  const root = phase.small === "state" ? join(disk.path, "state") : project.root;
  const folder = phase.small === "output" ? join(disk.path, "results") : join(project.cwd, "results");
  const dest = join(folder, phase.dest ?? "none");
  mkdirSync(folder);
  writeFileSync(join(project.cwd, "big"), big);
  utimesSync(join(project.cwd, "big"), 1_700_000_000, 1_700_000_000);
  const output = `output = ["${phase.output(dest)}"]`;
  const dockerignore = "results\n";
  project.write(".dockerignore", dockerignore);
  project.write(
    "bake.hcl",
    target("default", output) +
      target("everything", `output = ["type=cacheonly"]`) +
      target("base", `target = "base"`, `output = ["type=cacheonly"]`),
  );
  project.write("Dockerfile", `${baseStage}${phase.dockerfile}`);
  return {
    ...project,
    root,
    dest,
    [Symbol.dispose]() {
      rmSync(root, { recursive: true, force: true });
      rmSync(folder, { recursive: true, force: true });
      project[Symbol.dispose]();
    },
  };
}

/** Limits as large as the disk, so that it is the disk that runs full. */
const env = { LLBAKE_CACHE_MAX_SIZE: "1TB", SOURCE_DATE_EPOCH: "1700000000" };

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The result is that of a state directory on a disk with room. */
async function expectRight(dest: string, phase: Phase, disk: SmallDisk): Promise<void> {
  if (!dest.endsWith(".tar")) {
    assert.equal(sha256(readFileSync(join(dest, "big"))), sha256(phase.content ?? big));
    return;
  }
  using reference = projectOn(disk, { ...phase, small: "neither" });
  await bakeOk([], { ...reference, env });
  assert.equal(sha256(readFileSync(dest)), sha256(readFileSync(reference.dest)));
}

function expectFailure({ exitCode, stderr }: BakeOutcome, says: RegExp): void {
  assert.equal(exitCode, 1, stderr);
  assert.match(stderr, says);
  assert.equal(stderr.match(/^error: /gm)?.length, 1, `one error:\n${stderr}`);
  assert.doesNotMatch(stderr, /defect of llbake/);
}

/** Neither the result nor a part of it beside. */
function expectNoOutput(dest: string): void {
  assert.deepEqual(
    readdirSync(dirname(dest)).filter(name => name.includes(basename(dest))),
    [],
  );
}

interface Usage {
  readonly total: number;
  readonly entries: readonly { readonly id: string; readonly kind: string; readonly parent?: string }[];
}

/** `bake du` works and tells of nothing that dangles. */
async function expectSound(project: Project): Promise<void> {
  const { entries } = JSON.parse(
    (await bakeOk(["du", "--format", "json"], { ...project, env })).stdout,
  ) as Usage;
  const ids = new Set(entries.map(({ id }) => id));
  for (const { parent } of entries)
    assert.ok(parent === undefined || ids.has(parent), `${parent} is missing`);
  assert.deepEqual(
    entries.filter(({ kind }) => kind === "active"),
    [],
  );
}

const skip = skipWithoutContainers || skipWithoutSmallDisk;

for (const phase of phases) {
  test(
    `a disk full at ${phase.name}: a clear error, nothing left behind, and success once there is space`,
    { skip },
    async t => {
      using disk = smallDisk(DISK_MIB * MIB);
      t.diagnostic(`the disk: ${DISK_MIB} MiB, ${disk.kind}`);
      using project = projectOn(disk, phase);
      if (phase.before !== undefined) await bakeOk([phase.before], { ...project, env });
      disk.fill(phase.leaveBytes);
      expectFailure(await bake([], { ...project, env }), phase.says);
      expectNoOutput(project.dest);
      disk.fill();
      if (existsSync(join(project.root, "version"))) await expectSound(project);
      disk.drain();
      await bakeOk([], { ...project, env });
      await expectSound(project);
      await expectRight(project.dest, phase, disk);
    },
  );
}

const skipRegistry = skip || skipWithoutRegistry;

test(
  "a disk full at the pull of an image, its extraction or its push: the same",
  { skip: skipRegistry },
  async t => {
    using disk = smallDisk(DISK_MIB * MIB);
    await using registry = await startRegistry();
    const name = `${registry.host}/big:1`;
    const push: Pick<Phase, "small" | "dockerfile" | "output"> = {
      small: "state",
      dockerfile: work,
      output: () => `type=registry,name=${name}`,
    };
    await t.test("push", async () => {
      using project = projectOn(disk, push);
      await bakeOk(["everything"], { ...project, env });
      disk.fill(LESS);
      expectFailure(await bake([], { ...project, env }), stateFull);
      const { status } = await fetch(`http://${registry.host}/v2/big/manifests/1`);
      assert.equal(status, 404, "tags move last");
      disk.drain();
      await bakeOk([], { ...project, env });
      await expectSound(project);
    });
    for (const [what, leaveBytes] of [
      ["download", LESS],
      ["extraction", LESS + BIG_MIB * MIB],
    ] as const) {
      await t.test(what, async () => {
        using project = projectOn(disk, {
          small: "state",
          dockerfile: `FROM ${name} AS from\nFROM scratch\nCOPY --from=from /big /big\n`,
          output: local,
          dest: "out",
        });
        // The state exists, so that only the image is to come.
        await bakeOk(["base"], { ...project, env });
        disk.fill(leaveBytes);
        expectFailure(await bake([], { ...project, env }), stateFull);
        expectNoOutput(project.dest);
        disk.fill();
        await expectSound(project);
        disk.drain();
        await bakeOk([], { ...project, env });
        assert.equal(sha256(readFileSync(join(project.dest, "big"))), sha256(big));
      });
    }
  },
);

test(
  "journals on a disk that is full: the build succeeds, its steps are just not remembered",
  { skip },
  async () => {
    using disk = smallDisk(8 * MIB);
    using project = projectOn(disk, { small: "neither", dockerfile: work, output: local, dest: "out" });
    const root = join(project.cwd, "results", "state");
    await bakeOk(["du"], { ...project, root, env });
    mkdirSync(join(root, "journals"), { recursive: true });
    writeFileSync(join(root, "version"), "llbake state 1, layout 1\n");
    execFileSync("mount", ["--bind", disk.path, join(root, "journals")]);
    try {
      disk.fill();
      const { stderr } = await bakeOk(["--progress=plain"], { ...project, root, env });
      assert.doesNotMatch(stderr, /error/);
      assert.equal(sha256(readFileSync(join(project.dest, "big"))), sha256(big));
      disk.drain();
      await bakeOk([], { ...project, root, env });
      assert.match((await bakeOk([], { ...project, root, env })).stderr, /COPY big \/big\n#\d+ CACHED/);
    } finally {
      execFileSync("umount", ["-l", join(root, "journals")]);
    }
  },
);

test(
  "bk#4218, bk#5459: on a disk that fills up old results make room, so that builds go on and the floor holds",
  { skip },
  async () => {
    using disk = smallDisk(DISK_MIB * MIB);
    const size = Math.floor(DISK_MIB / 5);
    using project = projectOn(disk, {
      small: "state",
      dockerfile: `FROM base AS work\nARG X=0\nRUN dd if=/dev/zero of=/zero bs=1M count=${size} && echo $X > /big\nFROM scratch\nCOPY --from=work /big /big\n`,
      output: local,
      dest: "out",
    });
    const floor = Math.floor(DISK_MIB / 16) * MIB;
    // Six times the disk's fifth: without removing something the fifth would fail.
    for (const x of ["1", "2", "3", "4", "5", "6"]) {
      const { stderr } = await bakeOk(["--set", `*.args.X=${x}`, "--cache-min-free", String(floor)], {
        ...project,
        env,
      });
      assert.doesNotMatch(stderr, /above its limit/);
      assert.ok(disk.freeBytes() >= floor, `${disk.freeBytes()} bytes are free after build ${x}`);
      assert.equal(readFileSync(join(project.dest, "big"), "utf8"), `${x}\n`);
    }
    await expectSound(project);
  },
);
