// Several files and documents: merging, !reset, !override, extends, include, and where variables come from.
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadBakeFiles } from "../../../src/bakefile/load.ts";
import { bakeInput } from "../fixture.ts";
import { compose, composeProblems } from "./fixture.ts";

test("later files extend earlier ones, setting by setting", () => {
  const target = compose({
    "compose.yaml": `services:
  app:
    image: one
    build:
      context: ./a
      args: {A: 1, B: 1.50, C: }
      labels: [l=1]
      tags: [t1]
      cache_from: [c1]
      extra_hosts: {h: 1.1.1.1}
      additional_contexts: {x: ./x}
`,
    "docker-compose.yml": `services:
  app:
    image: two
    build:
      dockerfile: D
      args: [A=2, D=4]
      labels: {l: 2, m: 3}
      tags: [t2]
      cache_from: [c2]
      extra_hosts: ["h=2.2.2.2"]
      additional_contexts: [y=./y]
`,
  })["app"];
  assert.deepEqual(target, {
    context: "a",
    contexts: { x: "x", y: "y" },
    dockerfile: "D",
    args: { A: "2", B: "1.5", D: "4" },
    labels: { l: "2", m: "3" },
    tags: ["t1", "t2"],
    "cache-from": [
      { ref: "c1", type: "registry" },
      { ref: "c2", type: "registry" },
    ],
    "extra-hosts": { h: "1.1.1.1,2.2.2.2" },
  });
});

test("!reset drops what earlier documents say, !override replaces it", () => {
  const target = compose(`services:
  app: {build: {context: ./a, target: t, tags: [one, two], args: {A: 1}}}
---
services:
  app: {build: {context: !reset , target: !reset null, tags: !override [three], args: !reset {}}}
---
services:
  app: {build: {args: {B: 2}}}
`)["app"];
  assert.deepEqual(target, { context: ".", dockerfile: "Dockerfile", args: { B: "2" }, tags: ["three"] });
});

test("anchors, aliases and merge keys", () => {
  const targets = compose(`x-common: &common {context: ., args: &args {A: 1, B: 1}}
services:
  one: {build: {<<: *common, target: t}}
  two: {build: {<<: [{target: u}, *common], args: {<<: *args, B: 2}}}
`);
  assert.deepEqual(targets["one"], {
    context: ".",
    dockerfile: "Dockerfile",
    args: { A: "1", B: "1" },
    target: "t",
  });
  assert.deepEqual(targets["two"], {
    context: ".",
    dockerfile: "Dockerfile",
    args: { A: "1", B: "2" },
    target: "u",
  });
});

test("a service extends another one, also of another file, whose paths are relative to it", () => {
  const targets = compose(
    `services:
  app:
    extends: {file: common/base.yaml, service: base}
    build: {args: {B: app}}
  twin: {extends: app, image: twin}
`,
    {
      others: {
        "common/base.yaml": `services:
  base: {extends: {file: deep/root.yaml, service: root}, build: {context: ./src, args: {A: base, B: base}}}
`,
        "common/deep/root.yaml":
          "services: {root: {build: {context: r, dockerfile: D, additional_contexts: {l: ./l}}}}",
      },
    },
  );
  const app = {
    context: "common/src",
    contexts: { l: "common/deep/l" },
    dockerfile: "D",
    args: { A: "base", B: "app" },
  };
  assert.deepEqual(targets["app"], app);
  assert.deepEqual(targets["twin"], { ...app, tags: ["twin"] });
});

test("!reset drops what an extended service says", () => {
  const targets = compose(`services:
  base: {build: {context: ., args: {A: 1}, target: t}}
  app: {extends: base, build: {args: !reset {}}}
`);
  assert.deepEqual(targets["app"], { context: ".", dockerfile: "Dockerfile", target: "t" });
});

test("includes bring services with paths and variables of their own folder; the including file wins", () => {
  const targets = compose(
    `include:
  - inc/compose.yaml
  - {path: [lib/a.yaml, lib/b.yaml], project_directory: root, env_file: lib.env}
services:
  inc: {build: {target: "main-\${V:-none}"}}
`,
    {
      others: {
        "inc/compose.yaml":
          'include: [sub/more.yaml]\nservices: {inc: {image: "i:${V}", build: {context: ./c, target: t}}}',
        "inc/.env": "V=inc\n",
        "inc/sub/more.yaml": 'services: {more: {image: "m:${V}", build: .}}',
        "lib/a.yaml": 'services: {lib: {image: "l:${V}", build: ./x}}',
        "lib/b.yaml": "services: {lib: {build: {dockerfile: B}}}",
        "lib.env": "V=lib\n",
      },
    },
  );
  assert.deepEqual(targets, {
    inc: { context: "inc/c", dockerfile: "Dockerfile", tags: ["i:inc"], target: "main-none" },
    lib: { context: "root/x", dockerfile: "B", tags: ["l:lib"] },
    more: { context: "inc/sub", dockerfile: "Dockerfile", tags: ["m:inc"] },
  });
});

test("variables: the environment wins over .env, --var over both", () => {
  const args = (options: { env?: Record<string, string>; vars?: string[] }): unknown =>
    compose('services: {app: {build: {context: ., args: {V: "$V"}}}}', {
      ...options,
      others: { ".env": "V=file\n" },
    })["app"]?.["args"];
  assert.deepEqual(args({}), { V: "file" });
  assert.deepEqual(args({ env: { V: "env" } }), { V: "env" });
  assert.deepEqual(args({ env: { V: "env" }, vars: ["V=flag"] }), { V: "flag" });
  const hidden = { V: "env", BUILDX_BAKE_DISABLE_VARS_ENV_LOOKUP: "1" };
  assert.deepEqual(args({ env: hidden }), { V: "file" });
});

