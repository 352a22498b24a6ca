// What the words of a command line say about bake files at a URL, and the secrets that go with its host.
import { isRemote } from "../bakefile/path.ts";
import { BakeError } from "../diagnostic/error.ts";

export interface BakeArguments {
  /** Where the bake files are; undefined when they are local. */
  readonly url: string | undefined;
  /** The value of BAKE_CMD_CONTEXT. */
  readonly commandContext: string;
  readonly targets: readonly string[];
}

/** Splits the words of a command line: up to two URLs come before the targets. @throws BakeError "usage" */
export function bakeArguments(words: readonly string[]): BakeArguments {
  const [url = "", context = "", ...rest] = words;
  const late = words.find((word, index) => isRemote(word) && !words.slice(0, index).every(isRemote));
  if (late !== undefined) {
    throw new BakeError("usage", `the URL "${late}" stands behind a target`, {
      hint: "the place of the bake file comes first: bake URL TARGET",
    });
  }
  if (!isRemote(url)) return { url: undefined, commandContext: "cwd://", targets: words };
  if (!isRemote(context)) return { url, commandContext: "cwd://", targets: words.slice(1) };
  return { url, commandContext: context, targets: rest };
}

/** Variables that hold what opens the repository of a definition, by secret. */
const SECRET_VARIABLES = [
  ["GIT_AUTH_TOKEN", "BUILDX_BAKE_GIT_AUTH_TOKEN"],
  ["GIT_AUTH_HEADER", "BUILDX_BAKE_GIT_AUTH_HEADER"],
] as const;

/** Secrets for contexts on the host of the definition, as entries of a target. */
export function definitionSecrets(
  url: string,
  context: string,
  env: Readonly<Record<string, string>>,
): readonly { readonly id: string; readonly env: string }[] {
  const host = hostOf(url);
  if (host === undefined || host !== hostOf(context)) return [];
  return SECRET_VARIABLES.filter(([, variable]) => Object.hasOwn(env, variable)).map(([id, variable]) => ({
    id: `${id}.${host}`,
    env: variable,
  }));
}

/** Host and port of a git remote. */
function hostOf(url: string): string | undefined {
  const [, host] = /^(?:\w+:\/\/)?(?:[^/@]*@)?([^/:]+(?::\d+(?=\/|$))?)/.exec(url) ?? [];
  return host?.toLowerCase();
}
