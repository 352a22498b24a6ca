// What building needs to know of a target: the attributes of a resolved bake target, as plain data.

export interface BuildTarget {
  readonly name: string;
  /** Pulled in only because another target links to it. */
  readonly linked: boolean;
  readonly context: string;
  readonly contexts: Readonly<Record<string, string>>;
  readonly dockerfile: string;
  readonly dockerfileInline?: string;
  readonly args: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: readonly string[];
  readonly tags: readonly string[];
  readonly target?: string;
  readonly platforms: readonly string[];
  readonly outputs: readonly OutputEntry[];
  readonly secrets: readonly SecretEntry[];
  readonly pull: boolean;
  readonly noCache: boolean;
  readonly noCacheFilter: readonly string[];
  readonly network: string;
  readonly shmSize: string;
  readonly ulimits: readonly string[];
  readonly resources: Readonly<Record<string, string>>;
  readonly extraHosts: Readonly<Record<string, string>>;
  readonly entitlements: readonly string[];
  readonly call: string;
  /** Kinds asked for that are not there yet, to be told once: "cache-to", "attest sbom", … */
  readonly unavailable: readonly string[];
}

export interface OutputEntry {
  readonly type: string;
  readonly dest?: string;
  readonly attrs: Readonly<Record<string, string>>;
}

/** A secret from a file or an environment variable. */
export interface SecretEntry {
  readonly id: string;
  readonly src?: string;
  readonly env?: string;
}
