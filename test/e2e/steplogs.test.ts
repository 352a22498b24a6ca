// Goal: a step's output is never lost: the terminal shows its end, the whole of it is in a file whose path the failure
// tells. Secrets that were lent to steps are in none of it, nor anywhere else.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { bake, bakeOk, baseStage, target, tempProject } from "../rig/bake.ts";
import { skipWithoutRuntime } from "../rig/engine.ts";

test(
  "a failed step shows its last lines and where all of them are",
  { skip: skipWithoutRuntime },
  async () => {
    using project = tempProject();
    project.write("bake.hcl", target("default"));
    project.write(
      "Dockerfile",
      `${baseStage}RUN i=0; while [ $i -lt 5000 ]; do echo "line $i"; i=$((i+1)); done; exit 9\n`,
    );
    const outcome = await bake(["--progress=quiet"], project);
    assert.equal(outcome.exitCode, 1);
    assert.match(outcome.stderr, /\(4980 lines before these\)\n[\d.]+ line 4980\n[^]* line 4999\n/);
    const path = /all of its output is in (\/.+\.log)/.exec(outcome.stderr)?.[1] ?? "";
    const lines = readFileSync(path, "utf8").split("\n");
    assert.deepEqual([lines.length, lines[0], lines[4999]], [5001, "line 0", "line 4999"]);
    assert.equal(statSync(path).mode & 0o777, 0o600);
  },
);

test(
  "a secret that steps print, fail with or write is in no log, event, key or record",
  { skip: skipWithoutRuntime },
  async () => {
    using project = tempProject();
    const value = "correct-horse-battery";
    project.write(
      "bake.hcl",
      target("default", 'secret = ["id=token,env=TOKEN"]', 'output = ["type=oci,dest=out.tar"]'),
    );
    project.write(
      "Dockerfile",
      `${baseStage}RUN --mount=type=secret,id=token,env=T printf 'a %s' "$T"; cat /run/secrets/token 2>/dev/null; echo "$T" | tr a-z A-Z >/dev/null
RUN --mount=type=secret,id=token cat /run/secrets/token; head -c 7 /run/secrets/token >&2; cat /run/secrets/token; tail -c +8 /run/secrets/token >&2
RUN --mount=type=secret,id=token cat /run/secrets/token > /dev/shm/copy && test -f /fine
`,
    );
    const shown: string[] = [];
    for (const mode of ["rawjson", "plain"]) {
      const outcome = await bake([`--progress=${mode}`], { ...project, env: { TOKEN: value } });
      assert.equal(outcome.exitCode, 1);
      shown.push(outcome.stderr);
    }
    project.write(
      "Dockerfile",
      readFileSync(join(project.cwd, "Dockerfile"), "utf8").replace(" && test -f /fine", ""),
    );
    shown.push((await bakeOk(["--progress=rawjson"], { ...project, env: { TOKEN: value } })).stderr);
    shown.push((await bakeOk(["explain"], project)).stdout, (await bakeOk(["du"], project)).stdout);
    const events = shown.flatMap(text =>
      [...text.matchAll(/"data":"([^"]*)"/g)].map(([, data = ""]) => Buffer.from(data, "base64").toString()),
    );
    assert.ok(events.join("").includes("a ***"));
    for (const [name, text] of [...shown.entries(), ["events", events.join("")] as const])
      assert.ok(!text.includes(value), `in what was shown (${name})`);
    for (const folder of [project.root, project.cwd]) {
      for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue;
        const bytes = readFileSync(join(entry.parentPath, entry.name));
        assert.ok(!bytes.includes(value), join(entry.parentPath, entry.name));
        if (bytes[0] === 0x1f && bytes[1] === 0x8b) assert.ok(!gunzipSync(bytes).includes(value), entry.name);
      }
    }
  },
);
