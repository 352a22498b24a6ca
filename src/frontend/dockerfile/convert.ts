// A Dockerfile's text to LLB and image configs, one for every platform asked for. Frontends whose language is the
// Dockerfile's in other words call it with a reader of their own.
import { hasErrors } from "../../diagnostic/diagnostic.ts";
import { BakeError } from "../../diagnostic/error.ts";
import { normalizePlatform } from "../../oci/platform.ts";
import type { FrontendResult, IgnoreFile } from "../frontend.ts";
import { sessionOf } from "./context.ts";
import { lowerFile } from "./lower.ts";
import { localContext } from "./place.ts";
import { type ConvertOptions, lintOptions, openFile, readFile } from "./readfile.ts";
import { readEpoch } from "./sourcedate.ts";
import { readStages } from "./stage.ts";

/** @throws BakeError with ranges in the file */
export async function convert(given: ConvertOptions): Promise<FrontendResult> {
  const { request, host, signal, place } = given;
  const open = openFile(given);
  const lint = lintOptions(open);
  const file = await readFile(open, given);
  const stages = readStages(file.lines);
  if (hasErrors(stages.diagnostics)) throw BakeError.ofDiagnostics(stages.diagnostics);
  const { options, globalArgs, epoch } = await readEpoch(open.given, stages.value, {
    ...{ request, host, signal },
    remote: place.remote,
  });
  const platforms = options.platforms.length === 0 ? [undefined] : options.platforms;
  const ignoreFiles: IgnoreFile[] = [
    {
      local: { name: "context", sessionId: sessionOf(request, "context") },
      lines: place.ignore,
    },
  ];
  const patterns = place.ignore.map(({ pattern }) => pattern);
  const images = [];
  for (const platform of platforms) {
    const lowered = await lowerFile({
      request,
      host,
      signal,
      options,
      file,
      stages: { ...stages.value, globalArgs },
      lint,
      platform,
      mainContext: paths => place.remote ?? localContext(request, patterns, paths),
      ignore: place.ignore,
      ignoreFiles,
      epoch,
    });
    images.push({ platform: platform ?? normalizePlatform(request.buildPlatform), ...lowered });
  }
  return {
    images: images.map(({ platform, definition, config }) => ({ platform, definition, config })),
    // The others say the same again.
    warnings: images[0]?.warnings ?? [],
    ...(epoch !== undefined && { sourceDateEpoch: epoch.seconds }),
    ignoreFiles,
  };
}
