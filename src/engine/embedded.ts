// The embedded engine: frontends, solver, worker and exporters in this process, over one state directory.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { type DiskStore, openDiskStore } from "../cache/disk.ts";
import { findEarlier } from "../cache/earlier.ts";
import { openRunHistory, type RunRecord } from "../cache/runs.ts";
import { explainFullDisk } from "../content/fulldisk.ts";
import { watchGrowth } from "../content/growth.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { ExportImage, ExportRequest } from "../exporter/exporter.ts";
import { expectExporterKind } from "../exporter/table.ts";
import type { FrontendHost, IgnoreFile } from "../frontend/frontend.ts";
import { newestFileIn } from "../layer/newest.ts";
import { resolveInRoot } from "../layer/rootpath.ts";
import type { Definition } from "../llb/definition.ts";
import { type Graph, mergeDefinitions } from "../llb/graph.ts";
import type { Digest } from "../oci/digest.ts";
import type { Platform } from "../oci/platform.ts";
import { cachesOf } from "../op/table.ts";
import type { OpDeps } from "../op/binding.ts";
import { openTree, snapshotOf } from "../op/tree.ts";
import type { KeptStep, Session } from "../session/session.ts";
import type { Emit } from "../progress/event.ts";
import type { Ref } from "../snapshot/ref.ts";
import { describeSource } from "../source/table.ts";
import type { CacheStore } from "../solver/op.ts";
import { createPools } from "../solver/pools.ts";
import { createSolver, type Outcome, type Solver } from "../solver/scheduler.ts";
import { openWorker, type Worker, type WorkerOptions } from "../worker/worker.ts";
import { callFrontends } from "./call.ts";
import type {
  Engine,
  LoweredRequest,
  PlanReport,
  ReadSolved,
  SolveContext,
  SolveReport,
  SolveRequest,
  StepPlace,
} from "./engine.ts";
import { watchEmulation } from "./emulated.ts";
import { type ExportJob, exportAll } from "./exports.ts";
import { expectEntitled } from "./entitlements.ts";
import { rangeOfVertex, solverEdges } from "./graph.ts";
import { createFrontendHost } from "./host.ts";
import { lowerRequests } from "./lower.ts";
import { createRoom } from "./room.ts";
import type { StorageGoal } from "./storage.ts";
import { type EngineOptimization, solverWithout, storeWithout, workerWithout } from "./without.ts";

export interface EmbeddedOptions {
  /** The state directory. */
  readonly rootPath: string;
  /** What steps run on without emulation. */
  readonly platform: Platform;
  /** Path or name of the OCI runtime; the best one found when absent. */
  readonly runtime?: string | undefined;
  /** Where to look for emulators and for a runtime given by name: a list of folders as in PATH. Default: the usual folders. */
  readonly searchPath?: string | undefined;
  /** What runs steps. Default: containers on this machine's kernel. */
  readonly worker?: WorkerOptions["worker"];
  /** Folder with boot/vmlinuz-VERSION and lib/modules/VERSION for virtual machines. Default: the machine's root. */
  readonly vmKernel?: string | undefined;
  /** The ways to emulate other platforms that may be taken. Default: all. */
  readonly emulationWays?: WorkerOptions["emulationWays"];
  /** Memory and processors for all steps together. Default: as many as there are. */
  readonly runLimits?: WorkerOptions["runLimits"];
  /** How long a step may take, in milliseconds. Default: any time. */
  readonly stepTimeoutMs?: WorkerOptions["stepTimeoutMs"];
  /** Where devices are described. Default: where BuildKit looks. */
  readonly deviceFolders?: WorkerOptions["deviceFolders"];
  /** What the state directory is kept to while something runs; nothing is limited when absent. */
  readonly limits?: () => Promise<StorageGoal>;
  /** How many steps may compute at once. */
  readonly maxParallelism: number;
  /** Go on with what does not depend on a failed step. Default false. */
  readonly keepGoing?: boolean;
  /** Fail instead of executing a step, but for those that read directories in place. Default false. */
  readonly failOnCacheMiss?: boolean;
  /** Every file of local folders is read, whatever its times say. Default false. */
  readonly verifyInputs?: boolean | undefined;
  /** Never open a snapshot, as one without the right to mount; fail instead. Default false. */
  readonly confined?: boolean;
  /** What is not to be used, to check that results are the same without. Default: nothing. */
  readonly without?: ReadonlySet<EngineOptimization>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Where exports with destination "-" write. */
  readonly stdout: NodeJS.WritableStream;
}

