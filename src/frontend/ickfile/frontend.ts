// The Ickfile frontend (`# syntax=llbake/ickfile`): a Dockerfile in the words of INTERCAL. COME FROM is FROM, PLEASE is
// RUN, STASH is COPY; everything else, stages and mounts and heredocs, is the Dockerfile's.
import type { Diagnostic } from "../../diagnostic/diagnostic.ts";
import { BakeError } from "../../diagnostic/error.ts";
import { answerCall } from "../dockerfile/call.ts";
import { convert } from "../dockerfile/convert.ts";
import { readOptions } from "../dockerfile/options.ts";
import { findBuild } from "../dockerfile/place.ts";
import type { ConvertOptions } from "../dockerfile/readfile.ts";
import type { Frontend, FrontendHost, FrontendRequest } from "../frontend.ts";
import { ickWords, parseIckfile } from "./parse.ts";

export const frontend: Frontend = {
  async lower(request, host, signal) {
    const options = await openIckfile(request, host, signal);
    try {
      const result = await convert(options);
      return { ...result, warnings: result.warnings.map(inIckWords) };
    } catch (thrown) {
      if (!(thrown instanceof BakeError)) throw thrown;
      throw BakeError.ofDiagnostics(thrown.diagnostics.map(inIckWords));
    }
  },
  async call(request, host, signal, method) {
    return answerCall(await openIckfile(request, host, signal), method);
  },
};

async function openIckfile(
  request: FrontendRequest,
  host: FrontendHost,
  signal: AbortSignal,
): Promise<ConvertOptions> {
  const options = readOptions(request.options, request.buildPlatform);
  const place = await findBuild(request, options, host, signal);
  return { request, host, signal, place, language: "Ickfile", parse: parseIckfile };
}

/** A message about a Dockerfile as its author, who wrote none, can read it. What it quotes stays. */
function inIckWords(diagnostic: Diagnostic): Diagnostic {
  const translate = (text: string): string =>
    text
      .replace(/"[^"]*"|\b(?:FROM|RUN|COPY)\b/g, word => ickWords.get(word.toLowerCase()) ?? word)
      .replace(/\bDockerfile\b/g, "Ickfile");
  const { message, hint } = diagnostic;
  return {
    ...diagnostic,
    message: translate(message),
    ...(hint !== undefined && { hint: translate(hint) }),
  };
}
