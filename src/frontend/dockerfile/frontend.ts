// The Dockerfile frontend (dockerfile.v0): finds and reads the file and lowers it, or hands it over to the frontend that
// the file or a build arg asks for (BuildKit: `# syntax=`, BUILDKIT_SYNTAX).
import { BakeError } from "../../diagnostic/error.ts";
import { rangeOfLines, type Source } from "../../diagnostic/source.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import type { Frontend, FrontendHost, FrontendRequest, FrontendResult } from "../frontend.ts";
import { syntaxes } from "../syntaxes.ts";
import type { CallMethod } from "../answer.ts";
import { answerCall } from "./call.ts";
import { convert } from "./convert.ts";
import type { SyntaxRequest } from "./directive.ts";
import { readOptions } from "./options.ts";
import { type BuildPlace, findBuild } from "./place.ts";
import { textOf } from "./readfile.ts";
import { isDockerfile, syntaxRequest } from "./syntaxrequest.ts";

export const frontend: Frontend = {
  async lower(request, host, signal): Promise<FrontendResult> {
    const { place, other } = await findFrontend(request, host, signal);
    if (other === undefined) return convert({ request, host, signal, place });
    return other.frontend.lower(other.request, host, signal);
  },
  async call(question, host, signal, method) {
    // A question asks for this capability only, whatever a build of the target would ask for.
    const options = { ...question.options, "frontend.caps": "moby.buildkit.frontend.subrequests" };
    const request = { ...question, options };
    const { place, other } = await findFrontend(request, host, signal);
    if (other === undefined) return answerCall({ request, host, signal, place }, method);
    if (other.frontend.call === undefined) throw cannotAnswer(method, other.request.options["source"] ?? "");
    return other.frontend.call(other.request, host, signal, method);
  },
};

function cannotAnswer(method: CallMethod, image: string): BakeError {
  return new BakeError("not-supported", `the frontend "${image}" cannot answer "${method}"`);
}

interface Found {
  readonly place: BuildPlace;
  /** The frontend that takes over, and what it is asked. */
  readonly other: { readonly frontend: Frontend; readonly request: FrontendRequest } | undefined;
}

async function findFrontend(
  request: FrontendRequest,
  host: FrontendHost,
  signal: AbortSignal,
): Promise<Found> {
  // Options are checked before anything is read.
  const given = readOptions(request.options, request.buildPlatform);
  const place = await findBuild(request, given, host, signal);
  const text = textOf(place);
  const syntax = syntaxRequest(request, text);
  if (syntax === undefined || isDockerfile(syntax)) return { place, other: undefined };
  const frontend = await loadSyntax(syntax, { name: place.filename, text });
  const options = { ...request.options, source: syntax.image, cmdline: syntax.commandLine };
  return { place, other: { frontend, request: { ...request, options } } };
}

/** @throws BakeError "frontend-unknown" */
async function loadSyntax({ image, line }: SyntaxRequest, source: Source): Promise<Frontend> {
  const load = Object.hasOwn(syntaxes, image) ? syntaxes[image] : undefined;
  if (load !== undefined) return (await load()).frontend;
  const known = ["docker/dockerfile", ...Object.keys(syntaxes)];
  throw new BakeError("frontend-unknown", `the frontend image "${image}" cannot be run`, {
    range: line > 0 ? rangeOfLines(source, line, line) : undefined,
    hint: didYouMean(image, known) ?? `available: ${known.join(", ")}`,
  });
}
