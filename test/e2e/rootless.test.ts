// Goal: what an ordinary user gets is what root gets, as far down the ladder as that goes (docs/rootless.md); and where
// it does not, one line says so, with the command that changes it. Method: the built program as a user of its own.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chownSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  bake,
  type BakeOptions,
  bakeOk,
  baseStage,
  type Project,
  startBake,
  target,
  tempProject,
} from "../rig/bake.ts";
import { findOrdinaryUser, namespaceProblem, type OrdinaryUser } from "../rig/user.ts";

const found = findOrdinaryUser();
const user: OrdinaryUser | undefined = typeof found === "string" ? undefined : found;
const asUser = { skip: typeof found === "string" ? found : (namespaceProblem(found) ?? false) };
const withRanges = {
  skip: asUser.skip || (user?.hasRanges === true ? false : `no ids are set aside for "${user?.name}"`),
};

/** A project that belongs to the user, and how to run `bake` in it as that one. */
function userProject(): Project & { readonly as: BakeOptions } {
  const project = tempProject();
  const top = join(project.cwd, "..");
  mkdirSync(join(top, "home"));
  const own = (path: string): void => {
    if (user !== undefined && process.geteuid?.() === 0) chownSync(path, user.uid, user.gid);
  };
  for (const path of [top, project.cwd, join(top, "home")]) own(path);
  const env = { HOME: join(top, "home") };
  return {
    ...project,
    write(path, text) {
      project.write(path, text);
      own(join(project.cwd, path));
    },
    as: { cwd: project.cwd, root: project.root, env, ...(user && { user }) },
  };
}

/** A folder of programs to be the PATH: all there are, but for some. */
function pathWithout(folder: string, missing: readonly string[]): string {
  mkdirSync(folder);
  for (const from of ["/usr/bin", "/usr/sbin"])
    for (const name of readdirSync(from))
      if (!missing.includes(name) && !existsSync(join(folder, name)))
        symlinkSync(join(from, name), join(folder, name));
  return folder;
}

const OWNERS = `${baseStage}
RUN mkdir /d && echo x > /d/f && chown 33:44 /d/f && chmod 700 /d && chown 1000:1000 /d
COPY --chown=12:34 file /copied
RUN --mount=type=cache,target=/cache,uid=7 id -u > /cache/who && chown 9 /cache/who
USER 1000:1001
RUN id > /tmp/who
`;

test("an ordinary user's image is root's, digest for digest", withRanges, async () => {
  using project = userProject();
  project.write("file", "of the context\n");
  const untouched = ["/proc", "/sys", "/dev", "/etc/"].map(path => `! -path '${path}*'`).join(" ");
  const sameTimes = `USER 0\nRUN find / -xdev ${untouched} -exec touch -h -d @1700000000 {} +\n`;
  project.write(
    "Dockerfile",
    `${OWNERS.replace("ENV PATH", "RUN /bin/mkdir -m 1777 /tmp\nENV PATH")}${sameTimes}FROM scratch\nCOPY --from=base / /\n`,
  );
  project.write("bake.hcl", target("default", `output = ["type=oci,dest=image.tar"]`));
  const env = { ...project.as.env, SOURCE_DATE_EPOCH: "1700000000" };
  await bakeOk(["--progress=plain"], { ...project.as, env });
  assert.equal(lstatSync(join(project.cwd, "image.tar")).uid, user?.uid);
  const ours = indexOf(project, "image.tar");
  if (process.geteuid?.() !== 0) return;
  await bakeOk([], { ...project.as, env, root: `${project.root}-of-root`, user: { uid: 0, gid: 0 } });
  assert.equal(indexOf(project, "image.tar"), ours);
});

test("a folder output is the user's own, and prune leaves nothing of anybody", withRanges, async () => {
  using project = userProject();
  project.write("file", "of the context\n");
  project.write("Dockerfile", OWNERS.replace("USER 1000:1001\nRUN id > /tmp/who\n", ""));
  project.write("bake.hcl", target("default", `output = ["type=local,dest=out"]`));
  await bakeOk(["--progress=plain"], project.as);
  const others = execFileSync("find", ["out", "!", "-uid", String(user?.uid)], {
    cwd: project.cwd,
  }).toString();
  assert.equal(others, "");
  assert.equal(project.read("out/d/f"), "x\n");
  const du = await bakeOk(["du"], project.as);
  assert.match(du.stdout, /cache-mount/);
  await bakeOk(["prune", "--all"], project.as);
  const left = existsSync(project.root) ? execFileSync("find", [project.root, "-type", "f"]).toString() : "";
  assert.equal(left, "");
});

