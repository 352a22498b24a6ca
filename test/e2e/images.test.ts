// Images in and out, with skopeo and a real registry as the other side.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { utimesSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bakeOk, baseStage, executedSteps, type Project, stepsOf, target, tempProject } from "../rig/bake.ts";
import { skipWithoutRegistry, skipWithoutSkopeo, startRegistry } from "../rig/registry.ts";

const skip = skipWithoutRegistry || skipWithoutSkopeo;

interface Inspected {
  readonly Digest: string;
  readonly Layers: readonly string[];
  readonly Labels: Readonly<Record<string, string>> | null;
}

interface Config {
  readonly architecture: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly rootfs: { readonly diff_ids: readonly string[] };
  readonly history: readonly { readonly created_by?: string; readonly empty_layer?: boolean }[];
}

function skopeo(...args: readonly string[]): string {
  return execFileSync("skopeo", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

const inspect = (image: string): Inspected =>
  JSON.parse(skopeo("inspect", "--tls-verify=false", image)) as Inspected;
const configOf = (image: string): Config =>
  JSON.parse(skopeo("inspect", "--tls-verify=false", "--config", image)) as Config;

/** An image with every instruction that ends in its config. */
function writeApp(project: Project, ...lines: readonly string[]): void {
  project.write("bake.hcl", target("default", ...lines));
  project.write("start.sh", "echo started\n");
  project.write(
    "Dockerfile",
    `${baseStage}
FROM base
ENV MODE=production NAME="a b"
LABEL org.opencontainers.image.title="an app" stage=last
WORKDIR /srv
COPY start.sh .
RUN echo built > result && rm /bin/wget
EXPOSE 8080/tcp 53/udp
VOLUME /data
USER 1000:1000
STOPSIGNAL SIGINT
ENTRYPOINT ["sh"]
CMD ["/srv/start.sh"]
`,
  );
}

const appConfig = {
  Env: ["PATH=/bin", "MODE=production", "NAME=a b"],
  Labels: { "org.opencontainers.image.title": "an app", stage: "last" },
  WorkingDir: "/srv",
  ExposedPorts: { "53/udp": {}, "8080/tcp": {} },
  Volumes: { "/data": {} },
  User: "1000:1000",
  StopSignal: "SIGINT",
  Entrypoint: ["sh"],
  Cmd: ["/srv/start.sh"],
  // BuildKit sets it with every CMD.
  ArgsEscaped: true,
};

for (const type of ["oci", "docker"]) {
  test(
    `skopeo reads the ${type} archive as the image that was described`,
    { skip: skipWithoutSkopeo },
    async () => {
      using project = tempProject();
      writeApp(project, `tags = ["example.test/app:1"]`, `output = ["type=${type},dest=out/app.tar"]`);
      await bakeOk([], project);
      const image = `${type}-archive:${join(project.cwd, "out/app.tar")}`;
      const { config, history, rootfs } = configOf(image);
      assert.deepEqual(config, appConfig);
      assert.equal(history.filter(entry => entry.empty_layer !== true).length, rootfs.diff_ids.length);
      // A copy makes skopeo check every digest and size there is.
      skopeo("copy", image, `dir:${join(project.cwd, "copy")}`);
    },
  );
}

test("the layers hold the files, and a deleted file stays deleted", { skip: skipWithoutSkopeo }, async () => {
  using project = tempProject();
  writeApp(project, `output = ["type=oci,dest=out/app.tar"]`, `tags = ["app:1"]`);
  await bakeOk([], project);
  skopeo("copy", `oci-archive:${join(project.cwd, "out/app.tar")}`, `dir:${join(project.cwd, "copy")}`);
  const layers = inspect(`dir:${join(project.cwd, "copy")}`).Layers;
  const entries = layers.flatMap(digest =>
    execFileSync("tar", ["tzf", join(project.cwd, "copy", digest.replace("sha256:", ""))], {
      encoding: "utf8",
    }).split("\n"),
  );
  for (const path of ["bin/busybox", "bin/sh", "srv/start.sh", "srv/result", "bin/.wh.wget"]) {
    assert.ok(entries.includes(path), `${path} is in a layer`);
  }
});

test("rewrite-timestamp: files are no newer than SOURCE_DATE_EPOCH, but for the base image's; builds at any time are one image", async () => {
  using project = tempProject();
  const at = (path: string, seconds: number): void => utimesSync(join(project.cwd, path), seconds, seconds);
  const epoch = 1_500_000_000;
  project.write("base/file", "of the base\n");
  project.write("base/Dockerfile", "FROM scratch\nCOPY file /base\n");
  project.write("Dockerfile", "FROM base\nCOPY old new /\nWORKDIR /made\n");
  for (const name of ["old", "new"]) project.write(name, `${name}\n`);
  at("old", epoch - 1000);
  project.write(
    "bake.hcl",
    `target "base" {
      context = "base"
      output = ["type=oci,tar=false,dest=layout"]
    }
    target "default" {
      contexts = { base = "oci-layout://layout" }
      args = { SOURCE_DATE_EPOCH = "${epoch}" }
      output = ["type=oci,tar=false,rewrite-timestamp=true,dest=out"]
    }
    target "without" {
      inherits = ["default"]
      args = { SOURCE_DATE_EPOCH = "" }
    }`,
  );
  await bakeOk(["base"], project);
  await bakeOk([], project);
  const built = readLayout(project, "out");
  assert.equal(
    built.layers[0],
    readLayout(project, "layout").layers[0],
    "the base image's layer is as it came",
  );
  const times = new Map(built.layers.slice(1).flatMap(layer => [...timesIn(project, "out", layer)]));
  assert.deepEqual(Object.fromEntries(times), { old: epoch - 1000, new: epoch, "made/": epoch });
  assert.ok(built.created.slice(1).every(created => Date.parse(created) <= epoch * 1000));
  at("new", epoch + 7_000_000);
  await bakeOk(
    ["--no-cache", "--set=*.output=type=oci,tar=false,rewrite-timestamp=true,dest=again"],
    project,
  );
  assert.equal(readLayout(project, "again").digest, built.digest);
  // The cache has both: with these times and with those of the files.
  await bakeOk(["--set=*.output=type=oci,tar=false,dest=plain"], project);
  assert.notEqual(readLayout(project, "plain").layers[1], built.layers[1]);
  await bakeOk(["--set=*.output=type=oci,tar=false,rewrite-timestamp=true,dest=third"], project);
  assert.equal(readLayout(project, "third").digest, built.digest);
  const { stderr } = await bakeOk(["without"], project);
  assert.match(
    stderr,
    /warning: the times of files stay as they are: rewrite-timestamp needs SOURCE_DATE_EPOCH/,
  );
});

/** The only image of a layout folder. */
function readLayout(
  project: Project,
  folder: string,
): { readonly digest: string; readonly layers: readonly string[]; readonly created: readonly string[] } {
  const read = <T>(path: string): T => JSON.parse(project.read(join(folder, path))) as T;
  const blob = (digest: string): string => `blobs/sha256/${digest.replace("sha256:", "")}`;
  const digest = read<{ manifests: { digest: string }[] }>("index.json").manifests[0]?.digest ?? "";
  const manifest = read<{ layers: { digest: string }[]; config: { digest: string } }>(blob(digest));
  const { history } = read<{ history: { created: string }[] }>(blob(manifest.config.digest));
  return {
    digest,
    layers: manifest.layers.map(layer => layer.digest),
    created: history.map(entry => entry.created),
  };
}

/** Seconds since the epoch of each file in a layer. */
function timesIn(project: Project, folder: string, layer: string): ReadonlyMap<string, number> {
  const listing = execFileSync(
    "tar",
    [
      "--full-time",
      "--utc",
      "-tvzf",
      join(project.cwd, folder, "blobs/sha256", layer.replace("sha256:", "")),
    ],
    { encoding: "utf8" },
  );
  return new Map(
    listing
      .trim()
      .split("\n")
      .map(line => {
        const [, , , day = "", time = "", name = ""] = line.split(/ +/);
        return [name, Date.parse(`${day}T${time}Z`) / 1000] as const;
      }),
  );
}

test("a pushed tag is what another tool pulls", { skip }, async () => {
  await using registry = await startRegistry();
  using project = tempProject();
  const name = `${registry.host}/team/app`;
  writeApp(project, `tags = ["${name}:1", "${name}:latest"]`, `output = ["type=registry"]`);
  await bakeOk(["--metadata-file=meta.json"], project);
  const pushed = inspect(`docker://${name}:1`);
  assert.equal(pushed.Labels?.["stage"], "last");
  assert.equal(inspect(`docker://${name}:latest`).Digest, pushed.Digest);
  assert.deepEqual(configOf(`docker://${name}:1`).config, appConfig);
  const meta = JSON.parse(project.read("meta.json")) as Readonly<
    Record<string, Readonly<Record<string, unknown>>>
  >;
  assert.equal(meta["default"]?.["containerimage.digest"], pushed.Digest);
  skopeo("copy", "--src-tls-verify=false", `docker://${name}:1`, `dir:${join(project.cwd, "pulled")}`);
});

test("--push pushes a target that has tags and no output", { skip }, async () => {
  await using registry = await startRegistry();
  using project = tempProject();
  writeApp(project, `tags = ["${registry.host}/app:2"]`);
  await bakeOk(["--push"], project);
  assert.equal(inspect(`docker://${registry.host}/app:2`).Labels?.["stage"], "last");
});

test(
  "an image that another tool pushed serves as base, and moving its tag builds anew",
  { skip },
  async () => {
    await using registry = await startRegistry();
    using base = tempProject();
    const name = `${registry.host}/base:1`;
    const pushBase = async (greeting: string): Promise<void> => {
      base.write("bake.hcl", target("default", `output = ["type=oci,dest=base.tar"]`, `tags = ["base:1"]`));
      base.write("Dockerfile", `${baseStage}ENV GREETING=${greeting}\nRUN echo ${greeting} > /greeting\n`);
      await bakeOk([], base);
      skopeo(
        "copy",
        "--dest-tls-verify=false",
        `oci-archive:${join(base.cwd, "base.tar")}`,
        `docker://${name}`,
      );
    };
    // A state directory of its own: nothing of the base may come from the cache of the build that made it.
    using project = tempProject();
    project.write("bake.hcl", `target "default" {\n  output = ["type=local,dest=out"]\n}\n`);
    project.write(
      "Dockerfile",
      `FROM ${name} AS app\nRUN echo "$GREETING $(cat /greeting)" > /both\nFROM scratch\nCOPY --from=app /both /\n`,
    );
    await pushBase("hello");
    await bakeOk([], project);
    assert.equal(project.read("out/both"), "hello hello\n");
    const again = await bakeOk(["--progress=rawjson"], project);
    assert.deepEqual(
      executedSteps(again.stderr).filter(step => /RUN|COPY/.test(step.name)),
      [],
    );
    await pushBase("bonjour");
    await bakeOk([], project);
    assert.equal(project.read("out/both"), "bonjour bonjour\n");
  },
);

test("a registry that has no such image is told with the line that wants it", { skip }, async () => {
  await using registry = await startRegistry();
  using project = tempProject();
  project.write("bake.hcl", `target "default" {}\n`);
  project.write("Dockerfile", `FROM ${registry.host}/none:1\nRUN true\n`);
  await assert.rejects(bakeOk(["--progress=plain"], project), /none:1[^]*Dockerfile:1/);
});

test("the demo's images are pushed when a registry is given", { skip }, async () => {
  await using registry = await startRegistry();
  using project = tempProject();
  project.copy(
    "bake.hcl",
    "docker",
    "dist",
    "docs",
    "schemas",
    "README.md",
    "LICENSE",
    "node_modules/koffi",
    "node_modules/@koromix",
  );
  const { stderr } = await bakeOk(["image", "--progress=rawjson"], {
    ...project,
    env: { REGISTRY: `${registry.host}/tools` },
  });
  assert.equal(stepsOf(stderr).filter(step => step.error !== undefined).length, 0);
  assert.equal(
    inspect(`docker://${registry.host}/tools/llbake:0.1.0`).Labels?.["org.opencontainers.image.title"],
    "llbake",
  );
});
