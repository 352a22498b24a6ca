// What `bake --print` takes: three targets, over an empty Node program, and three thousand targets with inheritance, a
// matrix and functions: `node bench/print.mjs [rounds] [program]`.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { compare, printRow, program, run } from "./measure.mjs";

const rounds = Number(process.argv[2] ?? 21);
const bake = resolve(process.argv[3] ?? program);
const folder = await mkdtemp(join(tmpdir(), "llbake-bench-"));

const head = `variable "TAG" { default = "dev" }
function "image" {
  params = [name]
  result = "example.com/\${lower(name)}:\${TAG}"
}
target "_base" {
  args = { TAG = TAG }
}
`;
const targets = Array.from(
  { length: 1500 },
  (_, i) =>
    `target "t${i}" {\n  inherits = ["_base"]\n  context  = "./t${i}"\n  tags     = [image("t${i}")]\n}\n`,
);
const matrix = `target "m" {
  inherits = ["_base"]
  matrix   = { a = range(30), b = range(50) }
  name     = "m-\${a}-\${b}"
  tags     = [image("m-\${a}-\${b}")]
}
`;
const files = {
  "3 targets": `${head}${targets.slice(0, 3).join("")}group "default" { targets = ["t0", "t1", "t2"] }\n`,
  "3000 targets": `${head}${targets.join("")}${matrix}group "default" { targets = [${targets.map((_, i) => `"t${i}"`).join(", ")}, "m"] }\n`,
};
try {
  for (const [name, text] of Object.entries(files)) {
    const file = join(folder, `${name.replace(" ", "-")}.hcl`);
    await writeFile(file, text);
    const subject = () => run(process.execPath, [bake, "--print", "-f", file], { cwd: folder });
    const bare = () => run(process.execPath, ["-e", "0"], { cwd: folder });
    printRow(`bake --print, ${name}`, await compare(subject, bare, { rounds, warmups: 2 }), "node -e 0");
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