test("what is cached needs no namespace", asUser, async () => {
  using project = userProject();
  project.write("Dockerfile", `${baseStage}RUN echo made > /made\n`);
  project.write("bake.hcl", target("default", `output = ["type=oci,dest=image.tar"]`));
  await bakeOk(["--progress=plain"], project.as);
  // It does not come far enough to miss anything.
  const env = {
    ...project.as.env,
    PATH: pathWithout(join(project.cwd, "../bin"), ["unshare", "crun", "runc", "sh"]),
  };
  for (const args of [["--progress=plain"], ["plan"], ["explain"], ["--print"]]) {
    const { stderr } = await bakeOk(args, { ...project.as, env });
    assert.doesNotMatch(stderr, /note: /);
  }
});

test("nothing of how the program was started reaches steps", asUser, async () => {
  using project = userProject();
  project.write("Dockerfile", `${baseStage}RUN env; cat /proc/self/environ\n`);
  project.write("bake.hcl", target("default"));
  const { stderr } = await bakeOk(["--progress=plain"], project.as);
  assert.doesNotMatch(stderr, /LLBAKE_ENTERED|\/home/);
});

test("the note of being in a namespace grants nothing", asUser, async () => {
  using project = userProject();
  project.write("Dockerfile", `${baseStage}RUN true\n`);
  project.write("bake.hcl", target("default"));
  const env = { ...project.as.env, LLBAKE_ENTERED: "ranges:/" };
  const { exitCode, stderr } = await bake(["--progress=plain"], { ...project.as, env });
  assert.equal(exitCode, 1);
  assert.match(stderr, /bake doctor/);
});

test("a bake file on standard input is read once", asUser, async () => {
  using project = userProject();
  const input = `target "default" {
    dockerfile-inline = "FROM scratch\\nCOPY file /"
    output = ["type=tar,dest=-"]
  }`;
  project.write("file", "of the context\n");
  const { stdout } = await bakeOk(["--progress=quiet", "-f", "-"], { ...project.as, input });
  assert.match(stdout, /of the context/);
});

test(
  "with a single id steps run as root alone, and the line that says so has the remedy",
  asUser,
  async () => {
    using project = userProject();
    project.write("file", "of the context\n");
    project.write("Dockerfile", `${baseStage}RUN id -u > /who\nFROM scratch\nCOPY --from=base /who /\n`);
    project.write("bake.hcl", target("default", `output = ["type=local,dest=out"]`));
    const env = { ...project.as.env, PATH: pathWithout(join(project.cwd, "../bin"), ["newuidmap"]) };
    const { stderr } = await bakeOk(["--progress=plain"], { ...project.as, env });
    assert.equal(project.read("out/who"), "0\n");
    assert.match(stderr, /^note: .*newuidmap is not installed.* fix: sudo .*uidmap|shadow/m);
    const again = await bakeOk(["--progress=plain", "--no-cache"], { ...project.as, env });
    assert.equal(again.stderr.match(/one id only/g)?.length ?? 0, 1, again.stderr);
    const cached = await bakeOk(["--progress=plain"], { ...project.as, env });
    assert.doesNotMatch(cached.stderr, /one id only/, "what is cached needs no rights");
    assert.equal(project.read("out/who"), "0\n");

    project.write("Dockerfile", `${baseStage}USER 1000\nRUN true\n`);
    const failed = await bake(["--progress=plain"], { ...project.as, env });
    assert.equal(failed.exitCode, 1);
    assert.match(failed.stderr, /cannot run as user 1000[^]*bake doctor/);

    const doctor = await bakeOk(["doctor"], { ...project.as, env });
    assert.match(doctor.stdout, /^note {2}user .*one id[^]*fix: sudo/m);
  },
);

test(
  "with a single id, or none, images of many owners are built upon, and keep them",
  withRanges,
  async () => {
    using project = userProject();
    project.write("file", "of the context\n");
    project.write("Dockerfile", OWNERS.replace("RUN id > /tmp/who\n", ""));
    const layout = `output = ["type=oci,dest=layout,tar=false"]`;
    project.write("bake.hcl", target("default", layout));
    await bakeOk(["--progress=plain"], project.as);
    const layersOf = (folder: string): readonly string[] => {
      const read = (path: string): { readonly [key: string]: { readonly digest: string }[] } =>
        JSON.parse(readFileSync(join(project.cwd, folder, path), "utf8")) as never;
      const digest = read("index.json")["manifests"]?.[0]?.digest ?? "";
      return (read(`blobs/${digest.replace(":", "/")}`)["layers"] ?? []).map(layer => layer.digest);
    };
    const base = layersOf("layout");
    for (const missing of ["newuidmap", "unshare"]) {
      project.write(`${missing}.Dockerfile`, "FROM base\nCOPY --chown=5:6 file /more\n");
      project.write(
        "bake.hcl",
        `target "default" {
        dockerfile = "${missing}.Dockerfile"
        contexts = { base = "oci-layout://layout" }
        output = ["type=oci,dest=${missing},tar=false", "type=tar,dest=${missing}.tar"]
      }`,
      );
      const env = {
        ...project.as.env,
        PATH: pathWithout(join(project.cwd, `../without-${missing}`), [missing]),
      };
      await bakeOk(["--progress=plain"], { ...project.as, env });
      assert.deepEqual(layersOf(missing).slice(0, -1), base);
      const listing = execFileSync("tar", ["--numeric-owner", "-tvf", `${missing}.tar`], {
        cwd: project.cwd,
      });
      assert.match(listing.toString(), /^\S+ 12\/34 .* copied$/m);
      assert.match(listing.toString(), /^\S+ 1000\/1000 .* d\/$/m);
      assert.match(listing.toString(), /^\S+ 33\/44 .* d\/f$/m);
      assert.match(listing.toString(), /^\S+ 5\/6 .* more$/m);
    }
  },
);

