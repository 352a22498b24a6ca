// `npm run demo [ARGS]`: builds llbake's own bake file with llbake, then says what was made and what to do with it.
import { spawnSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const started = performance.now();
// The base is made of the host's busybox, which lies outside this folder: that takes a grant.
const allow = `--allow=fs.read=${process.env.BUSYBOX_DIR || "/bin"}`;
const { status } = spawnSync(
  process.execPath,
  [join(root, "dist", "cli.js"), allow, ...process.argv.slice(2)],
  {
    cwd: root,
    stdio: "inherit",
  },
);
if (status !== 0) process.exit(status ?? 1);

const made = [
  ["llbake", "the package: out/llbake/bin/bake --help"],
  ["llbake.oci.tar", "an image to look around in: skopeo inspect oci-archive:out/llbake.oci.tar"],
  ["llbake-carrier.oci.tar", "an image with the package alone, for COPY --from"],
];
console.log(
  `\nMade in ${((performance.now() - started) / 1000).toFixed(1)} s; once more takes the cache, and bake.hcl says how:`,
);
for (const [name, what] of made) {
  const path = join(root, "out", name);
  const size = sizeOf(path);
  if (size > 0)
    console.log(
      `  ${relative(root, path).padEnd(28)}${`${(size / 1e6).toFixed(1)} MB`.padStart(8)}  ${what}`,
    );
}

/** Bytes of a file, or of all files of a folder; 0 when there is none. */
function sizeOf(path) {
  const info = statSync(path, { throwIfNoEntry: false });
  if (info === undefined) return 0;
  if (!info.isDirectory()) return info.size;
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0);
}
