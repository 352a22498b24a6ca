// Describes an image without a Dockerfile and writes its LLB definition to standard output.
//
//   node build.mjs [BASE] [PLATFORM] | bake build-llb --local context=. …
//
// BASE is an image reference, or `scratch` for a base made of the host's static busybox (no registry needed).
import { BakeError, copy, image, local, marshal, scratch, writeDefinition } from "llbake/llb";

const [base = "docker.io/library/alpine", platform = hostPlatform()] = process.argv.slice(2);

if (process.stdout.isTTY)
  fail("build.mjs writes bytes: pipe it to `bake build-llb` or `bake debug dump-llb`");
try {
  process.stdout.write(writeDefinition(marshal(describe(), { platform })));
} catch (error) {
  if (!(error instanceof BakeError)) throw error;
  fail(error.message);
}

function describe() {
  return baseState(base)
    .file(copy(local("context"), "/README.md", "/README.md"))
    .run({ shell: 'echo "programmatically built" > /built.txt' })
    .root();
}

function baseState(reference) {
  if (reference !== "scratch") return image(reference);
  const host = local("host", { followPaths: ["busybox"] });
  return scratch().file(
    copy(host, "/busybox", "/bin/busybox", { createDestPath: true, mode: 0o755 }).symlink(
      "busybox",
      "/bin/sh",
    ),
  );
}

function hostPlatform() {
  const architectures = { x64: "amd64", ia32: "386" };
  return `linux/${architectures[process.arch] ?? process.arch}`;
}

function fail(message) {
  console.error(`error: ${message}`);
  process.exit(2);
}
