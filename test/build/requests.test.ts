// Bake text in, requests to the engine out.
import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loadBakeFiles } from "../../src/bakefile/load.ts";
import { resolveTargets } from "../../src/bakefile/resolve.ts";
import { sessionIdOf } from "../../src/build/localdirs.ts";
import { type BuildPlan, requestsFromTargets } from "../../src/build/requests.ts";
import { buildTarget } from "../../src/build/target.ts";
import { BakeError } from "../../src/diagnostic/error.ts";
import type { SolveRequest } from "../../src/engine/engine.ts";
import { tempDir } from "../rig/tree.ts";

const platform = { os: "linux", architecture: "amd64" };

/** A folder with a Dockerfile, and `sub/Dockerfile.dev`. */
function project() {
  const dir = tempDir();
  mkdirSync(join(dir.path, "sub"));
  mkdirSync(join(dir.path, "lib"));
  writeFileSync(join(dir.path, "Dockerfile"), "FROM scratch\n");
  writeFileSync(join(dir.path, "sub/Dockerfile.dev"), "FROM scratch\n");
  return dir;
}

function plan(
  cwd: string,
  text: string,
  { targets = ["default"], set = [] as readonly string[], stdoutIsTerminal = false } = {},
): BuildPlan {
  const loaded = loadBakeFiles({
    files: [{ name: "docker-bake.hcl", text }],
    env: {},
    hostPlatform: platform,
  });
  assert.deepEqual(loaded.diagnostics, []);
  assert.ok(loaded.value);
  const resolved = resolveTargets(loaded.value, { targets, overrides: set });
  assert.ok(resolved.value, resolved.diagnostics[0]?.message);
  return requestsFromTargets([...resolved.value.targets.values()].map(buildTarget), {
    cwd,
    platform,
    stdoutIsTerminal,
  });
}

function frontendOf(request: SolveRequest | undefined) {
  assert.equal(request?.work.tag, "frontend");
  return request.work;
}

function only(built: BuildPlan) {
  assert.equal(built.requests.length, 1);
  const [request] = built.requests;
  assert.ok(request);
  return { ...request, ...frontendOf(request), options: frontendOf(request).request.options };
}

function fails(run: () => unknown, message: RegExp, hint?: RegExp): void {
  assert.throws(run, (error: unknown) => {
    assert.ok(error instanceof BakeError, String(error));
    assert.match(error.message, message);
    if (hint) assert.match(error.diagnostics[0]?.hint ?? "", hint);
    return true;
  });
}

test("a plain target asks dockerfile.v0 with its folder as context and Dockerfile's folder", () => {
  using dir = project();
  const { frontend, options, links, request, exports } = only(
    plan(dir.path, `target "default" { output = ["type=cacheonly"] }`),
  );
  const id = sessionIdOf("dir", dir.path);
  assert.equal(frontend, "dockerfile.v0");
  assert.deepEqual(options, {
    "local-sessionid:context": id,
    "local-sessionid:dockerfile": id,
    dockerfilekey: "dockerfile",
    filename: "Dockerfile",
  });
  assert.equal(request.sessionId, id);
  assert.deepEqual(links, {});
  assert.deepEqual(exports, [{ type: "cacheonly", attrs: {} }]);
});

test("attributes become the frontend's options", () => {
  using dir = project();
  const { options, noCache } = only(
    plan(
      dir.path,
      `target "default" {
         dockerfile = "sub/Dockerfile.dev"
         args = { A = "1", B = null }
         labels = { "a.b" = "c" }
         target = "dev"
         platforms = ["linux/arm64", "linux/x86_64", "linux/amd64"]
         pull = true
         no-cache-filter = ["one", "two"]
         network = "none"
         shm-size = "64m"
         ulimits = ["nproc=3", "nofile=1024:2048"]
         resources = { memory = "1g", cpu-shares = 5, cpuset-cpus = "0-1" }
         extra-hosts = { b = "[::1]", a = "10.0.0.1,10.0.0.2" }
       }`,
    ),
  );
  const {
    "local-sessionid:context": _context,
    "local-sessionid:dockerfile": _dockerfile,
    dockerfilekey: _key,
    ...rest
  } = options;
  assert.deepEqual(rest, {
    "build-arg:A": "1",
    "label:a.b": "c",
    target: "dev",
    platform: "linux/arm64,linux/amd64",
    "image-resolve-mode": "pull",
    "no-cache": "one,two",
    "force-network-mode": "none",
    "shm-size": String(64 * 1024 * 1024),
    ulimit: "nofile=1024:2048,nproc=3:3",
    memory: String(1024 ** 3),
    cpushares: "5",
    cpusetcpus: "0-1",
    "add-hosts": "a=10.0.0.1,a=10.0.0.2,b=::1",
    filename: "Dockerfile.dev",
  });
  assert.deepEqual(noCache, ["one", "two"]);
});

