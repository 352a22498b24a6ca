// The build op: a definition found inside another result, solved in its place. Needs nested solves from within an op.
import { BakeError } from "../diagnostic/error.ts";
import type { OpBinding } from "./binding.ts";

export const buildBinding: OpBinding<"build"> = {
  cacheMap: () => Promise.reject(unavailable()),
  exec: () => Promise.reject(unavailable()),
};

function unavailable(): BakeError {
  return new BakeError("not-supported", "build ops (a definition inside a result) are not available yet", {
    hint: "solve the inner definition by itself and use its result as an input",
  });
}
