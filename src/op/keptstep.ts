// A container that outlives its step, so that a person can look around in it.
import { statSync } from "node:fs";
import type { Executor, ProcessSpec, RootSpec } from "../executor/executor.ts";
import { resolveInRoot } from "../layer/rootpath.ts";
import type { KeptStep } from "../session/session.ts";
import type { Held } from "./held.ts";

/** The container of `command`, as text `text`; `held` is what disposing it gives back. */
export function createKeptStep(
  executor: Executor,
  command: ProcessSpec,
  { text, root, held }: { readonly text: string; readonly root: RootSpec; readonly held: Held },
): KeptStep {
  return {
    command: text,
    has: program => {
      try {
        return statSync(resolveInRoot(root.path, program, { followLast: true })).isFile();
      } catch {
        return false;
      }
    },
    run: (args, { env, ...options }) =>
      executor.run({ ...command, args, env: [...command.env, ...env] }, root, {
        ...options,
        onOutput: () => undefined,
      }),
    [Symbol.asyncDispose]: () => held[Symbol.asyncDispose](),
  };
}
