// What a command writes, on its way to progress events and to the log on disk: the same bytes to both, without secrets.
import type { VertexDigest } from "../llb/definition.ts";
import type { OpContext } from "../solver/op.ts";
import type { Worker } from "../worker/worker.ts";
import { createRedactor } from "./redact.ts";

export interface StepOutput {
  take(stream: 1 | 2, data: Uint8Array): void;
  /** Passes on what waits. The file with the whole output; undefined when there was none, or no file could be written. */
  end(): string | undefined;
}

/** The output of a step that runs `command`; none of the `secrets` lent to it gets through. */
export function openStepOutput(
  step: { readonly digest: VertexDigest; readonly command: string; readonly secrets: readonly Uint8Array[] },
  worker: Worker,
  { emit }: OpContext,
): StepOutput {
  const log = worker.logs.open(step.command);
  const redactors = { 1: createRedactor(step.secrets), 2: createRedactor(step.secrets) };
  const pass = (stream: 1 | 2, data: Uint8Array): void => {
    if (data.length === 0) return;
    log.write(data);
    emit({ type: "log", id: step.digest, at: worker.now(), stream, data });
  };
  return {
    take: (stream, data) => pass(stream, redactors[stream]?.feed(data) ?? data),
    end() {
      for (const stream of [1, 2] as const) {
        const redactor = redactors[stream];
        if (redactor !== undefined) pass(stream, redactor.flush());
      }
      return log.close();
    },
  };
}
