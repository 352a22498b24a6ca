// One sequence of the truth law: a project is edited again and again, and after each edit the incremental build must give
// what a build in a new state directory gives, digest for digest.
import assert from "node:assert/strict";
import fc from "fast-check";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SolveRequest } from "../../src/engine/engine.ts";
import type { EngineOptimization } from "../../src/engine/without.ts";
import { busyboxDir } from "../rig/bake.ts";
import { type EngineRig, engineRig, platform, skipWithoutContainers } from "../rig/engine.ts";
import { describeTree } from "../rig/tree.ts";
import { timelessDigest } from "./imagedigest.ts";
import { applyEdit, createProject, dockerfileOf, editOf, linesOf, type Project } from "./project.ts";

export interface LawOptions {
  readonly sequences: number;
  readonly seed: number;
  /** What the incremental builds do without. */
  readonly without?: ReadonlySet<EngineOptimization>;
}

/**
 * Checks sequences of edits; returns how many builds were compared.
 * @throws Error with the smallest sequence that fails, and the seed
 */
export async function checkTruth({ sequences, seed, without }: LawOptions): Promise<number> {
  let compared = 0;
  const options = without === undefined ? {} : { without };
  const sequence = fc.nat({ max: 2 }).chain(luck => {
    const canRun = luck === 0 && skipWithoutContainers === false;
    return fc.record({
      lines: linesOf(canRun),
      edits: fc.array(editOf(canRun), { minLength: 2, maxLength: 6 }),
    });
  });
  await fc.assert(
    fc.asyncProperty(sequence, async ({ lines, edits }) => {
      await using kept = await engineRig(options);
      const project = createProject(kept.dir.path, lines);
      await build(kept, project);
      for (const [index, edit] of edits.entries()) {
        applyEdit(project, edit);
        // Every other build is by a new process.
        if (index % 2 === 0) await kept.reopen();
        const incremental = await build(kept, project);
        await using fresh = await engineRig();
        const clean = await build(fresh, project);
        if (incremental !== clean) {
          const trees = [await treeOf(kept, project), await treeOf(fresh, project)];
          const message = `after ${JSON.stringify(edit)}\n${dockerfileOf(project)}`;
          assert.deepEqual(trees[0], trees[1], message);
          assert.equal(incremental, clean, `${message}\n${trees[0]?.join("\n")}`);
        }
        compared++;
      }
    }),
    { numRuns: sequences, seed, endOnFailure: false },
  );
  return compared;
}

/** The digest of the image, but for its times, or the message of the failure. */
async function build(rig: EngineRig, project: Project): Promise<string> {
  const dest = join(rig.dir.path, "image");
  const attrs = { tar: "false", "source-date-epoch": "1", compression: "uncompressed" };
  try {
    await solve(rig, project, { type: "oci", attrs, dest });
    return timelessDigest(dest);
  } catch (error) {
    // A failure must be the same failure.
    return `failed: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    rmSync(dest, { recursive: true, force: true });
  }
}

async function treeOf(rig: EngineRig, project: Project): Promise<readonly string[]> {
  const dest = join(rig.dir.path, "tree");
  await solve(rig, project, { type: "local", attrs: {}, dest });
  const lines = await describeTree(dest);
  return lines.map(line => (line.length > 150 ? `${line.slice(0, 150)}…` : line));
}

function solve(rig: EngineRig, project: Project, output: SolveRequest["exports"][number]) {
  const folder = join(rig.dir.path, "dockerfile");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "Dockerfile"), dockerfileOf(project));
  rig.locals
    .set("context", project.context)
    .set("extra", project.extra)
    .set("host", busyboxDir)
    .set("dockerfile", folder);
  const request: SolveRequest = {
    name: "app",
    work: {
      tag: "frontend",
      frontend: "dockerfile.v0",
      request: {
        options: {
          "build-arg:A": project.argument,
          "build-arg:V": project.variable,
          "build-arg:SOURCE_DATE_EPOCH": "1",
          "context:extra": "local:extra",
          "context:host": "local:host",
        },
        sessionId: "session",
        buildPlatform: platform,
      },
      links: {},
    },
    exports: [output],
  };
  return rig.engine.solve([request], {
    session: {
      localDir: local => rig.locals.get(local),
      secret: () => Promise.resolve(undefined),
      credentials: () => Promise.resolve(undefined),
    },
    emit: () => undefined,
    signal: new AbortController().signal,
  });
}