const NOTHING: ReadonlySet<EngineOptimization> = new Set();

/** Downloads wait more than they compute. */
const NETWORK_SLOTS = 8;

/** Opens the state directory when first needed. Dispose it to leave nothing behind. */
export function createEmbeddedEngine(options: EmbeddedOptions): Engine {
  let opened: Promise<Worker> | undefined;
  const listeners = new Set<Emit>();
  const room = options.limits && createRoom(options.rootPath, options.limits, listeners);
  const worker = (): Promise<Worker> => (opened ??= openWorker({ ...options, room }));
  return {
    lower: async (requests, context) => {
      await using run = createRun(await worker(), options, context);
      return await lowerRequests(requests, run.host, context.signal);
    },
    solve: async (requests, context) => {
      try {
        const open = await worker();
        // What earlier runs used may go: with --watch there are many of them in one process.
        if (listeners.size === 0) open.owner.releaseLeases();
        listeners.add(context.emit);
        await using run = createRun(open, options, context);
        await using _growth = watchGrowth(open.root, open.owner);
        return await run.solve(requests);
      } catch (thrown) {
        throw explainFullDisk(thrown, options.rootPath);
      } finally {
        listeners.delete(context.emit);
      }
    },
    plan: async (requests, context) => {
      await using run = createRun(await worker(), { ...options, keepGoing: true }, context);
      return await run.plan(requests);
    },
    open: async (requests, name, place, context) => {
      await using run = createRun(await worker(), options, context);
      return await run.open(requests, name, place);
    },
    lastRun: async (definition, name) => {
      const { root, owner } = await worker();
      return await openRunHistory(root, owner).read(definition, name);
    },
    call: async (calls, requests, context) => {
      await using run = createRun(await worker(), options, context);
      return await callFrontends(calls, requests, run.host, context.signal);
    },
    read: async (definition, context, use) => {
      await using run = createRun(await worker(), options, context);
      return await run.read(definition, use);
    },
    async [Symbol.asyncDispose]() {
      const open = await opened?.catch(() => undefined);
      await open?.[Symbol.asyncDispose]();
    },
  };
}

/** One run: one solver graph, shared by everything solved in it. */
interface Run extends AsyncDisposable {
  readonly host: FrontendHost;
  solve(requests: readonly SolveRequest[]): Promise<readonly SolveReport[]>;
  plan(requests: readonly SolveRequest[]): Promise<readonly PlanReport[]>;
  open(requests: readonly SolveRequest[], name: string, place: StepPlace): Promise<KeptStep>;
  read: <T>(definition: Definition, use: (read: ReadSolved) => Promise<T> | T) => Promise<T>;
}

