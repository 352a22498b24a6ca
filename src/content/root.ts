// The state directory: where everything a build keeps lives, shared by many bake processes without a daemon.
// Immutable things (blobs, snapshots) appear by rename; what is in progress lives under its owner's folder.
import { randomBytes } from "node:crypto";
import { accessSync, constants, existsSync, readFileSync, statSync } from "node:fs";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { BakeError } from "../diagnostic/error.ts";
import { fillBallast, withBallast } from "./ballast.ts";
import { fullDisk, isFull } from "./fulldisk.ts";
import { whileOpen } from "./gate.ts";
import { ONE_OWNER } from "./oneowner.ts";

/** Raised when the layout changes in a way that an older llbake would misread. */
export const LAYOUT_VERSION = 1;

/** The folders of a state directory; all paths are absolute. */
export interface StateRoot {
  readonly path: string;
  /** Content-addressed blobs, one folder per algorithm. */
  readonly blobs: string;
  /** Committed snapshots, one folder each. */
  readonly snapshots: string;
  /** One folder per living process, holding what is transient. */
  readonly owners: string;
  /** Lock files. */
  readonly locks: string;
  /** Append-only logs. */
  readonly journals: string;
  /** Measured facts about this machine that are dear to find out again. */
  readonly facts: string;
}

const FOLDERS = ["blobs", "blobs/sha256", "snapshots", "owners", "locks", "journals", "facts"] as const;
const DRAFT = "version.";

/**
 * Opens a state directory, creating it when it does not exist or is empty.
 * @throws BakeError "state-unusable" when it is something else, cannot be written or has a newer layout
 */
export async function openStateRoot(path: string): Promise<StateRoot> {
  const root = stateFolders(path);
  const base = root.path;
  try {
    if (readVersion(base) === undefined) await makeFolders(base);
    else checkOwner(base);
    await whileOpen(base, () =>
      withBallast(base, async () => {
        const version = readVersion(base);
        if (version === undefined) await create(base);
        else if (isDamaged(version) && (await hasFolders(base))) await writeVersion(base);
        else checkVersion(version, base);
        await probeWritable(base);
      }),
    );
    return root;
  } catch (thrown) {
    throw explain(thrown, base);
  }
}

/** The folders of a state directory, as they are once it was opened. */
export function stateFolders(path: string): StateRoot {
  const base = isAbsolute(path) ? path : resolve(path);
  return {
    path: base,
    blobs: join(base, "blobs"),
    snapshots: join(base, "snapshots"),
    owners: join(base, "owners"),
    locks: join(base, "locks"),
    journals: join(base, "journals"),
    facts: join(base, "facts"),
  };
}

function readVersion(base: string): string | undefined {
  try {
    return readFileSync(join(base, "version"), "utf8");
  } catch (thrown) {
    if (isCode(thrown, "ENOENT")) return undefined;
    throw thrown;
  }
}

/** The number is there twice: when they differ, the file is damaged, not of another layout. */
const VERSION = /^llbake state ([1-9][0-9]*), layout \1\n$/;

function versionText(layout: number): string {
  return `llbake state ${layout}, layout ${layout}\n`;
}

function isDamaged(version: string): boolean {
  return !VERSION.test(version);
}

/** Whether everything else says that a directory is ours: then a damaged version file is no reason to refuse it. */
async function hasFolders(base: string): Promise<boolean> {
  const names = await readdir(base);
  return FOLDERS.every(folder => folder.includes("/") || names.includes(folder));
}

function checkVersion(text: string, base: string): void {
  const version = VERSION.exec(text)?.[1];
  if (version === undefined) {
    throw new BakeError("state-unusable", `the file "version" in state directory "${base}" is damaged`, {
      hint: `choose another state directory, or delete "${base}" to start afresh (only cached results are lost)`,
    });
  }
  if (Number(version) > LAYOUT_VERSION) {
    throw new BakeError(
      "state-unusable",
      `state directory "${base}" was written by a newer llbake (layout ${version}, this one knows ${LAYOUT_VERSION})`,
      { hint: "update llbake, or choose another state directory" },
    );
  }
}

/** Owners of files in it are as its user's ids have them: to another user, root included, they would be others. */
function checkOwner(base: string): void {
  // Taken down just now: it is made anew.
  const version = statSync(join(base, "version"), { throwIfNoEntry: false });
  if (version === undefined || version.uid === process.geteuid?.()) return;
  throw new BakeError(
    "state-unusable",
    `state directory "${base}" belongs to another user (${version.uid})`,
    {
      hint: "run bake as that user, or choose another directory with --root or LLBAKE_ROOT",
    },
  );
}

