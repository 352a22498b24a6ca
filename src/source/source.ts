// Where file trees come from: images, local directories, git repositories, URLs, and later OCI layouts. A source is first pinned
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
  /** The parts were asked for, such as what a tag stands for: the same request may have others another time. */
  readonly asked?: boolean;
  fetch(context: SourceContext): Promise<Ref>;
}

/** What a source says of the version that is pinned. */
export interface SourceFacts {
  /** The text of the commit object behind a git source. */
  readonly gitCommit?: string;
  /** When a server says its file last changed, in seconds since 1970. */
  readonly httpLastModified?: number;
}

export interface SourceBinding {
  readonly pool: Pool;
  /** @throws BakeError when the source cannot exist */
  pin(request: SourceRequest, context: SourceContext): Promise<PinnedSource>;
  /** Absent for sources that have nothing to tell. @throws BakeError */
  describe?(request: SourceRequest, context: SourceContext): Promise<SourceFacts>;
}