function createRun(
  open: Worker,
  options: EmbeddedOptions,
  { session, emit, signal, definition }: SolveContext,
): Run {
  const { without = NOTHING } = options;
  const worker = without.size === 0 ? open : workerWithout(open, without);
  const history = openRunHistory(worker.root, worker.owner);
  const earlier = new Map<string, RunRecord>();
  const earlierOf: EarlierOf = vertex =>
    definition === undefined
      ? undefined
      : (targets.get(vertex) ?? []).flatMap(target => earlier.get(target) ?? []);
  let mayExecute = true;
  const targets = new Map<string, readonly string[]>();
  const caches = new Map<string, readonly string[]>();
  const pools = createPools({ cpu: options.maxParallelism, network: NETWORK_SLOTS });
  const emulation = watchEmulation(emit);
  const solver: Solver<Ref> = createSolver<Ref>({
    store: withEarlierRuns(storeWithout(openDiskStore(worker), without), earlierOf),
    without: solverWithout(without),
    clock: { now: options.now },
    emit: emulation.emit,
    signal,
    // Snapshots are leased by this process until it ends; there is nothing to give back before.
    release: () => Promise.resolve(),
    pools,
    nonce: randomBytes(12).toString("hex"),
    // All that is missing is told at once.
    ...((options.keepGoing === true || options.failOnCacheMiss === true) && { keepGoing: true }),
    mayExecute: () => mayExecute,
    // Nested solves are of no target.
    targetsOf: digest => (targets.get(digest) ?? []).filter(name => name !== ""),
  });
  const ignoreFiles: IgnoreFile[] = [];
  const deps: OpDeps = {
    worker,
    session: { ...session, excludedAt: excludedIn(ignoreFiles) },
    solve: async (definition, { within, signal: ended }) => {
      const graph = mergeDefinitions([{ target: "", definition }]);
      const wanting = targets.get(within) ?? [];
      for (const { digest, op } of graph.vertices.values()) {
        targets.set(digest, [...new Set([...(targets.get(digest) ?? []), ...wanting])]);
        caches.set(digest, cachesOf(op, worker.platform));
      }
      const [edge] = solverEdges(graph, deps);
      const [result] = edge === undefined ? [] : await solver.solve([edge], ended, within);
      return result ?? { tag: "scratch" };
    },
  };

  const granted = new Map<string, readonly string[]>();
  const solveGraph = async (graph: Graph): Promise<readonly Outcome<Ref>[]> => {
    expectEntitled(graph, granted);
    for (const { digest, op, targets: wanting } of graph.vertices.values()) {
      targets.set(digest, wanting);
      caches.set(digest, cachesOf(op, worker.platform));
    }
    const edges = solverEdges(graph, deps);
    const outcomes = await solver.solveEach(
      edges.filter(edge => edge !== undefined),
      signal,
    );
    let next = 0;
    return edges.map((edge): Outcome<Ref> => {
      const outcome = edge === undefined ? undefined : outcomes[next++];
      return outcome ?? { tag: "solved", result: { tag: "scratch" } };
    });
  };
  const openSolved = async (definition: Definition) => {
    const [outcome] = await solveGraph(mergeDefinitions([{ target: "", definition }]));
    return outcome && (await openTree(resultOf(outcome), worker));
  };
  const readSolved = async (definition: Definition, path: string): Promise<Uint8Array | undefined> => {
    await using tree = await openSolved(definition);
    if (tree === undefined) return undefined;
    return await readFile(resolveInRoot(tree.root, path, { followLast: true })).catch(() => undefined);
  };
  const newestInArchive = async (definition: Definition, path: string): Promise<number | undefined> => {
    await using tree = await openSolved(definition);
    if (tree === undefined) return undefined;
    return await newestFileIn(resolveInRoot(tree.root, path, { followLast: true }), signal);
  };
  const resolveSource: FrontendHost["resolveSource"] = ({ identifier, attrs }, { signal: abort }) =>
    describeSource(
      { identifier, attrs, platform: worker.platform },
      { ...worker, session },
      { signal: abort, emit: () => undefined, step: identifier },
    );
  const host = createFrontendHost({
    session,
    images: worker.images,
    registry: of => worker.registry(of),
    emit,
    readSolved,
    newestInArchive,
    resolveSource,
  });

  const readEarlier = async (requests: readonly SolveRequest[]): Promise<void> => {
    if (definition === undefined) return;
    const runs = await Promise.all(requests.map(({ name }) => history.read(definition, name)));
    for (const run of runs) if (run !== undefined) earlier.set(run.target, run);
  };
  const stepsByTarget = (requests: readonly SolveRequest[]): readonly PlanReport[] => {
    const steps = solver.verdicts();
    return requests.map(({ name }) => ({
      name,
      steps: steps.filter(({ id }) => targets.get(id)?.includes(name)),
    }));
  };
  const remember = async (requests: readonly SolveRequest[], failed: ReadonlySet<string>): Promise<void> => {
    if (definition === undefined) return;
    const endedAt = options.now();
    for (const { name, steps } of stepsByTarget(requests)) {
      if (steps.length === 0 && failed.has(name)) continue;
      const before = earlier.get(name)?.steps ?? [];
      // A step that failed or was not reached is compared with what it was when it last succeeded.
      const kept = steps.map(step => {
        const record = step.record ?? findEarlier(before, step)?.record;
        const emulated = emulation.platformOf(step.id);
        return {
          ...step,
          ...(record !== undefined && { record }),
          ...(emulated !== undefined && { emulated }),
        };
      });
      const succeeded = !failed.has(name);
      const used = [...new Set(steps.flatMap(({ id }) => caches.get(id) ?? []))];
      await history.write(definition, { target: name, endedAt, succeeded, steps: kept, caches: used });
    }
  };
  const grant = (requests: readonly SolveRequest[]): void => {
    for (const { name, entitlements = [] } of requests) granted.set(name, entitlements);
  };

  return {
    host,
    async plan(requests) {
      grant(requests);
      const lowered = await lowerRequests(requests, host, signal);
      ignoreFiles.push(...lowered.flatMap(request => request.ignoreFiles));
      await readEarlier(requests);
      mayExecute = false;
      const outcomes = await solveGraph(mergeDefinitions(partsOf(lowered)));
      const failure = failureOf(outcomes);
      if (failure !== undefined && failure.diagnostics.some(({ code }) => code !== "cache-miss"))
        throw failure;
      return stepsByTarget(requests);
    },
    async open(requests, name, place) {
      grant(requests);
      const all = await lowerRequests(requests, host, signal);
      ignoreFiles.push(...all.flatMap(request => request.ignoreFiles));
      const lowered = all.find(request => request.name === name);
      if (lowered === undefined) throw new BakeError("internal", `BUG: no request is named "${name}"`);
      const { openStep } = await import("./openstep.ts");
      return await openStep(mergeDefinitions(partsOf([lowered])), lowered, place, {
        deps,
        context: { signal, emit },
        solve: async graph => (await solveGraph(graph)).map(resultOf),
      });
    },
    async read(definition, use) {
      const [outcome] = await solveGraph(mergeDefinitions([{ target: "", definition }]));
      await using tree = outcome && (await openTree(resultOf(outcome), worker));
      return await use(path => {
        try {
          return tree && readFileSync(resolveInRoot(tree.root, path, { followLast: true }));
        } catch {
          // No such file, or a folder.
          return undefined;
        }
      });
    },
    async solve(requests) {
      // A slip in an output must not show only when everything is built.
      for (const { exports } of requests) for (const { type } of exports) expectExporterKind(type);
      grant(requests);
      const lowered = await lowerRequests(requests, host, signal);
      ignoreFiles.push(...lowered.flatMap(request => request.ignoreFiles));
      for (const { name, warnings } of lowered)
        for (const diagnostic of warnings) emit({ type: "warning", target: name, diagnostic });
      const parts = partsOf(lowered);
      await readEarlier(requests);
      mayExecute = options.failOnCacheMiss !== true;
      const graph = mergeDefinitions(parts);
      const outcomes = await solveGraph(graph);
      const emulated = emulation.warnings(
        requests.map(({ name }) => name),
        { targetsOf: id => targets.get(id) ?? [], rangeOf: id => rangeOfVertex(graph, id) },
      );
      for (const warning of emulated) emit({ type: "warning", ...warning });
      const failure = failureOf(outcomes);
      // What was refused did not run, and what was a try only, or stopped before it began, tells nothing.
      const isTry = options.confined === true && failure !== undefined;
      if (!isTry && !failure?.diagnostics.some(({ code }) => code === "cache-miss"))
        await remember(requests, failedRequests(lowered, outcomes));
      if (failure !== undefined && options.keepGoing !== true) throw failure;
      const jobs = await exportJobs(requests, lowered, outcomes, worker, signal);
      const reports = await exportAll(
        jobs,
        { ...worker, registry: () => worker.registry(session) },
        { emit, signal, now: options.now, stdout: options.stdout, statePath: worker.root.path },
      );
      if (failure !== undefined) throw failure;
      return requests.map(({ name }, index) => ({
        name,
        exports: reports[index] ?? [],
        warnings: lowered[index]?.warnings ?? [],
      }));
    },
    [Symbol.asyncDispose]: () => solver[Symbol.asyncDispose](),
  };
}

