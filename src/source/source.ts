// Where file trees come from: images, local directories, and later git, http and OCI layouts. A source is first pinned
// (what exactly would be fetched: its cache key, without fetching) and then, only if needed, fetched.
import type { Platform } from "../oci/platform.ts";
import type { Emit } from "../progress/event.ts";
import type { Ref } from "../snapshot/ref.ts";
import type { KeyPart, Pool } from "../solver/op.ts";

export interface SourceRequest {
  /** The part of the identifier behind `scheme://`. */
  readonly locator: string;
  readonly attrs: Readonly<Record<string, string>>;
  readonly platform: Platform;
}

export interface SourceContext {
  readonly signal: AbortSignal;
  readonly emit: Emit;
  /** The progress step this fetch belongs to. */
  readonly step: string;
}

export interface PinnedSource {
  readonly parts: readonly KeyPart[];
  /** What is fetched may differ although the parts are equal: users are keyed by content. */
  readonly volatile?: boolean;
  fetch(context: SourceContext): Promise<Ref>;
}

export interface SourceBinding {
  readonly pool: Pool;
  /** @throws BakeError when the source cannot exist */
  pin(request: SourceRequest, context: SourceContext): Promise<PinnedSource>;
}
