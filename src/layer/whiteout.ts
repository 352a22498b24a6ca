// Whiteouts: how a layer tar says "removed" (OCI image spec, layer.md "Whiteouts").

const PREFIX = ".wh.";
/** Names beginning so belong to the storage of old AUFS hosts; only the opaque marker has a meaning in a layer. */
const META_PREFIX = ".wh..wh.";
const OPAQUE = ".wh..wh..opq";

export type Whiteout =
  /** The lower entry at `path` is removed. */
  | { readonly kind: "delete"; readonly path: string }
  /** Everything below `path` that lower layers hold is removed. */
  | { readonly kind: "opaque"; readonly path: string }
  /** A leftover without meaning. */
  | { readonly kind: "ignored" };

/** The tar entry that removes `path`. */
export function whiteoutPath(path: string): string {
  const slash = path.lastIndexOf("/");
  return `${path.slice(0, slash + 1)}${PREFIX}${path.slice(slash + 1)}`;
}

/** The tar entry that makes the directory `path` opaque. */
export function opaquePath(path: string): string {
  return path === "" ? OPAQUE : `${path}/${OPAQUE}`;
}

/** Reads a tar entry's path (relative, clean); undefined when it is an ordinary entry. */
export function parseWhiteout(path: string): Whiteout | undefined {
  const slash = path.lastIndexOf("/");
  const base = path.slice(slash + 1);
  if (!base.startsWith(PREFIX)) return undefined;
  const dir = path.slice(0, Math.max(0, slash));
  if (base === OPAQUE) return { kind: "opaque", path: dir };
  if (base.startsWith(META_PREFIX)) return { kind: "ignored" };
  const name = base.slice(PREFIX.length);
  // ".wh..": deleting "." or ".." would empty the tree itself or its parent.
  if (name === "" || name === "." || name === "..") return { kind: "ignored" };
  return { kind: "delete", path: dir === "" ? name : `${dir}/${name}` };
}