/** The file is complete when it appears. Of several processes that begin at once each writes the same. */
async function writeVersion(base: string): Promise<void> {
  for (;;) {
    const draft = join(base, DRAFT + randomBytes(6).toString("hex"));
    try {
      await writeFile(draft, versionText(LAYOUT_VERSION), { flag: "wx" });
      return await rename(draft, join(base, "version"));
    } catch (thrown) {
      // Another may have removed the draft, and has then made the file, or is about to.
      if (!isCode(thrown, "ENOENT")) throw thrown;
      if (readVersion(base) !== undefined) return;
    }
  }
}

/** Whoever sees other entries without a version file, which is complete when it appears, is not looking at ours. */
async function create(base: string): Promise<void> {
  const known = ["lost+found", "ballast", ONE_OWNER];
  const foreign = (await readdir(base)).filter(name => !name.startsWith(DRAFT) && !known.includes(name));
  const version = readVersion(base);
  if (version === undefined && foreign.length > 0 && !(await readdir(base)).includes("version")) {
    throw new BakeError("state-unusable", `"${base}" is not a state directory: it has other content in it`, {
      hint: "name an empty or new directory for the build state",
    });
  }
  // Those of processes that were killed right here; one that comes this way now makes its own again.
  for (const name of await readdir(base))
    if (name.startsWith(DRAFT)) await rm(join(base, name), { force: true });
  await fillBallast(base, join(base, DRAFT + randomBytes(6).toString("hex")));
  // Last: whoever is killed before is followed by one that comes this way.
  await writeVersion(base);
}

/** Like mkdir -p. Node's own never ends below /proc, where making a folder fails as if the parent were missing. */
async function makeFolders(path: string): Promise<void> {
  const make = (): Promise<unknown> =>
    mkdir(path, { mode: 0o755 }).catch((thrown: unknown) => {
      if (!isCode(thrown, "EEXIST")) throw thrown;
    });
  try {
    await make();
  } catch (thrown) {
    if (!isCode(thrown, "ENOENT") || dirname(path) === path) throw thrown;
    await makeFolders(dirname(path));
    await make();
  }
}

/** Also completes the folders: another process may still be creating them, or have been killed while doing so. */
async function probeWritable(base: string): Promise<void> {
  for (const folder of FOLDERS) {
    const path = join(base, folder);
    if (existsSync(path)) continue;
    // Steps run as other users must not wander into the state by its path.
    await mkdir(path, { mode: 0o700 }).catch((thrown: unknown) => {
      if (!isCode(thrown, "EEXIST")) throw thrown;
    });
  }
  accessSync(join(base, "owners"), constants.W_OK);
}

function explain(thrown: unknown, base: string): unknown {
  if (thrown instanceof BakeError) return thrown;
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  const known: Readonly<Record<string, readonly [string, string]>> = {
    ENOTDIR: [
      `"${base}" is not a directory`,
      "name a directory for the build state, or remove the file in its place",
    ],
    EEXIST: [
      `"${base}" is not a directory`,
      "name a directory for the build state, or remove the file in its place",
    ],
    EACCES: [
      `no permission to write in "${base}"`,
      `choose another state directory, or change its owner: chown -R "$(id -u)" "${base}"`,
    ],
    EPERM: [
      `no permission to write in "${base}"`,
      `choose another state directory, or change its owner: chown -R "$(id -u)" "${base}"`,
    ],
    EROFS: [`"${base}" is on a read-only file system`, "choose a state directory on a writable disk"],
  };
  const row = known[code];
  if (row)
    return new BakeError("state-unusable", `cannot use state directory: ${row[0]}`, {
      hint: row[1],
      cause: thrown,
    });
  if (isFull(thrown)) return fullDisk({ path: base, isState: true, cause: thrown });
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  return new BakeError("state-unusable", `cannot use state directory "${base}": ${why}`, {
    hint: "name a folder on a disk that you may write to",
    cause: thrown,
  });
}

/** Whether a thrown value is a system error with this code, as "ENOENT". */
export function isCode(thrown: unknown, code: string): boolean {
  return thrown instanceof Error && "code" in thrown && thrown.code === code;
}
