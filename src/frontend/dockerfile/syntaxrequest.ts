// Which frontend a build asks for, by build arg (BUILDKIT_SYNTAX) or by the first lines of its file (`# syntax=`), and
// which of the Dockerfile's syntaxes that is: the stable one or "labs", which has instructions still being tried out.
import type { FrontendRequest } from "../frontend.ts";
import { detectSyntax, type SyntaxRequest } from "./directive.ts";
import { cut, trimSpace } from "./text.ts";

const DOCKERFILE = /^(?:docker\.io\/)?docker\/dockerfile(?:-upstream)?(?:[:@].*)?$/;
const LABS = /:(?:[^@]*-)?labs(?:@.*)?$/;

/** The other frontend a build asks for; undefined when `cmdline` says it was heard. */
export function syntaxRequest(request: FrontendRequest, text: string): SyntaxRequest | undefined {
  return request.options["cmdline"] === undefined ? askedSyntax(request, text) : undefined;
}

/** Releases of the Dockerfile frontend are served by this one; it follows the newest. */
export function isDockerfile({ image }: SyntaxRequest): boolean {
  return DOCKERFILE.test(image);
}

/** Whether a build asks for a labs release of the Dockerfile frontend, by now or before it was handed over. */
export function asksForLabs(request: FrontendRequest, text: string): boolean {
  const image =
    request.options["cmdline"] === undefined
      ? (askedSyntax(request, text)?.image ?? "")
      : (request.options["source"] ?? "");
  return DOCKERFILE.test(image) && LABS.test(image);
}

function askedSyntax({ options }: FrontendRequest, text: string): SyntaxRequest | undefined {
  const asked = options["build-arg:BUILDKIT_SYNTAX"];
  if (asked === undefined) return detectSyntax(text);
  const trimmed = trimSpace(asked);
  return { image: cut(trimmed, " ")?.[0] ?? trimmed, commandLine: asked, line: 0 };
}
