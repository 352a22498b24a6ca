// `type=cacheonly`: the result stays in the cache and goes nowhere else.
import type { Exporter } from "./exporter.ts";

export function createCacheOnlyExporter(): Exporter {
  return {
    stage: () =>
      Promise.resolve({
        commit: () => Promise.resolve({ response: {} }),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }),
  };
}