test("host-gateway is the machine itself where the steps have its network, and refused elsewhere", () => {
  using dir = project();
  const text = (network: string): string =>
    `target "default" {\nextra-hosts = { box = "host-gateway" }\nnetwork = "${network}"\n}`;
  assert.equal(only(plan(dir.path, text("host"))).options["add-hosts"], "box=127.0.0.1");
  assert.throws(
    () => plan(dir.path, text("default")),
    /extra host "box" asks for "host-gateway", which steps reach/,
  );
});

test("no-cache means all stages, whatever the filter says", () => {
  using dir = project();
  const { options, noCache } = only(
    plan(dir.path, `target "default" {\nno-cache = true\nno-cache-filter = ["x"]\n}`),
  );
  assert.equal(options["no-cache"], "");
  assert.equal(noCache, true);
});

test("targets that share a folder share its session id, however they spell it; different folders never do", () => {
  using dir = project();
  symlinkSync("sub", join(dir.path, "link"));
  const built = plan(
    dir.path,
    `group "default" { targets = ["a", "b", "c"] }
     target "a" {
       context    = "sub"
       dockerfile = "Dockerfile.dev"
     }
     target "b" {
       context    = "./lib/../link"
       dockerfile = "Dockerfile.dev"
     }
     target "c" {}`,
  );
  const ids = built.requests.map(request => frontendOf(request).request.options["local-sessionid:context"]);
  assert.equal(ids[0], ids[1]);
  assert.notEqual(ids[0], ids[2]);
  assert.match(ids[0] ?? "", /^[0-9a-z]{25}$/);
  assert.equal(built.locals.localDir("context", ids[0] ?? ""), join(dir.path, "sub"));
  assert.equal(built.locals.localDir("other", ids[0] ?? ""), undefined);
  assert.deepEqual(built.locals.paths(), [dir.path, join(dir.path, "sub")]);
});

test("named contexts: folders are lent, images and URLs passed on, targets linked", () => {
  using dir = project();
  const built = plan(
    dir.path,
    `target "default" {
       contexts = {
         lib     = "lib"
         context = "sub"
         base    = "docker-image://alpine:3.20"
         src     = "https://github.com/a/b.git#main"
         app     = "target:app"
       }
     }
     target "app" { dockerfile = "sub/Dockerfile.dev" }`,
  );
  const [request, app] = built.requests;
  const { request: asked, links } = frontendOf(request);
  const named = Object.fromEntries(
    Object.entries(asked.options).filter(([key]) => key.startsWith("context:")),
  );
  assert.deepEqual(named, {
    "context:lib": "local:lib",
    "context:context": "local:_context",
    "context:base": "docker-image://alpine:3.20",
    "context:src": "https://github.com/a/b.git#main",
    "context:app": "input:target:app",
  });
  assert.deepEqual(links, { "target:app": "app" });
  assert.equal(
    built.locals.localDir("lib", asked.options["local-sessionid:lib"] ?? ""),
    join(dir.path, "lib"),
  );
  assert.equal(
    built.locals.localDir("_context", asked.options["local-sessionid:_context"] ?? ""),
    join(dir.path, "sub"),
  );
  assert.equal(app?.name, "app");
  assert.deepEqual(app.exports, [{ type: "cacheonly", attrs: {} }]);
});

