// Where a person looks around: the container of a step, before or after its command, or of a target's result.
import type { KeptStep } from "../session/session.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { ProcessSpec } from "../executor/executor.ts";
import type { Graph, GraphRoot, GraphVertex } from "../llb/graph.ts";
import { type Input, SKIP_OUTPUT } from "../llb/op/op.ts";
import type { OpDeps } from "../op/binding.ts";
import { openExec } from "../op/exec.ts";
import { createHeld } from "../op/held.ts";
import { createKeptStep } from "../op/keptstep.ts";
import { snapshotOf } from "../op/tree.ts";
import type { Ref } from "../snapshot/ref.ts";
import type { OpContext } from "../solver/op.ts";
import type { LoweredRequest, StepPlace } from "./engine.ts";
import { boundExec, vertexNames } from "./graph.ts";

export interface OpenStepRun {
  readonly deps: OpDeps;
  readonly context: OpContext;
  /** Results of edges of a graph. @throws BakeError */
  readonly solve: (graph: Graph) => Promise<readonly Ref[]>;
}

/** @throws BakeError "usage" when there is no such step, or of what has to be solved first */
export async function openStep(
  graph: Graph,
  { name, images }: LoweredRequest,
  { step, before = false }: StepPlace,
  { deps, context, solve }: OpenStepRun,
): Promise<KeptStep> {
  const results = (inputs: readonly (Input | undefined)[]): Promise<readonly Ref[]> =>
    solve({ ...graph, roots: inputs.map((root): GraphRoot => ({ target: name, root })) });
  const config = images[0]?.config.config;
  const root = graph.roots[0]?.root;
  if (step === undefined) return openTreeAs(await results([root]), config, deps, context);

  const vertex = findStep(graph, name, step);
  if (vertex.op.kind !== "exec") {
    const shown: Input | undefined = before ? vertex.inputs[0] : { digest: vertex.digest, index: 0 };
    return openTreeAs(await results([shown]), config, deps, context);
  }
  const { op } = vertex;
  const bound = boundExec(vertex, op, graph, deps);
  const kept = before ? [] : op.spec.mounts.filter(({ output }) => output !== SKIP_OUTPUT);
  const outputs = kept.map(({ output }): Input => ({ digest: vertex.digest, index: output }));
  const refs = await results([...vertex.inputs, ...outputs]);
  // What the step wrote stands where its inputs stood.
  const mounts = op.spec.mounts.map(mount => {
    const index = kept.indexOf(mount);
    return index < 0 ? mount : { ...mount, input: vertex.inputs.length + index };
  });
  return openExec({ ...bound, op: { ...op, spec: { ...op.spec, mounts } } }, refs, deps, context);
}

/** A tree with the environment of an image. What is done in it is thrown away. */
async function openTreeAs(
  [ref = { tag: "scratch" }]: readonly Ref[],
  config: LoweredRequest["images"][number]["config"]["config"],
  { worker }: OpDeps,
  { signal }: OpContext,
): Promise<KeptStep> {
  const executor = await worker.executor();
  await using held = createHeld();
  const active = held.add(await worker.snapshots.prepare(await snapshotOf(ref, worker, signal)));
  const command: ProcessSpec = {
    args: [],
    env: config?.Env ?? [],
    cwd: config?.WorkingDir || "/",
    user: config?.User ?? "",
    network: "default",
    insecure: false,
  };
  const root = { path: active.root, readonly: false, mounts: [] };
  return createKeptStep(executor, command, { text: "", root, held: held.pass() });
}

function findStep(graph: Graph, target: string, wanted: string): GraphVertex {
  const names = vertexNames(graph);
  const steps = [...graph.vertices.values()].filter(({ op }) => op.kind !== "source");
  const nameOf = (step: GraphVertex): string => names.get(step.digest) ?? "";
  // "[linux/arm64 build 2/4] RUN make"
  const heads = steps.map(
    step => /^\[([^\]]* )?\d+\/\d+\]/.exec(nameOf(step))?.[0].slice(1, -1).split(" ") ?? [],
  );
  const numbered = steps.filter((_, index) =>
    [heads[index]?.slice(-1), heads[index]?.slice(-2)].some(words => words?.join(" ") === wanted),
  );
  const ofStage = steps.filter((_, index) => heads[index]?.at(-2) === wanted);
  const text = wanted.toLowerCase();
  const containing = steps.filter(step => nameOf(step).toLowerCase().includes(text));
  const found = numbered.length === 1 ? numbered : ofStage.length > 0 ? ofStage.slice(-1) : containing;
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  throw new BakeError(
    "usage",
    found.length === 0
      ? `target "${target}" has no step "${wanted}"`
      : `"${wanted}" is in the names of ${found.length} steps of target "${target}"`,
    {
      hint: `name one of its steps:\n${(found.length === 0 ? steps : found).map(step => `  ${nameOf(step).replace(/\s+/g, " ")}`).join("\n")}`,
    },
  );
}
