// Lowers a recorded case: a Dockerfile, the options of a request and canned answers of the outside. Used to compare
// with other implementations of the Dockerfile frontend (`bake debug llb --case FILE`).
import { BakeError } from "../diagnostic/error.ts";
import { positionAt } from "../diagnostic/source.ts";
import type { Diagnostic } from "../diagnostic/diagnostic.ts";
import { digestOf, parseDigest } from "../oci/digest.ts";
import type { ImageConfig } from "../oci/imageconfig.ts";
import {
  formatPlatform,
  normalizePlatform,
  parsePlatform,
  type Platform,
  platformPreference,
} from "../oci/platform.ts";
import { syntaxRequest } from "./dockerfile/syntaxrequest.ts";
import { parseDockerfile } from "./dockerfile/parse.ts";
import { formatFullPlatform } from "./dockerfile/platform.ts";
import { parseOptions } from "./dockerfile/stage.ts";
import { cut } from "./dockerfile/text.ts";
import type { FrontendHost, FrontendInput, FrontendRequest } from "./frontend.ts";
import { loadFrontend } from "./frontends.ts";

/** A case as its JSON has it. */
export interface LowerCase {
  /** Text of the Dockerfile, unless `dockerfileBase64` gives its bytes. */
  readonly dockerfile: string;
  readonly dockerfileBase64?: string;
  readonly opts?: Readonly<Record<string, string>>;
  /** Files of local directories by the directory's name and their path. */
  readonly files?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly sessionID?: string;
  /** The first is the one steps run on. */
  readonly buildPlatforms?: readonly string[];
  /** Answers of the registry by full reference. */
  readonly images?: Readonly<Record<string, CaseImage>>;
  /** Answers of remote sources by identifier. */
  readonly sources?: Readonly<Record<string, CaseSource>>;
  readonly inputs?: Readonly<Record<string, { readonly def: readonly string[] }>>;
}

interface CaseSource {
  readonly contentBase64?: string;
  readonly gitCommitObject?: string;
  /** An RFC 3339 time. */
  readonly httpLastModified?: string;
}

interface CaseImage {
  readonly digest: string;
  readonly config?: ImageConfig;
  readonly configs?: readonly { readonly platform: string; readonly config: ImageConfig }[];
}

export type LowerCaseResult =
  /** Digests in definition order, terminal last, those of several platforms one after the other. */
  | {
      readonly digests: readonly string[];
      readonly config: unknown;
      readonly warnings: readonly CaseWarning[];
    }
  | {
      readonly error: {
        readonly message: string;
        readonly sources: readonly { readonly ranges: readonly (readonly [number, number])[] }[];
      };
    }
  /** The file asks for another frontend image. */
  | { readonly forward: { readonly source: string; readonly cmdline: string } };

export interface CaseWarning {
  readonly rule: string;
  readonly message: string;
  readonly line: number;
}

const HOST: Platform = { os: "linux", architecture: "amd64" };

/** Lowers a case with the dockerfile.v0 frontend; problems of the case come back as data. */
export async function lowerCase(
  given: LowerCase,
  signal: AbortSignal = new AbortController().signal,
): Promise<LowerCaseResult> {
  const buildPlatform = normalizePlatform(parsePlatform(given.buildPlatforms?.[0] ?? "linux/amd64", HOST));
  const bytes =
    given.dockerfileBase64 === undefined
      ? new TextEncoder().encode(given.dockerfile)
      : Buffer.from(given.dockerfileBase64, "base64");
  const request: FrontendRequest = {
    options: given.opts ?? {},
    inputs: Object.fromEntries(
      Object.entries(given.inputs ?? {}).map(([key, { def }]) => [key, inputFrom(def)]),
    ),
    sessionId: given.sessionID ?? "",
    buildPlatform,
  };
  const syntax = syntaxRequest(request, new TextDecoder().decode(bytes));
  if (syntax !== undefined) return { forward: { source: syntax.image, cmdline: syntax.commandLine } };
  try {
    const frontend = await loadFrontend("dockerfile.v0");
    const { images, warnings } = await frontend.lower(request, hostFrom(given, bytes), signal);
    const configs = images.map(({ platform, config }) => [formatFullPlatform(platform), config] as const);
    return {
      digests: images.flatMap(({ definition }) => definition.def.map(digestOf)),
      config: configs.length === 1 ? configs[0]?.[1] : Object.fromEntries(configs),
      warnings: warnings.map(warningFrom),
    };
  } catch (thrown) {
    const error = BakeError.from(thrown);
    return {
      error: {
        message: error.message,
        sources: error.diagnostics[0] === undefined ? [] : placesOf(error.diagnostics[0]),
      },
    };
  }
}