/** The definitions of requests, each under the name of its request. */
function partsOf(
  lowered: readonly LoweredRequest[],
): readonly { readonly target: string; readonly definition: Definition }[] {
  return lowered.flatMap(({ name, images }) =>
    images.map(({ definition }) => ({ target: name, definition })),
  );
}

/** Names of the requests not all of whose images were solved. */
function failedRequests(
  lowered: readonly LoweredRequest[],
  outcomes: readonly Outcome<Ref>[],
): ReadonlySet<string> {
  const failed = partsOf(lowered).flatMap(({ target }, index) =>
    outcomes[index]?.tag === "solved" ? [] : [target],
  );
  return new Set(failed);
}

/** Steps of the last runs of the targets that want a vertex. */
type EarlierOf = (vertex: Digest) => readonly RunRecord[] | undefined;

/**
 * The store, explaining steps by what they were in the last run of the same target: a step of another target or project
 * may have the same name, or even the same definition. As it is when runs are not remembered.
 */
function withEarlierRuns(store: DiskStore, earlierOf: EarlierOf): CacheStore<Ref> {
  return {
    ...store,
    async previousParts({ digest, name }) {
      const earlier = earlierOf(digest);
      if (earlier === undefined) return await store.previousParts?.({ digest, name });
      for (const { steps } of earlier) {
        const step = findEarlier(steps, { id: digest, name });
        const parts = step?.record && (await store.partsOf(step.record));
        if (parts !== undefined) return parts;
        // The same step was built, and has been forgotten since.
        if (step?.id === digest && step.record !== undefined) return [];
      }
      return undefined;
    },
  };
}