test("a linked target of several platforms is one input per platform", () => {
  using dir = project();
  const built = plan(
    dir.path,
    `target "default" {
       platforms = ["linux/amd64"]
       contexts = { app = "target:app" }
     }
     target "app" { platforms = ["linux/amd64", "linux/arm64/v8"] }`,
  );
  const { options } = frontendOf(built.requests[0]).request;
  assert.equal(options["context:app"], undefined);
  assert.equal(options["context:app::linux/amd64"], "input:target:app::linux/amd64");
  assert.equal(options["context:app::linux/arm64"], "input:target:app::linux/arm64");
});

test("an inline Dockerfile exists in memory only", () => {
  using dir = tempDir();
  const built = plan(dir.path, `target "default" { dockerfile-inline = "FROM scratch" }`);
  const { options } = only(built);
  assert.equal(options["filename"], "Dockerfile");
  const files = built.locals.localFiles("dockerfile", options["local-sessionid:dockerfile"] ?? "");
  assert.equal(Buffer.from(files?.get("Dockerfile") ?? []).toString(), "FROM scratch");
  assert.equal(built.locals.localDir("dockerfile", options["local-sessionid:dockerfile"] ?? ""), undefined);
});

test("a remote context is left to the frontend, with the Dockerfile in it", () => {
  using dir = tempDir();
  const built = plan(
    dir.path,
    `target "default" {\ncontext = "https://github.com/a/b.git"\ndockerfile = "x/Dockerfile"\n}`,
  );
  assert.deepEqual(only(built).options, { context: "https://github.com/a/b.git", filename: "x/Dockerfile" });
  assert.deepEqual(built.locals.paths(), []);
});

test("a lower-case dockerfile will do when there is no other", () => {
  using dir = tempDir();
  writeFileSync(join(dir.path, "dockerfile"), "FROM scratch\n");
  assert.equal(only(plan(dir.path, `target "default" {}`)).options["filename"], "dockerfile");
});

test("outputs: tags become names, registry pushes, destinations become absolute", () => {
  using dir = project();
  const { exports } = only(
    plan(
      dir.path,
      `target "default" {
         tags = ["app", "example.com/app:1"]
         annotations = ["a=1", "manifest[linux/arm64/v8],index:b=2"]
         output = ["type=registry", "type=oci,dest=out/app.tar", "out/files", "type=tar", "type=oci,tar=false,dest=layout"]
       }`,
    ),
  );
  const name = "docker.io/library/app:latest,example.com/app:1";
  const annotations = {
    "annotation.a": "1",
    "annotation-manifest[linux/arm64].b": "2",
    "annotation-index.b": "2",
  };
  assert.deepEqual(exports, [
    { type: "image", attrs: { push: "true", name, ...annotations } },
    { type: "oci", attrs: { name, ...annotations }, dest: join(dir.path, "out/app.tar") },
    { type: "local", attrs: {}, dest: join(dir.path, "out/files") },
    { type: "tar", attrs: {}, dest: "-" },
    { type: "oci", attrs: { tar: "false", name, ...annotations }, dest: join(dir.path, "layout") },
  ]);
});

test("a target without output stays in the cache, and says so unless it is only linked to", () => {
  using dir = project();
  const built = plan(dir.path, `target "default" { contexts = { x = "target:x" } }\n target "x" {}`);
  assert.deepEqual(built.requests[0]?.exports, [{ type: "cacheonly", attrs: {} }]);
  assert.deepEqual(
    built.warnings.map(({ message }) => message),
    [`no output specified for target "default": the result stays in the build cache only`],
  );
  assert.deepEqual(plan(dir.path, `target "default" { output = ["type=cacheonly"] }`).warnings, []);
});

test("what is not there yet is told by name, and nothing else is lost", () => {
  using dir = project();
  const { warnings } = plan(
    dir.path,
    `target "default" {\ncache-to = ["type=local,dest=x"]\nattest = ["type=sbom", "type=provenance,disabled=true"]\noutput = ["type=cacheonly"]\n}`,
  );
  assert.deepEqual(
    warnings.map(({ message }) => message),
    [
      `cache-to of "default" is not available yet and has no effect`,
      `the sbom attestation of "default" is not available yet and has no effect`,
    ],
  );
});

