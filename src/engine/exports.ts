// The last hop: every export of a run is staged first; when all are, they are committed, files before tags.
import { explainFullDisk } from "../content/fulldisk.ts";
import { despiteDamage } from "../content/damaged.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { ExportImage, ExportReport, ExportRequest, StagedExport } from "../exporter/exporter.ts";
import { type ExporterDeps, loadExporter } from "../exporter/table.ts";
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
  try {
    for (const [job, { target, images, exports }] of jobs.entries()) {
      for (const [slot, request] of exports.entries()) {
        options.signal.throwIfAborted();
        const step = `export:${target}:${slot}`;
        if (request.type !== "cacheonly") announce(step, target, request, options);
        const exporter = await loadExporter(request.type, deps);
        const stagedExport = await failing(step, request, options, () =>
          despiteDamage(() => exporter.stage(request, { images }, { ...options, step })),
        );
        staged.push({ job, slot, request, step, export: stagedExport });
      }
    }
    const last = (type: string): number => (PUBLISHING.has(type) ? 1 : 0);
    for (const item of staged.toSorted((a, b) => last(a.request.type) - last(b.request.type))) {
      const report = await failing(item.step, item.request, options, () => item.export.commit());
      (reports[item.job] ?? [])[item.slot] = report;
      if (item.request.type !== "cacheonly") options.emit({ type: "done", id: item.step, at: options.now() });
    }
    return reports;
  } finally {
    for (const item of staged) await item.export[Symbol.asyncDispose]();
  }
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
