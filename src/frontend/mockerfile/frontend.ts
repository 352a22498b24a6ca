// The Mockerfile frontend (`# syntax=llbake/mockerfile`): images as a YAML list of what they are made from and which
// packages they hold. The smallest complete frontend here: read the file, lower an image per platform, marshal.
import { hasErrors } from "../../diagnostic/diagnostic.ts";
import { BakeError } from "../../diagnostic/error.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import { marshal } from "../../llb/marshal.ts";
import { configFromDraft } from "../dockerfile/imageconfig.ts";
import { readOptions } from "../dockerfile/options.ts";
import { findBuild, localContext } from "../dockerfile/place.ts";
import type { Frontend, FrontendImage } from "../frontend.ts";
import { lowerImage } from "./lower.ts";
import { type MockImage, readMockerfile } from "./read.ts";

export const frontend: Frontend = {
  async lower(request, host, signal) {
    const options = readOptions(request.options, request.buildPlatform);
    const place = await findBuild(request, options, host, signal);
    const text = new TextDecoder().decode(place.dockerfile);
    const { value, diagnostics } = readMockerfile({ name: place.filename, text });
    if (value === undefined || hasErrors(diagnostics)) throw BakeError.ofDiagnostics(diagnostics);
    const wanted = findImage(value, options.target);
    const patterns = place.ignore.map(({ pattern }) => pattern);
    const images: FrontendImage[] = [];
    for (const platform of options.platforms.length > 0 ? options.platforms : [request.buildPlatform]) {
      const { state, draft } = await lowerImage(wanted, {
        ...{ request, host, signal, options, platform, images: value },
        context: place.remote ?? localContext(request, patterns, () => new Set(["/"])),
        source: { filename: place.filename, data: place.dockerfile, language: "Mockerfile" },
      });
      for (const [name, label] of options.labels) draft.labels.set(name, label);
      images.push({ platform, definition: marshal(state, { platform }), config: configFromDraft(draft) });
    }
    return { images, warnings: [] };
  },
};

/** The image a target asks for; the last one when it asks for none, as with the stages of a Dockerfile. */
function findImage(images: readonly MockImage[], target: string): MockImage {
  const found = target === "" ? images.at(-1) : images.find(({ name }) => name.value === target);
  if (found !== undefined) return found;
  const names = images.map(({ name }) => name.value);
  throw new BakeError("buildfile-invalid", `the Mockerfile has no image "${target}"`, {
    hint: didYouMean(target, names) ?? `its images: ${names.join(", ")}`,
  });
}