test("the project's name is a variable", () => {
  const tags = (top: string, env: Record<string, string> = {}): unknown =>
    compose(`${top}services: {app: {image: "$COMPOSE_PROJECT_NAME", build: .}}`, { env })["app"]?.["tags"];
  assert.deepEqual(tags(""), ["bake"]);
  assert.deepEqual(tags("", { COMPOSE_PROJECT_NAME: "mine" }), ["mine"]);
  assert.deepEqual(tags("name: x-${A:-1}\n", { COMPOSE_PROJECT_NAME: "mine" }), ["x-1"]);
});

test("bake files come on top of Compose files and can inherit from their services", () => {
  const targets = compose({
    "docker-bake.hcl":
      'group "default" { targets = ["web", "child"] }\ntarget "web" { args = { A = "h" } }\ntarget "child" { inherits = ["web"] }',
    "compose.yaml": "services: {web: {build: {context: ./c, args: {A: c, B: c}}}, other: {build: .}}",
  });
  const web = { context: "c", dockerfile: "Dockerfile", args: { A: "h", B: "c" } };
  assert.deepEqual(targets, { web, child: web });
});

test("a file without a telling name is a Compose file when it reads as one", () => {
  assert.deepEqual(Object.keys(compose({ Bakefile: "services: {app: {build: .}}" })), ["app"]);
  assert.deepEqual(Object.keys(compose({ Bakefile: '{"services": {"app": {"build": "."}}}' })), ["app"]);
  assert.deepEqual(Object.keys(compose({ Bakefile: 'target "default" { tags = ["services"] }' })), [
    "default",
  ]);
});

test("the problems of a Compose file without a telling name are those of Compose", () => {
  assert.deepEqual(composeProblems({ "-": "services:\n  app: {build: {tag: x}}\n" }), [
    '-:2:17 error: a build has no setting "tag" (did you mean "tags"?)',
  ]);
});

test("contexts can be relative to the first file", () => {
  const files = {
    "sub/compose.yaml": "services: {app: {build: {context: ./c, additional_contexts: {l: ../l}}}}",
  };
  const app = compose(files, { relativePaths: true })["app"];
  assert.equal(app?.["context"], "sub/c");
  assert.deepEqual(app["contexts"], { l: "l" });
});

const failures: readonly (readonly [name: string, text: string, problem: string])[] = [
  [
    "an unknown service to extend",
    "services: {app: {extends: bas, build: .}, base: {image: x}}",
    'compose.yaml:1:27 error: service "app" extends the unknown service "bas" (did you mean "base"?)',
  ],
  [
    "services that extend each other",
    "services: {a: {extends: b}, b: {extends: a}}",
    "compose.yaml:1:25 error: services extend each other: a -> b -> a",
  ],
  [
    "a file to extend that is not there",
    "services: {a: {extends: {service: x, file: no.yaml}}}",
    'compose.yaml:1:44 error: there is no Compose file "no.yaml"',
  ],
  [
    "a file to include that is not there",
    "include: [no.yaml]\nservices: {a: {build: .}}",
    'compose.yaml:1:11 error: there is no Compose file "no.yaml"',
  ],
  [
    "a file that includes itself",
    "include: [compose.yaml]\nservices: {a: {build: .}}",
    "compose.yaml:1:11 error: files include each other: compose.yaml -> compose.yaml",
  ],
  [
    "an environment file that is not there",
    "services: {a: {build: ., env_file: no.env}}",
    'compose.yaml:1:36 error: there is no environment file "no.env" ({ path: ..., required: false } makes it optional)',
  ],
  [
    "shapes that cannot be merged",
    "services: {a: {build: {tags: [x]}}}\n---\nservices: {a: {build: {tags: x}}}",
    "compose.yaml:3:30 error: a string cannot extend a list of an earlier file (!override replaces it)",
  ],
  [
    "a file without services",
    "networks: {}",
    'compose.yaml:1:1 error: the Compose file "compose.yaml" has no services (it needs a mapping "services")',
  ],
  [
    "services that are no mapping",
    "services:",
    'compose.yaml:1:10 error: "services" must be a mapping, found nothing',
  ],
  [
    "a document that is no mapping",
    "- a",
    "compose.yaml:1:1 error: a Compose file is a mapping, found a list",
  ],
  [
    "a variable that must be set",
    'services: {a: {image: "${V:?set V}", build: .}}',
    'compose.yaml:1:23 error: the variable "V" must have a value: set V (set it in the environment, in .env, or with --var V=...)',
  ],
  [
    "a name that no target can have",
    'services: {"a b": {build: .}}',
    'compose.yaml:1:12 error: the name "a b" of a service has characters that are not allowed (use letters, digits, ".", "_" and "-")',
  ],
];

for (const [name, text, problem] of failures) {
  test(`${name}: the problem is told where it is`, () => assert.deepEqual(composeProblems(text), [problem]));
}

test("only variables that builds read are warned about, once each", () => {
  const text = 'services: {a: {image: "$A$A", command: "$B", build: {context: ., tags: ["$A"]}}}';
  assert.deepEqual(composeProblems(text), [
    'compose.yaml:1:23 warning: the variable "A" is not set and becomes empty (${A:-value} gives it a default)',
  ]);
});

test("the files that were asked for are part of the document", () => {
  const input = bakeInput(
    { "compose.yaml": "include: [inc/c.yaml]\nservices: {a: {extends: {service: b, file: b.yaml}}}" },
    { others: { "inc/c.yaml": "services: {c: {build: .}}", "b.yaml": "services: {b: {build: .}}" } },
  );
  assert.deepEqual(loadBakeFiles(input).value?.files, [".env", "inc/.env", "inc/c.yaml", "b.yaml"]);
});
