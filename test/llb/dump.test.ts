// The two forms for people. Expected lines are those of `buildctl debug dump-llb` for the same definition.
import assert from "node:assert/strict";
import { test } from "node:test";
import { copy, mkdir, symlink } from "../../src/llb/builder/file.ts";
import { dumpDefinition, dumpDot } from "../../src/llb/dump.ts";
import { marshal } from "../../src/llb/marshal.ts";
import { image, local, merge, type State } from "../../src/llb/state.ts";

const dump = (state: State): string[] => [
  ...dumpDefinition(
    marshal(state, { platform: { os: "linux", architecture: "amd64" }, localUniqueId: () => "id" }),
  ),
];

test("each op is one line with its digest and metadata, in the order of the definition", () => {
  const [base, , file, run, terminal] = dump(
    image("docker.io/library/alpine")
      .file(copy(local("context"), "/README.md", "/README.md", { owner: "0:app" }))
      .run({ args: ["/bin/sh", "-c", "a > b && c"], customName: "n" }),
  );
  assert.equal(
    base,
    '{"Op":{"Op":{"source":{"identifier":"docker-image://docker.io/library/alpine:latest"}},' +
      '"platform":{"Architecture":"amd64","OS":"linux"},"constraints":{}},' +
      '"Digest":"sha256:a7f9733e307dd352c82d43053b783dd17bb2ec2c36214908ce393e41545c8b51",' +
      '"OpMetadata":{"caps":{"source.image":true}}}',
  );
  assert.match(
    file ?? "",
    /"Op":\{"file":\{"actions":\[\{"input":0,"secondaryInput":1,"output":0,"Action":\{"copy":/,
  );
  assert.match(
    file ?? "",
    /"owner":\{"user":\{"User":\{\}\},"group":\{"User":\{"byName":\{"name":"app"\}\}\}\},"mode":-1,"timestamp":-1\}/,
  );
  assert.match(
    run ?? "",
    /"args":\["\/bin\/sh","-c","a \\u003e b \\u0026\\u0026 c"\],"cwd":"\/","removeMountStubsRecursive":true/,
  );
  assert.match(run ?? "", /"description":\{"llb.customname":"n"\}/);
  assert.match(terminal ?? "", /^\{"Op":\{"inputs":\[\{"digest":"sha256:[0-9a-f]{64}"\}\],"Op":\{\}\},/);
});

test("each line is JSON, also with numbers beyond what JavaScript holds exactly", () => {
  const [, line = ""] = dump(image("a").file(mkdir("/a", 0o755, { timestamp: 1_700_000_000_123_456_789n })));
  assert.ok(JSON.parse(line));
  assert.match(line, /"timestamp":1700000000123456789/);
});

test("the graph form names vertices by what they do and edges by mounts", () => {
  const busybox = image("busybox");
  const run = image("alpine").run({
    args: ["echo", '"hi"'],
    mounts: [{ kind: "bind", target: "/src", from: busybox }],
  });
  const definition = marshal(merge([run, busybox.file(symlink("a", "/b"))]), {
    platform: { os: "linux", architecture: "amd64" },
  });
  const lines = [...dumpDot(definition)];
  assert.equal(lines[0], "digraph {");
  assert.equal(lines.at(-1), "}");
  const text = lines.join("\n");
  assert.match(text, /\[label="echo \\"hi\\"" shape="box"\];/);
  assert.match(text, /\[label="docker-image:\/\/docker.io\/library\/alpine:latest" shape="ellipse"\];/);
  assert.match(text, /\[label="symlink \/b -> a" shape="note"\];/);
  assert.match(text, /\[label="\/src"\];/);
});
