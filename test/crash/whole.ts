// Whether what is there is whole: image layouts, tags of a registry, and what `bake du` says of a state directory.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";

/** The digest of the image in an OCI archive, all of whose blobs are there and are what they are called. */
export function readLayout(archive: string): string {
  const names = tar(["-tf", archive]).toString().split("\n").filter(Boolean);
  for (const name of names) {
    const hex = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(name)?.[1];
    if (hex !== undefined && sha256(tar(["-xOf", archive, name])) !== hex)
      throw new Error(`${archive}: the blob ${hex} has other content`);
  }
  const read = (name: string): unknown => JSON.parse(tar(["-xOf", archive, name]).toString());
  const { manifests } = read("index.json") as { readonly manifests: readonly { readonly digest: string }[] };
  const digest = manifests[0]?.digest ?? "";
  for (const needed of blobsOf(digest, blob => read(blobPath(blob))))
    if (!names.includes(blobPath(needed))) throw new Error(`${archive}: the blob ${needed} is missing`);
  return digest;
}

function blobPath(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}

interface ManifestOrIndex {
  readonly manifests?: readonly { readonly digest: string }[];
  readonly config?: { readonly digest: string };
  readonly layers?: readonly { readonly digest: string }[];
}

/** A document and everything below it. */
function blobsOf(digest: string, read: (digest: string) => unknown): readonly string[] {
  const { manifests = [], config, layers = [] } = read(digest) as ManifestOrIndex;
  return [
    digest,
    ...manifests.flatMap(inner => blobsOf(inner.digest, read)),
    ...(config === undefined ? [] : [config.digest]),
    ...layers.map(layer => layer.digest),
  ];
}

function tar(args: readonly string[]): Buffer {
  return execFileSync("tar", args, { maxBuffer: 1 << 28 });
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The digest that a tag names, all of whose blobs the registry has; undefined when there is no such tag. */
export async function registryTag(image: string): Promise<string | undefined> {
  const [, host = "", repository = "", tag = ""] = /^([^/]+)\/(.*):([^:]*)$/.exec(image) ?? [];
  const base = `http://${host}/v2/${repository}`;
  const accept = ["manifest.v1", "index.v1"].map(kind => `application/vnd.oci.image.${kind}+json`).join(", ");
  const manifest = async (name: string): Promise<Buffer | undefined> => {
    const response = await fetch(`${base}/manifests/${name}`, { headers: { accept } });
    const body = Buffer.from(await response.arrayBuffer());
    return response.ok ? body : undefined;
  };
  const head = await manifest(tag);
  if (head === undefined) return undefined;
  const check = async (document: Buffer): Promise<void> => {
    const { manifests = [], config, layers = [] } = JSON.parse(document.toString()) as ManifestOrIndex;
    for (const { digest } of manifests) {
      const inner = await manifest(digest);
      if (inner === undefined) throw new Error(`the registry lacks the manifest ${digest} of ${image}`);
      await check(inner);
    }
    for (const { digest } of [...(config === undefined ? [] : [config]), ...layers]) {
      const response = await fetch(`${base}/blobs/${digest}`, { method: "HEAD" });
      if (!response.ok) throw new Error(`the registry lacks the blob ${digest} of ${image}`);
    }
  };
  await check(head);
  return `sha256:${sha256(head)}`;
}

/** What `du` writes itself: the sizes it measured, and the folder of its own process. */
const DU_TOLERANCE_BYTES = 256 * 1024;

interface Usage {
  readonly total: number;
  readonly entries: readonly {
    readonly id: string;
    readonly kind: string;
    readonly size: number;
    readonly parent?: string;
  }[];
}

/** What `bake du --format json` said is what is on disk, and nothing in it dangles. @throws Error */
export function expectConsistent(root: string, text: string): void {
  const { total, entries } = JSON.parse(text) as Usage;
  const sum = entries.reduce((bytes, { size }) => bytes + size, 0);
  if (sum !== total) throw new Error(`du: the total is ${total}, the entries are ${sum} bytes`);
  const ids = new Set(entries.filter(({ kind }) => kind === "snapshot").map(({ id }) => id));
  for (const { id, parent } of entries)
    if (parent !== undefined && !ids.has(parent))
      throw new Error(`du: ${id} builds upon ${parent}, which is not there`);
  const folders = readdirSync(join(root, "snapshots")).sort();
  if ([...ids].sort().join() !== folders.join())
    throw new Error(`du: tells of the snapshots ${[...ids].sort().join()}, there are ${folders.join()}`);
  const measure = (...flags: readonly string[]): number =>
    Number(
      execFileSync("du", ["-s", "--block-size=1", ...flags, root])
        .toString()
        .split("\t")[0],
    );
  // A file that several snapshots share may be counted in each.
  const [least, most] = [measure(), measure("--count-links")];
  if (total < least - DU_TOLERANCE_BYTES || total > most + DU_TOLERANCE_BYTES)
    throw new Error(`du: tells of ${total} bytes, du(1) of ${least} to ${most}`);
}
