// Goal: digests, names, configs, warnings and errors of whole Dockerfiles stay what they are. Each folder of
// test/golden/dockerfile holds a Dockerfile, a request.json and the expected.json; UPDATE=1 rewrites the latter.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import { renderDiagnostics } from "../../src/diagnostic/render.ts";
import type { Definition } from "../../src/llb/definition.ts";
import { decodeOp } from "../../src/llb/ops.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { formatPlatform } from "../../src/oci/platform.ts";
import { type HostData, lower } from "./host.ts";

const root = join(import.meta.dirname, "../golden/dockerfile");

interface Request extends Partial<HostData> {
  readonly options?: Readonly<Record<string, string>>;
}

for (const name of readdirSync(root).sort()) {
  test(`golden Dockerfile "${name}"`, async () => {
    const read = (file: string): string => readFileSync(join(root, name, file), "utf8");
    const request: Request = JSON.parse(read("request.json")) as Request;
    const data: HostData = {
      ...request,
      files: { "dockerfile/Dockerfile": read("Dockerfile"), ...request.files },
    };
    const actual = `${JSON.stringify(await outcome(data, request), undefined, 2)}\n`;
    if (process.env["UPDATE"] === "1") writeFileSync(join(root, name, "expected.json"), actual);
    assert.equal(actual, read("expected.json"));
  });
}

async function outcome(data: HostData, { options = {} }: Request): Promise<unknown> {
  try {
    const { images, warnings } = await lower(data, { options });
    return {
      images: images.map(({ platform, definition, config }) => ({
        platform: formatPlatform(platform),
        steps: stepsOf(definition),
        config,
      })),
      ...(warnings.length > 0 && { warnings: renderDiagnostics(warnings).split("\n") }),
    };
  } catch (thrown) {
    if (!(thrown instanceof BakeError)) throw thrown;
    return { code: thrown.code, error: renderDiagnostics(thrown.diagnostics).split("\n") };
  }
}

function stepsOf({ def, metadata, locations }: Definition): unknown[] {
  return def.map(bytes => {
    const digest = digestOf(bytes);
    const op = decodeOp(bytes);
    const lines = locations.get(digest)?.ranges.map(({ startLine }) => startLine);
    return {
      digest,
      kind: op.kind,
      ...(op.kind === "source" && { source: op.spec.identifier }),
      ...(metadata.get(digest)?.description && {
        name: metadata.get(digest)?.description?.["llb.customname"],
      }),
      ...(lines && { lines }),
    };
  });
}
