// Goal: what each instruction and flag of a Dockerfile does to the files and the config of an image, as a user meets it:
// the built program, the host's busybox, a real runtime, real servers.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { bake, bakeOk, baseStage, busyboxDir, type Project, tempProject } from "../rig/bake.ts";
import { createRepository, serveGit, skipWithoutGit } from "../rig/gitserver.ts";
import { skipWithoutSkopeo } from "../rig/registry.ts";
import { findOrdinaryUser } from "../rig/user.ts";

const user = findOrdinaryUser();
/** Root has all ids; who else has more than one, can give files to others. */
const asOthers = {
  skip:
    process.getuid?.() !== 0 && typeof user !== "string" && !user.hasRanges
      ? "needs ids in /etc/subuid to give files to others"
      : false,
};

interface BuildOptions {
  /** Further attributes of the target. */
  readonly attributes?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Default: the folder "out". */
  readonly output?: string;
}

/** Builds a Dockerfile with the host's busybox as the context `host`. */
async function build(
  project: Project,
  dockerfile: string,
  { attributes = "", env = {}, output = "type=local,dest=out" }: BuildOptions = {},
): Promise<void> {
  project.write("Dockerfile", dockerfile);
  project.write(
    "docker-bake.hcl",
    `target "default" {
      contexts = { host = "${busyboxDir}" }
      output = ["${output}"]
      ${attributes}
    }`,
  );
  await bakeOk(["--progress=plain", "--allow=network.host"], { ...project, env });
}

/** `mode uid:gid` of a file of the result. */
function ownership({ cwd }: Project, path: string): string {
  const { mode, uid, gid } = statSync(join(cwd, "out", path));
  return `${(mode & 0o7777).toString(8)} ${uid}:${gid}`;
}

test("RUN has its mounts, network and heredocs", asOthers, async () => {
  using project = tempProject();
  project.write("src/file", "of the context\n");
  const dockerfile = `${baseStage}
FROM base AS other
RUN echo of the stage > /made
FROM base AS work
WORKDIR /w
ENV GREETING=hello
RUN --mount=type=cache,target=/c,id=c,sharing=locked,uid=5,gid=6,mode=0750 stat -c '%a %u:%g' /c > cache; echo kept > /c/kept
RUN --mount=type=cache,target=/elsewhere,id=c,sharing=locked cat /elsewhere/kept >> cache
RUN --mount=type=bind,source=src,target=/ctx --mount=from=other,target=/other,rw cat /ctx/file /other/made > bind; echo x > /other/new
RUN --mount=type=bind,source=src,target=/ctx ! echo x > /ctx/new
RUN --mount=type=tmpfs,target=/t,size=1m grep ' /t tmpfs' /proc/mounts > tmpfs; echo x > /t/gone
RUN --mount=type=secret,id=token,target=/s,mode=0444,uid=7 --mount=type=secret,id=token,env=TOKEN stat -c '%a %u' /s > secret; test "$TOKEN" = "$(cat /s)"
RUN --mount=type=secret,id=token test "$(cat /run/secrets/token)" = hush
RUN --mount=type=secret,id=absent test ! -e /run/secrets/absent
RUN --mount=type=ssh test ! -e /run/buildkit/ssh_agent.0
RUN --network=none ls /sys/class/net > network
RUN --network=host --security=sandbox ls /sys/class/net > host
RUN <<EOF
echo "$GREETING" > heredoc
EOF
RUN <<'EOF'
#!/bin/busybox sh
echo "a script" > script
EOF
RUN cat <<one > several && cat <<two >> several
1
one
2
two
FROM scratch
COPY --from=work /w /
`;
  await build(project, dockerfile, { attributes: 'secret = ["id=token,env=TOKEN"]', env: { TOKEN: "hush" } });
  const read = (path: string): string => project.read(`out/${path}`);
  assert.equal(read("cache"), "750 5:6\nkept\n");
  assert.equal(read("bind"), "of the context\nof the stage\n");
  assert.match(read("tmpfs"), /size=1024k/);
  assert.equal(read("secret"), "444 7\n");
  assert.equal(read("network"), "lo\n");
  assert.match(read("host"), /^lo$/m);
  assert.equal(read("heredoc"), "hello\n");
  assert.equal(read("script"), "a script\n");
  assert.equal(read("several"), "1\n2\n");
  assert.equal(existsSync(join(project.cwd, "src/new")), false);
});

