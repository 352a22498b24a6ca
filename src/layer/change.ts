// What one layer does to the tree below it: paths added or altered, and paths removed.

/** `path` is relative, slash-separated, without leading slash. A "delete" removes the lower entry, whole subtree. */
export type Change =
  /** `opaque`: a directory that hides everything the lower tree has under the same path. */
  | { readonly kind: "upsert"; readonly path: string; readonly opaque?: boolean }
  | { readonly kind: "delete"; readonly path: string };
