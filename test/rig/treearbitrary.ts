// Random trees for property tests: few names, so that two trees often share paths with other kinds of entries.
import fc from "fast-check";
import { isRoot, type Node, type Tree } from "./tree.ts";

const name = fc.constantFrom("a", "b", "c", "é", "x.wh.y", "long-".repeat(25));
const owners = isRoot ? fc.constantFrom(0, 7) : fc.constant(undefined);
const xattrs = fc.option(fc.constantFrom({ "user.one": "1" }, { "user.one": "\xff\0\n=", "user.two": "" }), {
  nil: undefined,
  freq: 4,
});
const fileMode = fc.constantFrom(0o644, 0o600, 0o4755);

function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as T;
}

const file = fc.record({
  kind: fc.constant("file" as const),
  data: fc.constantFrom("", "1", "2", "x".repeat(5000)),
  mode: fileMode,
  uid: owners,
  xattrs,
  mtime: fc.constantFrom(1_000_000_000, 1_500_000_000),
});
const leaf = fc.oneof(
  { weight: 5, arbitrary: file },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("symlink" as const),
      target: fc.constantFrom("a", "../b", "/c", "missing/x"),
      uid: owners,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("fifo" as const), mode: fc.constantFrom(0o644, 0o600) }),
  },
);

type Shape = { readonly node: unknown; readonly children?: Readonly<Record<string, Shape>> };

const shape = fc.letrec<{ tree: Readonly<Record<string, Shape>> }>(tie => ({
  tree: fc.dictionary(
    name,
    fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      leaf.map((node): Shape => ({ node })),
      fc
        .record({ mode: fc.constantFrom(0o755, 0o700, 0o1777), uid: owners, xattrs, children: tie("tree") })
        .map(({ children, ...meta }): Shape => ({
          node: { kind: "dir", ...meta, mtime: 1_200_000_000 },
          children,
        })),
    ),
    { maxKeys: 4 },
  ),
})).tree;

/** A random tree; some files have second names. */
export const treeArbitrary: fc.Arbitrary<Tree> = fc
  .tuple(shape, fc.array(fc.nat(20), { maxLength: 2 }))
  .map(([top, links]) => {
    const entries: [string, Node][] = [];
    const visit = (children: Readonly<Record<string, Shape>>, prefix: string): void => {
      for (const key of Object.keys(children).sort()) {
        const inner = children[key];
        if (inner === undefined) continue;
        entries.push([prefix + key, defined(inner.node as Node)]);
        if (inner.children !== undefined) visit(inner.children, `${prefix}${key}/`);
      }
    };
    visit(top, "");
    const files = entries.filter(([, node]) => node.kind === "file").map(([path]) => path);
    for (const [index, pick] of links.entries()) {
      const to = files[pick % Math.max(1, files.length)];
      if (to !== undefined) entries.push([`link${index}`, { kind: "link", to }]);
    }
    return Object.fromEntries(entries);
  });