test("RUN has limits, hosts, shared memory, proxies and a host name of the target's choosing", async () => {
  using project = tempProject();
  const dockerfile = `${baseStage}
FROM base AS work
RUN { ulimit -Sn; ulimit -Hn; } > /limits
RUN grep baker /etc/hosts > /hosts; hostname > /hostname; grep ' /dev/shm ' /proc/mounts > /shm; env | grep -i proxy | sort > /proxies
FROM scratch
COPY --from=work /limits /hosts /hostname /shm /proxies /
`;
  const attributes = `
     ulimits = ["nofile=123:456"]
     extra-hosts = { baker = "1.2.3.4" }
     shm-size = "3m"
     args = { HTTP_PROXY = "http://proxy", BUILDKIT_SANDBOX_HOSTNAME = "oven" }`;
  await build(project, dockerfile, { attributes });
  assert.equal(project.read("out/limits"), "123\n456\n");
  assert.match(project.read("out/hosts"), /^1\.2\.3\.4\s+baker$/m);
  assert.equal(project.read("out/hostname"), "oven\n");
  assert.match(project.read("out/shm"), /size=3072k/);
  assert.equal(project.read("out/proxies"), "HTTP_PROXY=http://proxy\nhttp_proxy=http://proxy\n");
});

test("COPY has owners, modes, parents, exclusions, links and heredocs", asOthers, async () => {
  using project = tempProject();
  for (const path of ["tool", "src/a/one.txt", "src/a/skip.md", "src/b/two.txt"]) project.write(path, path);
  execFileSync("chmod", ["644", join(project.cwd, "tool")]);
  const dockerfile = `FROM scratch AS accounts
COPY <<EOF /etc/passwd
root:x:0:0::/:/bin/sh
app:x:1000:1001::/:/bin/sh
EOF
COPY <<EOF /etc/group
app:x:1001:
EOF
FROM accounts
ARG WHO=world
COPY --chmod=u+x,g-r tool /symbolic
COPY --chmod=0711 --chown=app tool /named
COPY --chown=12:34 --link tool /linked/
COPY --parents src/./a/*.txt src/b/two.txt /parents/
COPY --exclude=**/*.md --exclude=b src /excluded/
COPY --chmod=600 <<one <<"two" /heredocs/
hello $WHO
one
hello $WHO
two
`;
  // A folder would be the user's own, whoever the image gives the files to.
  await build(project, dockerfile, { output: "type=tar,dest=out.tar" });
  const listing = execFileSync("tar", ["--numeric-owner", "-tvf", "out.tar"], {
    cwd: project.cwd,
  }).toString();
  const listed = (path: string): string =>
    new RegExp(`^(\\S+ \\S+) .* ${path}$`, "m").exec(listing)?.[1] ?? `no ${path} in\n${listing}`;
  assert.equal(listed("symbolic"), "-rwx---r-- 0/0");
  assert.equal(listed("named"), "-rwx--x--x 1000/1001");
  assert.equal(listed("linked/tool"), "-rw-r--r-- 12/34");
  assert.equal(listed("heredocs/one"), "-rw------- 0/0");
  execFileSync("sh", ["-c", "mkdir out && tar -xf out.tar -C out --no-same-owner && chmod -R u+rwX out"], {
    cwd: project.cwd,
  });
  assert.equal(project.read("out/heredocs/one"), "hello world\n");
  assert.equal(project.read("out/heredocs/two"), "hello $WHO\n");
  const there = ["parents/a/one.txt", "parents/src/b/two.txt", "excluded/a/one.txt"];
  const missing = ["parents/a/skip.md", "excluded/a/skip.md", "excluded/b"];
  for (const path of there) assert.equal(existsSync(join(project.cwd, "out", path)), true, path);
  for (const path of missing) assert.equal(existsSync(join(project.cwd, "out", path)), false, path);
});