test("what a watcher has to look at: contexts with their Dockerfiles, and the ignore file that goes first", () => {
  using dir = project();
  const { inputs } = plan(
    dir.path,
    `target "default" {\ncontext = "lib"\ndockerfile = "../sub/Dockerfile.dev"\ncontexts = { s = "sub" }\n}`,
  );
  const dockerfile = join(dir.path, "sub/Dockerfile.dev");
  assert.deepEqual(inputs, [
    { kind: "file", path: dockerfile },
    { kind: "file", path: `${dockerfile}.dockerignore` },
    { kind: "context", path: join(dir.path, "lib"), dockerfile },
    { kind: "context", path: join(dir.path, "sub") },
  ]);
});

test("what cannot be built is refused with what to do", () => {
  using dir = project();
  const run =
    (body: string, options = {}) =>
    () =>
      plan(dir.path, `target "default" {\n${body}\n}`, options);
  fails(run(`context = "su"`), /build context "su" does not exist/, /did you mean "sub"/);
  fails(run(`context = "Dockerfile"`), /"Dockerfile" is not a folder/);
  fails(run(`dockerfile = "Dockerfil"`), /there is no Dockerfile "Dockerfil"/, /did you mean "Dockerfile"/);
  fails(run(`contexts = { x = "nope" }`), /context "x" "nope" does not exist/);
  fails(run(`output = ["type=docker"]`), /llbake uses none/, /dest=default\.tar/);
  fails(run(`output = ["type=registry"]`), /needs a tag/);
  fails(run(`output = ["type=oci"]`, { stdoutIsTerminal: true }), /to the terminal/);
  fails(run(`output = ["type=local"]`), /needs a folder/);
  fails(run(`output = ["Dockerfile"]`), /is a file/);
  fails(run(`output = ["type=tar,dest=sub"]`), /is a folder/);
  fails(run(`output = ["type=tar", "type=oci"]`), /several outputs write to standard output/);
  fails(run(`network = "bridge"`), /unknown network mode "bridge"/);
  fails(run(`shm-size = "lots"`), /invalid shm-size/);
  fails(run(`ulimits = ["nofile=5:1"]`), /nofile=5:1/, /soft limit/);
  fails(run(`platforms = ["linux/*"]`), /invalid platform/);
  fails(run(`call = "outlines"`), /unknown call "outlines"/, /did you mean "outline"/);
  fails(run(`tags = ["UPPER"]\n output = ["type=registry"]`), /must be lower case/);
});

test("a target with a call is asked, and built only when another needs it", () => {
  using dir = project();
  const built = plan(
    dir.path,
    `group "default" { targets = ["a", "b", "c"] }
target "a" {
  call = "check"
  output = ["type=oci,dest=a.tar"]
}
target "b" {
  call = "outline"
  output = ["type=oci,dest=b.tar"]
  dockerfile = "sub/Dockerfile.dev"
}
target "c" {
  contexts = { from = "target:b" }
  output = ["type=oci,dest=c.tar"]
}`,
  );
  assert.deepEqual(
    built.calls.map(({ name, method, dockerfile }) => [name, method, dockerfile]),
    [
      ["a", "lint", "Dockerfile"],
      ["b", "outline", "sub/Dockerfile.dev"],
    ],
  );
  assert.deepEqual(built.requests.map(({ name, exports }) => [name, exports.length]).sort(), [
    ["b", 0],
    ["c", 1],
  ]);
  assert.deepEqual(built.linkable.map(({ name }) => name).sort(), ["a", "b", "c"]);
});

test("two targets that write to standard output are refused, secrets of one name are each its own", () => {
  using dir = project();
  const group = `group "default" { targets = ["a", "b"] }`;
  fails(
    () =>
      plan(
        dir.path,
        `${group}\n target "a" { output = ["type=tar"] }\n target "b" { output = ["type=tar"] }`,
      ),
    /targets "a", "b"/,
  );
  const shared = plan(
    dir.path,
    `${group}\n target "a" { secret = ["id=s,src=sub/../f"] }\n target "b" { secret = ["id=s,src=f"] }`,
  );
  assert.deepEqual(
    shared.lendings.map(({ secrets }) => secrets),
    [[{ id: "s", src: join(dir.path, "f") }], [{ id: "s", src: join(dir.path, "f") }]],
  );
});