test("without namespaces files can be put together; RUN is refused with the remedy", asUser, async () => {
  using project = userProject();
  project.write("file", "of the context\n");
  project.write(
    "Dockerfile",
    "FROM scratch AS files\nCOPY file /a/\nCOPY file /b/\nFROM files AS run\nRUN true\n",
  );
  project.write(
    "bake.hcl",
    `${target("default", `target = "files"`, `output = ["type=tar,dest=out.tar"]`)}${target("run")}`,
  );
  const env = { ...project.as.env, PATH: pathWithout(join(project.cwd, "../bin"), ["unshare"]) };
  const { stderr } = await bakeOk(["--progress=plain"], { ...project.as, env });
  assert.match(stderr, /^note: .*unshare is not installed/m);
  const listing = execFileSync("tar", ["--numeric-owner", "-tvf", "out.tar"], {
    cwd: project.cwd,
  }).toString();
  assert.match(listing, /^-\S+ 0\/0 .* a\/file$/m);
  const failed = await bake(["--progress=plain", "run"], { ...project.as, env });
  assert.equal(failed.exitCode, 1);
  assert.match(failed.stderr, /Dockerfile:5:1[^]*bake doctor/);
  const doctor = await bake(["doctor"], { ...project.as, env });
  assert.equal(doctor.exitCode, 1);
  assert.match(doctor.stdout, /^FAIL {2}user .*unshare is not installed/m);
});

test("the state directory of another user is refused", asUser, async () => {
  using project = userProject();
  project.write("Dockerfile", `${baseStage}RUN true\n`);
  project.write("bake.hcl", target("default"));
  if (process.geteuid?.() === 0) {
    await bakeOk([], project.as);
    const asRoot = await bake([], { ...project.as, user: { uid: 0, gid: 0 } });
    assert.equal(asRoot.exitCode, 1);
    assert.match(asRoot.stderr, /belongs to another user[^]*--root/);
  }
  const { exitCode, stderr } = await bake([], { ...project.as, root: "/var/lib/llbake-test-state" });
  assert.equal(exitCode, 1);
  assert.match(stderr, /permission/);
});

test("a killed build's steps, run as others, are gone when the next one has begun", withRanges, async () => {
  using project = userProject();
  const marker = randomUUID();
  project.write("bake.hcl", target("default", `output = ["type=local,dest=out"]`));
  project.write(
    "Dockerfile",
    `${baseStage}RUN mkfifo -m 666 /${marker}\nUSER 33\nRUN echo ready && cat /${marker}\n`,
  );
  await using running = startBake(["--progress=plain"], project.as);
  await running.saw(/^#\d+ [\d.]+ ready$/m);
  assert.equal(processesWith(marker) > 0, true, "the step runs");
  running.kill("SIGKILL");
  await running.outcome;
  project.write("Dockerfile", `FROM scratch\nCOPY bake.hcl /\n`);
  await bakeOk([], project.as);
  assert.equal(processesWith(marker), 0);
  assert.deepEqual(readdirSync(join(project.root, "owners")), []);
});

test("Ctrl-C reaches the step and ends the build with 130", asUser, async () => {
  using project = userProject();
  const marker = randomUUID();
  project.write("bake.hcl", target("default"));
  project.write("Dockerfile", `${baseStage}RUN mkfifo /${marker} && echo ready && cat /${marker}\n`);
  await using running = startBake(["--progress=plain"], project.as);
  await running.saw(/^#\d+ [\d.]+ ready$/m);
  running.kill("SIGINT");
  const { exitCode } = await running.outcome;
  assert.equal(exitCode, 130);
  assert.equal(processesWith(marker), 0);
});

/** The index of an OCI archive, with the digest of the image. */
function indexOf({ cwd }: Project, archive: string): string {
  return execFileSync("tar", ["-xOf", archive, "index.json"], { cwd }).toString();
}

/** Processes, other than this one, with a text in their command line. */
function processesWith(text: string): number {
  return readdirSync("/proc").filter(pid => {
    if (!/^\d+$/.test(pid) || pid === String(process.pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(text);
    } catch {
      return false;
    }
  }).length;
}
