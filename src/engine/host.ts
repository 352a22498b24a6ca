// What the embedded engine offers to frontends: image configs from registries, files of lent directories.
import { isCode } from "../content/root.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { FrontendHost } from "../frontend/frontend.ts";
import { parseReference } from "../oci/reference.ts";
import { resolveInRoot } from "../layer/rootpath.ts";
import type { Session } from "../session/session.ts";
import type { Emit } from "../progress/event.ts";
import type { RegistryClient } from "../registry/client.ts";
import { heardBy } from "../registry/patience.ts";
import { registryOrigin } from "../source/imageorigin.ts";
import { lentLayout } from "../source/ocilayout.ts";
import type { ImageResolver } from "../source/imageresolver.ts";
import { readWhole } from "../system/readwhole.ts";

export interface HostDeps {
  readonly session: Session;
  readonly images: ImageResolver;
  readonly registry: (session: Session) => Promise<RegistryClient>;
  /** Where it is told that a registry is asked again: no step runs yet. */
  readonly emit: Emit;
  readonly readSolved: FrontendHost["readSolved"];
  readonly newestInArchive: FrontendHost["newestInArchive"];
  readonly resolveSource: FrontendHost["resolveSource"];
}

export function createFrontendHost({
  session,
  images,
  registry,
  emit,
  readSolved,
  newestInArchive,
  resolveSource,
}: HostDeps): FrontendHost {
  return {
    resolveImageConfig: async (reference, { platform, signal, layout }) => {
      const origin =
        layout === undefined
          ? registryOrigin(registry, session)
          : lentLayout(session, layout.name, layout.sessionId);
      const tell = (message: string): void =>
        emit({ type: "warning", diagnostic: { severity: "warning", code: "registry-failed", message } });
      const { digest, config } = await images.resolve(parseReference(reference), platform, {
        ...{ origin, signal: heardBy(tell, signal) },
      });
      return { digest, config };
    },
    readLocal: async ({ name, sessionId }, path, { signal }) => {
      const inMemory = session.localFiles?.(name, sessionId);
      if (inMemory !== undefined) return inMemory.get(path);
      const root = session.localDir(name, sessionId);
      if (root === undefined)
        throw new BakeError("file-missing", `no local folder named "${name}" was given to this build`);
      try {
        return await readWhole(resolveInRoot(root, path, { followLast: true }), { signal });
      } catch (error) {
        if (isCode(error, "ENOENT") || isCode(error, "ENOTDIR")) return undefined;
        throw error;
      }
    },
    readSolved,
    newestInArchive,
    resolveSource,
  };
}
