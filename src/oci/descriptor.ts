// Descriptors, manifests and indexes (OCI image spec 1.1), and the media types of both OCI and Docker.
import type { Digest } from "./digest.ts";
import type { Platform } from "./platform.ts";

export const mediaTypes = {
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
  ociLayerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  ociLayerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar",
  dockerLayerGzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
} as const;

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly platform?: WirePlatform;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A platform with the spelling of JSON documents. */
export interface WirePlatform {
  readonly architecture: string;
  readonly os: string;
  readonly "os.version"?: string;
  readonly "os.features"?: readonly string[];
  readonly variant?: string;
}

export interface Manifest {
  readonly schemaVersion: 2;
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Index {
  readonly schemaVersion: 2;
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
  readonly annotations?: Readonly<Record<string, string>>;
}

export function isIndexType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerList;
}

export function isManifestType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociManifest || mediaType === mediaTypes.dockerManifest;
}

export function platformFromWire(wire: WirePlatform): Platform {
  return {
    os: wire.os,
    architecture: wire.architecture,
    ...(wire.variant && { variant: wire.variant }),
    ...(wire["os.version"] && { osVersion: wire["os.version"] }),
    ...(wire["os.features"]?.length && { osFeatures: wire["os.features"] }),
  };
}

export function platformToWire(platform: Platform): WirePlatform {
  return {
    architecture: platform.architecture,
    os: platform.os,
    ...(platform.osVersion && { "os.version": platform.osVersion }),
    ...(platform.osFeatures?.length && { "os.features": platform.osFeatures }),
    ...(platform.variant && { variant: platform.variant }),
  };
}