test("ADD unpacks archives, downloads files and clones repositories", { skip: skipWithoutGit }, async () => {
  using project = tempProject();
  project.write("packed/file", "packed\n");
  execFileSync("tar", ["czf", "archive.tar.gz", "packed"], { cwd: project.cwd });
  const served = join(project.cwd, "../served");
  createRepository(join(served, "app")).commit({ source: "of the repository\n" });
  await using repositories = await serveGit(served);
  const page = "a page\n";
  await using files = await serveText({ "/page.txt": page });
  const digest = `sha256:${createHash("sha256").update(page).digest("hex")}`;
  const dockerfile = (checksum: string) => `FROM scratch
ADD archive.tar.gz /unpacked/
ADD --unpack=false archive.tar.gz /
ADD --checksum=${checksum} --chmod=640 ${files.url}/page.txt /web/
ADD ${repositories.url}/app.git#main /plain/
ADD --keep-git-dir=true ${repositories.url}/app.git?branch=main /kept/
`;
  await build(project, dockerfile(digest));
  assert.equal(project.read("out/unpacked/packed/file"), "packed\n");
  assert.equal(existsSync(join(project.cwd, "out/archive.tar.gz")), true);
  // The mode is that of the new folder, too, as BuildKit has it.
  execFileSync("chmod", ["-R", "u+rwX", join(project.cwd, "out")]);
  assert.equal(project.read("out/web/page.txt"), page);
  assert.match(ownership(project, "web/page.txt"), /^640 /);
  assert.equal(project.read("out/plain/source"), "of the repository\n");
  assert.equal(existsSync(join(project.cwd, "out/plain/.git")), false);
  assert.equal(existsSync(join(project.cwd, "out/kept/.git/HEAD")), true);

  project.write("Dockerfile", dockerfile(`sha256:${"0".repeat(64)}`));
  const { exitCode, stderr } = await bake(["--progress=plain"], project);
  assert.equal(exitCode, 1);
  assert.match(stderr, /page\.txt[^]*sha256:/);
});

test("the config of an image has what the Dockerfile says", { skip: skipWithoutSkopeo }, async () => {
  using project = tempProject();
  const dockerfile = `ARG BASE=scratch
FROM --platform=$BUILDPLATFORM $BASE AS base
ONBUILD LABEL triggered=yes
FROM base
MAINTAINER baker
ENV A=1 B="two \${A}"
LABEL "a b"=c
WORKDIR /w
WORKDIR deeper
VOLUME ["/data"]
EXPOSE 80 90-91/udp
USER 7:8
SHELL ["/bin/ash", "-c"]
HEALTHCHECK --interval=5s --timeout=3s --start-period=2s --start-interval=1s --retries=2 CMD ok
STOPSIGNAL SIGUSR1
ENTRYPOINT ["/entry"]
CMD shell form
ONBUILD COPY a b
`;
  await build(project, dockerfile, {
    attributes: 'labels = { from = "bake" }',
    output: "type=oci,dest=out.tar",
  });
  const archive = `oci-archive:${join(project.cwd, "out.tar")}`;
  const { status, stdout, stderr } = spawnSync("skopeo", ["inspect", "--config", "--raw", archive]);
  assert.equal(status, 0, stderr.toString());
  const { author, config } = JSON.parse(stdout.toString()) as {
    author: string;
    config: Readonly<Record<string, unknown>>;
  };
  assert.equal(author, "baker");
  const second = 1_000_000_000;
  assert.deepEqual(config, {
    ArgsEscaped: true,
    User: "7:8",
    ExposedPorts: { "80/tcp": {}, "90/udp": {}, "91/udp": {} },
    Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=1", "B=two "],
    Entrypoint: ["/entry"],
    Cmd: ["/bin/ash", "-c", "shell form"],
    Healthcheck: {
      ...{ Test: ["CMD-SHELL", "ok"], Retries: 2 },
      ...{ Interval: 5 * second, Timeout: 3 * second, StartPeriod: 2 * second, StartInterval: second },
    },
    Volumes: { "/data": {} },
    WorkingDir: "/w/deeper",
    OnBuild: ["COPY a b"],
    Labels: { triggered: "yes", "a b": "c", from: "bake" },
    StopSignal: "SIGUSR1",
    Shell: ["/bin/ash", "-c"],
  });
});

/** Serves texts by path, on a port of its own. */
async function serveText(
  texts: Readonly<Record<string, string>>,
): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer((request, response) => {
    const text = texts[request.url ?? ""];
    response.writeHead(text === undefined ? 404 : 200).end(text);
  });
  await new Promise<void>(done => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise<unknown>(done => server.close(done));
    },
  };
}
