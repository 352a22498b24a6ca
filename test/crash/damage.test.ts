// Goal: a damaged file of the state directory costs what it held, never a build nor its result.
// Method: after a build each file but those of users' trees is damaged in turn, in several ways, and the build repeated.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bake, bakeOk, baseStage, type Project, target, tempProject } from "../rig/bake.ts";
import { skipWithoutContainers } from "../rig/engine.ts";
import { readLayout } from "./whole.ts";

function writeProject(project: Project): void {
  project.write(
    "bake.hcl",
    target(
      "default",
      `args = { SOURCE_DATE_EPOCH = "1700000000" }`,
      `output = ["type=local,dest=out", "type=oci,dest=out.tar"]`,
    ),
  );
  project.write("src/one", "one\n");
  utimesSync(join(project.cwd, "src/one"), 1_600_000_000, 1_600_000_000);
  project.write(
    "Dockerfile",
    `${baseStage}
COPY src /src
RUN cat /src/one /src/one > /twice && touch -d @1600000000 /twice
FROM scratch
COPY --from=base /twice /twice
COPY src/one /one
`,
  );
}

/** Files below a folder, but for what users' steps have made. */
function stateFiles(root: string, folder = ""): readonly string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap(entry => {
    const path = join(folder, entry.name);
    if (/^(?:snapshots\/[^/]+\/fs|cache-mounts\/.)/.test(path)) return [];
    return entry.isDirectory() ? stateFiles(root, path) : entry.isFile() ? [path] : [];
  });
}

type Damage = (bytes: Buffer) => Buffer;

const damages: Readonly<Record<string, Damage>> = {
  emptied: () => Buffer.alloc(0),
  "filled with zeros": bytes => Buffer.alloc(Math.max(1, bytes.length)),
  "cut in half": bytes => bytes.subarray(0, bytes.length >> 1),
  "with a bit flipped in the middle": bytes => flipped(bytes, 0.5),
  "with a bit flipped near its start": bytes => flipped(bytes, 0.2),
  "with a bit flipped near its end": bytes => flipped(bytes, 0.9),
};

function flipped(bytes: Buffer, place: number): Buffer {
  const bent = Buffer.from(bytes);
  const index = Math.floor(bent.length * place);
  if (bent.length > 0) bent[index] = (bent[index] ?? 0) ^ 4;
  return bent;
}

/** All ways for every file, or one way for each, another one from day to day. */
const EVERY = process.env["LLBAKE_EVERY_WRITE"] === "1";
const ways = Object.entries(damages);
const today = Math.floor(Date.now() / 86_400_000);

for (const turn of EVERY ? ways.keys() : [today]) {
  const title = EVERY ? `each state file ${ways[turn]?.[0]} in turn` : "each state file damaged in turn";
  test(`${title}: the build goes on, with the right result`, { skip: skipWithoutContainers }, async () => {
    using project = tempProject();
    writeProject(project);
    await bakeOk([], project);
    const digest = readLayout(join(project.cwd, "out.tar"));
    const failures: string[] = [];
    for (const [index, path] of stateFiles(project.root).entries()) {
      const [how, damage] = ways[(turn + (EVERY ? 0 : index)) % ways.length] ?? [
        "",
        (bytes: Buffer) => bytes,
      ];
      const full = join(project.root, path);
      // A half of them, the others tomorrow. Builds that found other damage may have replaced it.
      if ((!EVERY && (index + today) % 2 === 0) || !existsSync(full)) continue;
      const bytes = readFileSync(full);
      writeFileSync(full, damage(bytes));
      for (const name of ["out", "out.tar"])
        rmSync(join(project.cwd, name), { recursive: true, force: true });
      const { exitCode, stderr } = await bake(["--progress=plain"], project);
      if (exitCode !== 0) {
        failures.push(`${path} ${how}: ended with ${exitCode}: ${stderr.split("\n").slice(-6).join("\n")}`);
        writeFileSync(full, bytes);
        continue;
      }
      if (project.read("out/twice") !== "one\none\n") failures.push(`${path} ${how}: another folder`);
      if (readLayout(join(project.cwd, "out.tar")) !== digest) failures.push(`${path} ${how}: another image`);
    }
    assert.deepEqual(failures, []);
  });
}
