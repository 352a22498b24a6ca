// `oci-layout://NAME@DIGEST`: an image in an OCI layout folder that the session lends under `oci.store`.
import { BakeError } from "../diagnostic/error.ts";
import type { Session } from "../session/session.ts";
import { type ImageSourceDeps, createImageSourceFrom } from "./image.ts";
import { type ImageOrigin, layoutOrigin } from "./imageorigin.ts";
import type { SourceBinding } from "./source.ts";

export function createOciLayoutSource(deps: ImageSourceDeps): SourceBinding {
  return createImageSourceFrom(deps, ({ attrs }) =>
    lentLayout(deps.session, attrs["oci.store"] ?? "", attrs["oci.session"] ?? ""),
  );
}

/** @throws BakeError "file-missing" when no layout was lent under that name */
export function lentLayout(session: Session, store: string, sessionId: string): ImageOrigin {
  const folder = session.localDir(store, sessionId);
  if (folder !== undefined) return layoutOrigin(folder);
  throw new BakeError("file-missing", `no OCI layout named "${store}" was given to this build`, {
    hint: `give it with --local ${store}=FOLDER`,
  });
}
