// What the attributes of bake targets are for, by their names in bake files: the words of docs/bake-reference.md and of
// schemas/bake.schema.json. Which attributes there are, their order and their --set keys come from the program's tables.

/**
 * @typedef {object} AttributeText
 * @property {"string" | "bool" | "strings" | "map" | "entries" | "object"} shape
 * @property {readonly string[]} [keys] of an object, or of the objects of a list
 * @property {readonly string[]} [numbers] keys that take whole numbers
 * @property {string} heirs what a heir, a later block or a later file does with it
 * @property {string} text
 * @property {string} example right side in HCL
 */

const replaced = "replaced";
const extended = "extended, repeats dropped";
const byKey = "merged key by key";

/** @type {Readonly<Record<string, AttributeText>>} */
export const attributeTexts = {
  description: {
    shape: "string",
    heirs: "replaced when not empty",
    text: "What the target is; shown by `--list targets`.",
    example: '"the web server"',
  },
  inherits: {
    shape: "strings",
    heirs: "extended; of two parents the later one wins",
    text: "Targets whose attributes this one takes over, before its own.",
    example: '["_common"]',
  },
  annotations: {
    shape: "strings",
    heirs: extended,
    text: "OCI annotations as `key=value`, with `index:`, `manifest:`, `index-descriptor:` or `manifest-descriptor:` before the key to say where.",
    example: '["index:org.opencontainers.image.title=app"]',
  },
  attest: {
    shape: "entries",
    keys: ["type", "disabled", "mode", "generator", "builder-id", "inline-only", "version", "reproducible"],
    heirs: "extended; of one type the later one wins",
    text: "Attestations: provenance and SBOM.",
    example: '["type=provenance,mode=max"]',
  },
  context: {
    shape: "string",
    heirs: replaced,
    text: 'Build context: a folder or a URL. Default ".".',
    example: '"./app"',
  },
  contexts: {
    shape: "map",
    heirs: `${byKey}; an empty value takes a context away`,
    text: "Further contexts by name, for `FROM name` and `COPY --from=name`: a folder, a URL, `docker-image://…`, `oci-layout://…` or `target:NAME`.",
    example: '{ base = "target:base" }',
  },
  dockerfile: {
    shape: "string",
    heirs: replaced,
    text: 'The Dockerfile, relative to the context. Default "Dockerfile".',
    example: '"app.Dockerfile"',
  },
  "dockerfile-inline": {
    shape: "string",
    heirs: replaced,
    text: "The text of a Dockerfile, instead of a file.",
    example: '"FROM alpine"',
  },
  args: {
    shape: "map",
    heirs: `${byKey}; null changes nothing`,
    text: "Build arguments.",
    example: '{ VERSION = "1.2" }',
  },
  labels: {
    shape: "map",
    heirs: `${byKey}; null changes nothing`,
    text: "Labels of the image.",
    example: '{ team = "web" }',
  },
  tags: {
    shape: "strings",
    heirs: `${replaced}, by an empty list too`,
    text: "Names of the image.",
    example: '["example.com/app:1.2"]',
  },
  "cache-from": {
    shape: "entries",
    keys: ["type", "ref", "src", "digest", "tag", "url", "token", "scope"],
    heirs: extended,
    text: "Caches to read. A text without `=` is an image reference.",
    example: '["type=local,src=cache"]',
  },
  "cache-to": {
    shape: "entries",
    keys: ["type", "ref", "dest", "mode", "compression", "url", "token", "scope", "ignore-error"],
    heirs: replaced,
    text: "Caches to write.",
    example: '["type=local,dest=cache,mode=max"]',
  },
  target: {
    shape: "string",
    heirs: replaced,
    text: "The stage to build. Default: the last one.",
    example: '"release"',
  },
  secret: {
    shape: "entries",
    keys: ["id", "src", "env"],
    heirs: "extended; of one id the later one wins",
    text: "Secrets for `RUN --mount=type=secret`, from a file or an environment variable.",
    example: '["id=token,env=TOKEN"]',
  },
  ssh: {
    shape: "entries",
    keys: ["id", "paths"],
    heirs: "extended; of one id the later one wins",
    text: "SSH agents or keys for `RUN --mount=type=ssh`.",
    example: '["default"]',
  },
  platforms: {
    shape: "strings",
    heirs: replaced,
    text: "Platforms to build for.",
    example: '["linux/amd64", "linux/arm64"]',
  },
  output: {
    shape: "entries",
    keys: [
      "type",
      "dest",
      "name",
      "push",
      "compression",
      "compression-level",
      "force-compression",
      "oci-mediatypes",
      "rewrite-timestamp",
      "tar",
      "mode",
    ],
    heirs: replaced,
    text: "Where the result goes. A text that is not `type=…` is a folder.",
    example: '["type=oci,dest=app.tar"]',
  },
  pull: { shape: "bool", heirs: replaced, text: "Look up base images anew.", example: "true" },
  "no-cache": { shape: "bool", heirs: replaced, text: "Execute every step.", example: "true" },
  network: {
    shape: "string",
    heirs: replaced,
    text: "Network of RUN steps: default, none or host.",
    example: '"none"',
  },
  "no-cache-filter": {
    shape: "strings",
    heirs: extended,
    text: "Stages that do not use the cache.",
    example: '["test"]',
  },
  "shm-size": { shape: "string", heirs: replaced, text: "Size of /dev/shm in RUN steps.", example: '"128m"' },
  ulimits: {
    shape: "strings",
    heirs: extended,
    text: "Limits of RUN steps as `name=soft:hard`.",
    example: '["nofile=1024:1024"]',
  },
  resources: {
    shape: "object",
    keys: ["memory", "memory-swap", "cpuset-cpus", "cpuset-mems"],
    numbers: ["cpu-shares", "cpu-period", "cpu-quota"],
    heirs: byKey,
    text: "cgroup limits of RUN steps.",
    example: '{ memory = "512m", cpu-shares = 512 }',
  },
  call: {
    shape: "string",
    heirs: replaced,
    text: "A question for the frontend instead of a build: build, check, outline or targets.",
    example: '"check"',
  },
  entitlements: {
    shape: "strings",
    heirs: extended,
    text: "What the build may do beyond the default: network.host, security.insecure, device.",
    example: '["network.host"]',
  },
  "extra-hosts": {
    shape: "map",
    heirs: `${byKey}; null changes nothing`,
    text: "Lines of /etc/hosts in RUN steps.",
    example: '{ registry = "10.0.0.2" }',
  },
  policy: {
    shape: "entries",
    keys: ["filename", "reset", "disabled", "strict", "log-level"],
    heirs: "extended",
    text: "Source policies.",
    example: '[{ filename = "policy.rego" }]',
  },
};
