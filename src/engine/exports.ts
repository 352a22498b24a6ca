// The last hop: every export of a run is staged first; when all are, they are committed, files before tags.
import { explainFullDisk } from "../content/fulldisk.ts";
import { despiteDamage } from "../content/damaged.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { ExportImage, ExportReport, ExportRequest, StagedExport } from "../exporter/exporter.ts";
import { type ExporterDeps, loadExporter } from "../exporter/table.ts";
import { SeenFolders } from "../layer/stack.ts";
import type { Emit } from "../progress/event.ts";

export interface ExportJob {
  /** The request's name, for progress and errors. */
  readonly target: string;
  readonly images: readonly ExportImage[];
  readonly exports: readonly ExportRequest[];
}

export interface ExportOptions {
  readonly emit: Emit;
  readonly signal: AbortSignal;
  readonly now: () => number;
  readonly stdout: NodeJS.WritableStream;
  /** The state directory, for errors of its disk. */
  readonly statePath: string;
}

/** Kinds whose effect others can see at once and that cannot be undone: committed last. */
const PUBLISHING = new Set(["image", "registry"]);

/** Most of an export is waiting: for the disk, or for a registry. */
const PARALLEL = 8;

/** Exports all jobs; reports in the order of each job's exports. Nothing becomes visible if staging any of them fails. */
export async function exportAll(
  jobs: readonly ExportJob[],
  deps: ExporterDeps,
  options: ExportOptions,
): Promise<readonly (readonly ExportReport[])[]> {
  const staged: {
    readonly job: number;
    readonly slot: number;
    readonly request: ExportRequest;
    readonly step: string;
    readonly export: StagedExport;
  }[] = [];
  const reports: ExportReport[][] = jobs.map(() => []);
  const places = jobs.flatMap(({ exports }, job) =>
    exports.map((request, slot): ExportPlace => ({ job, slot, request })),
  );
  const seen = new SeenFolders({ isShared: places.length > 1 });
  const stage = async ({ job, slot, request }: ExportPlace): Promise<void> => {
    const { target = "", images = [] } = jobs[job] ?? {};
    const step = `export:${target}:${slot}`;
    if (request.type !== "cacheonly") announce(step, target, request, options);
    const exporter = await loadExporter(request.type, deps);
    const stagedExport = await failing(step, request, options, () =>
      despiteDamage(() => exporter.stage(request, { images }, { ...options, step, seen })),
    );
    staged.push({ job, slot, request, step, export: stagedExport });
  };
  const commit = async (item: (typeof staged)[number]): Promise<void> => {
    const report = await failing(item.step, item.request, options, () => item.export.commit());
    (reports[item.job] ?? [])[item.slot] = report;
    if (item.request.type !== "cacheonly") options.emit({ type: "done", id: item.step, at: options.now() });
  };
  try {
    await severalAtOnce(places, PARALLEL, options.signal, stage);
    staged.sort((a, b) => a.job - b.job || a.slot - b.slot);
    const publishing = staged.filter(({ request }) => PUBLISHING.has(request.type));
    for (const item of staged) if (!publishing.includes(item)) await commit(item);
    // Of two that move one tag the later is to win.
    await severalAtOnce(publishing, haveSameName(publishing) ? 1 : PARALLEL, options.signal, commit);
    return reports;
  } finally {
    for (const item of staged) await item.export[Symbol.asyncDispose]();
  }
}

interface ExportPlace {
  readonly job: number;
  readonly slot: number;
  readonly request: ExportRequest;
}

function haveSameName(items: readonly ExportPlace[]): boolean {
  const names = items.flatMap(({ request }) => (request.attrs["name"] ?? "").split(","));
  return new Set(names).size < names.length;
}

/** Works through items in order, some at a time. After a failure none is begun; it is thrown when all begun ones are over. */
async function severalAtOnce<T>(
  items: readonly T[],
  limit: number,
  signal: AbortSignal,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const failures: unknown[] = [];
  const one = async (): Promise<void> => {
    try {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        signal.throwIfAborted();
        await work(next);
      }
    } catch (thrown) {
      failures.push(thrown);
      queue.length = 0;
    }
  };
  await Promise.all(Array.from({ length: limit }, one));
  if (failures.length > 0) throw failures[0];
}

function announce(step: string, target: string, request: ExportRequest, { emit, now }: ExportOptions): void {
  const where = request.dest === undefined ? (request.attrs["name"] ?? "") : request.dest;
  const name = `exporting to ${request.type === "local" ? "folder" : request.type}${where === "" ? "" : ` ${where === "-" ? "standard output" : where}`}`;
  emit({ type: "step", id: step, name, inputs: [], targets: [target] });
  emit({ type: "started", id: step, at: now() });
}

async function failing<T>(
  step: string,
  { dest }: ExportRequest,
  { emit, now, signal, statePath }: ExportOptions,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    const error = BakeError.from(explainFullDisk(thrown, statePath, dest));
    if (signal.aborted) emit({ type: "canceled", id: step, at: now() });
    else emit({ type: "failed", id: step, at: now(), message: error.message });
    throw error;
  }
}
