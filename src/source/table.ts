// The kinds of sources by scheme: one row each, loaded when first used.
import type { StateRoot } from "../content/root.ts";
import { BakeError } from "../diagnostic/error.ts";
import { heardBy, type PatienceListener } from "../registry/patience.ts";
import type { Session } from "../session/session.ts";
import type { GitSourceDeps } from "./git.ts";
import type { HttpSourceDeps } from "./http.ts";
import type { ImageSourceDeps } from "./image.ts";
import type { LocalSourceDeps } from "./local.ts";
import type { PinnedSource, SourceBinding, SourceFacts, SourceRequest, SourceContext } from "./source.ts";

export type SourceDeps = ImageSourceDeps & LocalSourceDeps & GitSourceDeps & HttpSourceDeps;

const sources = {
  "docker-image": async deps => (await import("./image.ts")).createImageSource(deps),
  local: async deps => (await import("./local.ts")).createLocalSource(deps),
  "oci-layout": async deps => (await import("./ocilayout.ts")).createOciLayoutSource(deps),
  git: async deps => (await import("./git.ts")).createGitSource(deps),
  http: async deps => (await import("./http.ts")).createHttpSource(deps),
  https: async deps => (await import("./http.ts")).createHttpSource(deps),
} as const satisfies Readonly<Record<string, (deps: SourceDeps) => Promise<SourceBinding>>>;

export type SourceScheme = keyof typeof sources;

function isSourceScheme(scheme: string): scheme is SourceScheme {
  return Object.hasOwn(sources, scheme);
}

/** Splits `scheme://rest` and loads the row. @throws BakeError "llb-invalid" */
async function loadSource(
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

/** A source by its identifier and attributes. */
export interface SourceLookup extends Omit<SourceRequest, "locator"> {
  readonly identifier: string;
}

/** Pins of a run by source: a branch that moves meanwhile is one commit for all who ask. */
const pins = new WeakMap<StateRoot, WeakMap<Session, Map<string, Promise<PinnedSource>>>>();

/** Pins a source, once for a session whoever asks. @throws BakeError */
export async function pinSource(
  { identifier, attrs, platform }: SourceLookup,
  deps: SourceDeps,
  context: SourceContext,
): Promise<PinnedSource> {
  const { binding, locator } = await loadSource(identifier, deps);
  const { root, session } = deps;
  const ofRoot = pins.get(root) ?? new WeakMap<Session, Map<string, Promise<PinnedSource>>>();
  pins.set(root, ofRoot);
  const ofSession = ofRoot.get(session) ?? new Map<string, Promise<PinnedSource>>();
  ofRoot.set(session, ofSession);
  const key = JSON.stringify([identifier, Object.entries(attrs).sort(), platform]);
  const known = ofSession.get(key);
  if (known !== undefined) return known;
  const heard = (asking: SourceContext): SourceContext => {
    // Nothing is asked twice of this machine.
    if (binding.pool !== "network") return asking;
    const { emit, step, signal } = asking;
    const tell: PatienceListener = line =>
      emit({ type: "log", id: step, at: deps.now(), stream: 2, data: Buffer.from(`${line}\n`) });
    return { ...asking, signal: heardBy(tell, signal) };
  };
  const pinned = binding
    .pin({ locator, attrs, platform }, heard(context))
    .then((pin): PinnedSource => ({ ...pin, fetch: wanting => pin.fetch(heard(wanting)) }));
  ofSession.set(key, pinned);
  // A failure is not an answer: the next one asks again.
  pinned.catch(() => ofSession.delete(key));
  return pinned;
}

/** What a source says of the version that is fetched now; nothing for kinds that have nothing to tell. @throws BakeError */
export async function describeSource(
  { identifier, attrs, platform }: SourceLookup,
  deps: SourceDeps,
  context: SourceContext,
): Promise<SourceFacts> {
  const { binding, locator } = await loadSource(identifier, deps);
  return (await binding.describe?.({ locator, attrs, platform }, context)) ?? {};
}
