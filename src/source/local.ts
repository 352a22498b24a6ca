// `local://NAME`: a directory lent by the session, read in place. Nothing is copied here: consumers are keyed by the
// content of what they read, so the source itself is volatile.
import { realpathSync } from "node:fs";
import { BakeError } from "../diagnostic/error.ts";
import type { Session } from "../session/session.ts";
import type { PinnedSource, SourceBinding, SourceRequest } from "./source.ts";

export interface LocalSourceDeps {
  readonly session: Session;
}

export function createLocalSource(deps: LocalSourceDeps): SourceBinding {
  return { pool: "free", pin: request => pinLocal(request, deps) };
}

async function pinLocal(
  { locator, attrs }: SourceRequest,
  { session }: LocalSourceDeps,
): Promise<PinnedSource> {
  if (/^(?:1|t|true)$/i.test(attrs["local.metadatatransfer"] ?? "")) {
    throw new BakeError("not-supported", `local "${locator}" is asked for without the content of its files`, {
      hint: "leave the source attribute local.metadatatransfer away: folders are read in place, nothing is transferred",
    });
  }
  const lent = session.localDir(locator, attrs["local.session"] ?? "");
  if (lent === undefined) {
    throw new BakeError("file-missing", `no local folder named "${locator}" was given to this build`, {
      hint: `give it with --local ${locator}=FOLDER`,
    });
  }
  // The folder itself may be reached through links; what is in it is read link by link.
  const root = realPath(lent, locator);
  const sessionId = attrs["local.session"] ?? "";
  const excludePatterns = patternList(attrs["local.excludepatterns"], "local.excludepatterns") ?? [];
  const tree = {
    root,
    excludePatterns,
    excludedAt: session.excludedAt?.(locator, sessionId, excludePatterns),
    includePatterns: patternList(attrs["local.includepattern"], "local.includepattern") ?? [],
    followPaths: patternList(attrs["local.followpaths"], "local.followpaths"),
  };
  return {
    parts: [{ label: "local folder", value: root, shown: root }],
    volatile: true,
    fetch: () => Promise.resolve({ tag: "local", tree }),
  };
}

/** @throws BakeError "file-missing" */
function realPath(lent: string, locator: string): string {
  try {
    return realpathSync.native(lent);
  } catch (cause) {
    throw new BakeError("file-missing", `cannot read the folder "${lent}" (local "${locator}")`, { cause });
  }
}

/** The attribute's JSON array of strings. @throws BakeError "llb-invalid" */
function patternList(text: string | undefined, attribute: string): readonly string[] | undefined {
  if (text === undefined || text === "") return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (Array.isArray(value) && value.every((item): item is string => typeof item === "string")) return value;
  } catch {
    // Reported below, like any other wrong form.
  }
  throw new BakeError("llb-invalid", `source attribute "${attribute}" is not a list of strings`);
}
