// The kinds of sources by scheme: one row each, loaded when first used.
import { BakeError } from "../diagnostic/error.ts";
import type { ImageSourceDeps } from "./image.ts";
import type { LocalSourceDeps } from "./local.ts";
import type { SourceBinding } from "./source.ts";

export type SourceDeps = ImageSourceDeps & LocalSourceDeps;

const sources = {
  "docker-image": async deps => (await import("./image.ts")).createImageSource(deps),
  local: async deps => (await import("./local.ts")).createLocalSource(deps),
  "oci-layout": () => unavailable("oci-layout"),
  git: () => unavailable("git"),
  http: () => unavailable("http"),
  https: () => unavailable("https"),
} as const satisfies Readonly<Record<string, (deps: SourceDeps) => Promise<SourceBinding>>>;

export type SourceScheme = keyof typeof sources;

function isSourceScheme(scheme: string): scheme is SourceScheme {
  return Object.hasOwn(sources, scheme);
}

function unavailable(scheme: string): Promise<SourceBinding> {
  throw new BakeError("not-supported", `sources of kind "${scheme}" are not available yet`, {
    hint: "fetch it into a local folder and use that as a named context",
  });
}

/** Splits `scheme://rest` and loads the row. @throws BakeError "llb-invalid", "not-supported" */
export async function loadSource(
  identifier: string,
  deps: SourceDeps,
): Promise<{ binding: SourceBinding; locator: string }> {
  const at = identifier.indexOf("://");
  const scheme = identifier.slice(0, Math.max(at, 0));
  if (at < 0 || !isSourceScheme(scheme)) {
    throw new BakeError("llb-invalid", `unknown source "${identifier}"`, {
      hint: `known kinds: ${Object.keys(sources).join(", ")}`,
    });
  }
  // http identifiers are whole URLs; for the others the scheme only names the kind.
  const locator = scheme === "http" || scheme === "https" ? identifier : identifier.slice(at + "://".length);
  return { binding: await sources[scheme](deps), locator };
}