function inputFrom(def: readonly string[]): FrontendInput {
  return {
    definition: { def: def.map(op => Buffer.from(op, "base64")), metadata: new Map(), locations: new Map() },
  };
}

function warningFrom(warning: Diagnostic): CaseWarning {
  const [rule, message] = cut(warning.message, ": ") ?? [warning.code, warning.message];
  return {
    rule,
    message,
    line: warning.range === undefined ? 0 : positionAt(warning.range.source, warning.range.start).line,
  };
}

/** The lines of the instructions a problem points at, or what BuildKit names instead. */
function placesOf({
  range,
  related = [],
  reported,
}: Diagnostic): { readonly ranges: readonly (readonly [number, number])[] }[] {
  if (reported !== undefined)
    return reported.map(lines => ({ ranges: lines.map(line => [line, line] as const) }));
  return [range, ...related.map(place => place.range)].flatMap(place => {
    if (place === undefined) return [];
    let first = positionAt(place.source, place.start).line;
    let last = positionAt(place.source, Math.max(place.start, place.end - 1)).line;
    const lines = parseDockerfile(place.source, parseOptions).value?.lines ?? [];
    const holder = lines.find(line => line.startLine <= first && first <= line.endLine);
    if (holder !== undefined) [first, last] = [holder.startLine, Math.max(holder.endLine, last)];
    return [{ ranges: Array.from({ length: last - first + 1 }, (_, i) => [first + i, first + i] as const) }];
  });
}

function hostFrom(given: LowerCase, dockerfile: Uint8Array): FrontendHost {
  const options = given.opts ?? {};
  const localName = options["dockerfilekey"] ?? "dockerfile";
  const filename = options["filename"] ?? "Dockerfile";
  const encode = (text: string | undefined): Uint8Array | undefined =>
    text === undefined ? undefined : new TextEncoder().encode(text);
  return {
    resolveImageConfig(reference, { platform }) {
      const image = given.images?.[reference];
      const missing = (why: string): BakeError =>
        new BakeError("registry-missing", `cannot find the image ${reference}: ${why}`);
      if (image === undefined) return Promise.reject(missing("the registry does not have it"));
      const config = image.config ?? pickConfig(image, platform);
      if (config === undefined)
        return Promise.reject(missing(`it has no version for ${formatPlatform(platform)}`));
      return Promise.resolve({ digest: parseDigest(image.digest), config });
    },
    readLocal({ name }, path) {
      const found = given.files?.[name]?.[path];
      return Promise.resolve(
        found === undefined && name === localName && path === filename ? dockerfile : encode(found),
      );
    },
    readSolved(_definition, path) {
      if (path.endsWith(".dockerignore")) return Promise.resolve(undefined);
      const content = Object.values(given.sources ?? {}).find(
        source => source.contentBase64 !== undefined,
      )?.contentBase64;
      const isDownload = path === "context" && content !== undefined;
      return Promise.resolve(isDownload ? Buffer.from(content, "base64") : dockerfile);
    },
    newestInArchive: () => Promise.resolve(undefined),
    resolveSource({ identifier }) {
      const { gitCommitObject, httpLastModified } = given.sources?.[identifier] ?? {};
      return Promise.resolve({
        ...(gitCommitObject !== undefined && { gitCommit: gitCommitObject }),
        ...(httpLastModified !== undefined && { httpLastModified: Date.parse(httpLastModified) / 1000 }),
      });
    },
  };
}

function pickConfig({ configs = [] }: CaseImage, platform: Platform): ImageConfig | undefined {
  const wanted = platformPreference(platform).map(formatPlatform);
  const rank = (entry: { readonly platform: string }): number =>
    wanted.indexOf(formatPlatform(normalizePlatform(parsePlatform(entry.platform, HOST))));
  return configs
    .filter(entry => rank(entry) >= 0)
    .sort((a, b) => rank(a) - rank(b))
    .at(0)?.config;
}
