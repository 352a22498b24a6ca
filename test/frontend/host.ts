// An in-memory FrontendHost: local files, images and solved files as plain data.
import { BakeError } from "../../src/diagnostic/error.ts";
import type {
  FrontendHost,
  FrontendRequest,
  FrontendResult,
  SourceMetadata,
} from "../../src/frontend/frontend.ts";
import { loadFrontend } from "../../src/frontend/frontends.ts";
import { digestOf } from "../../src/oci/digest.ts";
import type { ImageConfig } from "../../src/oci/imageconfig.ts";
import { formatPlatform, type Platform } from "../../src/oci/platform.ts";

export interface HostData {
  /** By `LOCAL/path`, such as `dockerfile/Dockerfile` or `context/.dockerignore`. */
  readonly files: Readonly<Record<string, string>>;
  /** Runtime configs by full reference; any other image of Docker Hub's library exists too. */
  readonly images?: Readonly<Record<string, Partial<ImageConfig>>>;
  /** What remote sources say of themselves, by identifier. */
  readonly sources?: Readonly<Record<string, SourceMetadata>>;
}

export const amd64: Platform = { os: "linux", architecture: "amd64" };

export const alpineConfig: ImageConfig = {
  architecture: "amd64",
  os: "linux",
  config: { Env: ["PATH=/usr/bin:/bin"], Cmd: ["/bin/sh"], WorkingDir: "/" },
  rootfs: { type: "layers", diff_ids: [digestOf("layer")] },
  history: [{ created: "2024-01-02T03:04:05Z", created_by: "ADD rootfs.tar /" }],
};

export function createHost({
  files,
  images = {},
  sources = {},
}: HostData): FrontendHost & { readonly asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    resolveImageConfig(reference, { platform }) {
      asked.push(`${reference} ${formatPlatform(platform)}`);
      if (images[reference] === undefined && !reference.startsWith("docker.io/library/")) {
        return Promise.reject(new BakeError("registry-missing", `no image ${reference}`));
      }
      const { os, architecture, variant } = platform;
      const config = { ...alpineConfig, os, architecture, ...(variant && { variant }), ...images[reference] };
      return Promise.resolve({ digest: digestOf(reference), config });
    },
    readLocal({ name }, path) {
      const text = files[`${name}/${path}`];
      return Promise.resolve(text === undefined ? undefined : new TextEncoder().encode(text));
    },
    readSolved: () => Promise.resolve(undefined),
    newestInArchive: () => Promise.resolve(undefined),
    resolveSource: ({ identifier }) => Promise.resolve(sources[identifier] ?? {}),
  };
}

/** Lowers with the dockerfile.v0 frontend. */
export async function lower(
  data: HostData,
  request: Partial<FrontendRequest> = {},
  host: FrontendHost = createHost(data),
): Promise<FrontendResult> {
  const frontend = await loadFrontend("dockerfile.v0");
  const full = { options: {}, inputs: {}, sessionId: "session", buildPlatform: amd64, ...request };
  return frontend.lower(full, host, new AbortController().signal);
}

/** Lowers a single Dockerfile. */
export function lowerText(
  dockerfile: string,
  request: Partial<FrontendRequest> = {},
): Promise<FrontendResult> {
  return lower({ files: { "dockerfile/Dockerfile": dockerfile } }, request);
}
