// Which targets spend their time in emulation: a fold of the events of a run. QEMU runs most programs five to twenty
// times slower than the processor, and compilers seldom need it: they can be native and make programs for others.
import type { Diagnostic } from "../diagnostic/diagnostic.ts";
import type { Range } from "../diagnostic/source.ts";
import type { Emit, StepId } from "../progress/event.ts";

/** Emulated commands of one target that take longer than this together are worth a word. */
const HEAVY_MS = 10_000;

interface EmulatedStep {
  readonly platform: string;
  readonly startedAt: number;
  ms: number;
}

export interface EmulationWatch {
  /** To be emitted through. */
  readonly emit: Emit;
  /** What was emulated for the command of a step; undefined when nothing was, or it did not run. */
  platformOf(id: StepId): string | undefined;
  /** A warning for each of the targets whose emulated commands took long, pointing at the longest. */
  warnings(
    targets: readonly string[],
    facts: {
      readonly targetsOf: (id: StepId) => readonly string[];
      readonly rangeOf: (id: StepId) => Range | undefined;
    },
  ): readonly { readonly target: string; readonly diagnostic: Diagnostic }[];
}

export function watchEmulation(emit: Emit): EmulationWatch {
  const names = new Map<StepId, string>();
  const started = new Map<StepId, number>();
  const steps = new Map<StepId, EmulatedStep>();
  return {
    emit(event) {
      if (event.type === "step") names.set(event.id, event.name);
      if (event.type === "started") started.set(event.id, event.at);
      if (event.type === "emulated")
        steps.set(event.id, {
          platform: event.platform,
          startedAt: started.get(event.id) ?? Infinity,
          ms: 0,
        });
      if (event.type === "done" || event.type === "failed") {
        const step = steps.get(event.id);
        if (step !== undefined) step.ms = Math.max(0, event.at - step.startedAt);
      }
      emit(event);
    },
    platformOf: id => steps.get(id)?.platform,
    warnings: (targets, { targetsOf, rangeOf }) =>
      targets.flatMap(target => {
        const own = [...steps].filter(([id]) => targetsOf(id).includes(target));
        const total = own.reduce((sum, [, { ms }]) => sum + ms, 0);
        const [longest] = own.sort(([, a], [, b]) => b.ms - a.ms);
        if (longest === undefined || total < HEAVY_MS) return [];
        const [id, { platform, ms }] = longest;
        const range = rangeOf(id);
        const diagnostic: Diagnostic = {
          severity: "warning",
          code: "emulation-slow",
          message: `target "${target}" spent ${seconds(total)} in emulated commands, ${seconds(ms)} of them in ${JSON.stringify(names.get(id) ?? id)} for ${platform}`,
          hint: "compile in a stage with FROM --platform=$BUILDPLATFORM for $TARGETARCH, and copy what it makes: that stage is not emulated",
          ...(range && { range }),
        };
        return [{ target, diagnostic }];
      }),
  };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