/** Finds the lines of the ignore file that gave a local source its patterns. */
function excludedIn(files: readonly IgnoreFile[]): NonNullable<Session["excludedAt"]> {
  return (name, sessionId, patterns) =>
    files
      .find(
        ({ local, lines }) =>
          local.name === name &&
          local.sessionId === sessionId &&
          lines.length === patterns.length &&
          lines.every(({ pattern }, index) => pattern === patterns[index]),
      )
      ?.lines.map(({ range }) => range);
}

function resultOf(outcome: Outcome<Ref>): Ref {
  switch (outcome.tag) {
    case "solved":
      return outcome.result;
    case "failed":
      throw outcome.failure.error;
    case "canceled":
      throw outcome.error;
  }
}

/** What the run failed with: the failures of all targets in one error, each once; undefined when all succeeded. */
function failureOf(outcomes: readonly Outcome<Ref>[]): BakeError | undefined {
  const failures = new Set<BakeError>();
  for (const outcome of outcomes)
    if (outcome.tag === "failed") failures.add(BakeError.from(outcome.failure.error));
  const [only] = failures;
  if (failures.size > 1)
    return BakeError.ofDiagnostics([...failures].flatMap(({ diagnostics }) => diagnostics));
  return (
    only ??
    outcomes
      .map(outcome => (outcome.tag === "canceled" ? outcome.error : undefined))
      .find(error => error !== undefined)
  );
}

/** What an output says of its times comes before what the build says. */
function withEpoch(request: ExportRequest, epochSeconds: number | undefined): ExportRequest {
  if (epochSeconds === undefined) return request;
  return { ...request, attrs: { "source-date-epoch": String(epochSeconds), ...request.attrs } };
}

/** What is exported: requests all of whose images were solved. A directory read in place becomes a snapshot first. */
async function exportJobs(
  requests: readonly SolveRequest[],
  lowered: readonly LoweredRequest[],
  outcomes: readonly Outcome<Ref>[],
  worker: Worker,
  signal: AbortSignal,
): Promise<readonly ExportJob[]> {
  let next = 0;
  const jobs: ExportJob[] = [];
  for (const [index, { name, exports }] of requests.entries()) {
    const images: ExportImage[] = [];
    const wanted = lowered[index]?.images ?? [];
    for (const { platform, config } of wanted) {
      const outcome = outcomes[next++];
      if (outcome?.tag !== "solved") continue;
      const id = await snapshotOf(outcome.result, worker, signal);
      images.push({ platform, config, ref: id === undefined ? { tag: "scratch" } : { tag: "snapshot", id } });
    }
    const timed = exports.map(request => withEpoch(request, lowered[index]?.sourceDateEpoch));
    jobs.push({ target: name, images, exports: images.length === wanted.length ? timed : [] });
  }
  return jobs;
}
