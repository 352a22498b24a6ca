// The frontends by the name requests use, loaded when asked for.
import { BakeError } from "../diagnostic/error.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import type { Frontend } from "./frontend.ts";
import { syntaxes } from "./syntaxes.ts";

export const frontends: Readonly<Record<string, () => Promise<{ readonly frontend: Frontend }>>> = {
  "dockerfile.v0": () => import("./dockerfile/frontend.ts"),
  ...syntaxes,
};

/** @throws BakeError "frontend-unknown" */
export async function loadFrontend(name: string): Promise<Frontend> {
  const load = Object.hasOwn(frontends, name) ? frontends[name] : undefined;
  if (load === undefined) {
    const known = Object.keys(frontends);
    throw new BakeError("frontend-unknown", `unknown frontend "${name}"`, {
      hint: didYouMean(name, known) ?? `known: ${known.join(", ")}`,
    });
  }
  return (await load()).frontend;
}
