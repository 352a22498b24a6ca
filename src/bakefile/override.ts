// `--set pattern.key=value`: changes to targets from the command line (bake reference, "--set").
import { BakeError } from "../diagnostic/error.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import type { TargetFields } from "./attributes.ts";
import { parseBoolText } from "./csv.ts";
import * as entry from "./entry.ts";
import { lastById, normalizeCaches, normalizeOutputs } from "./entryrows.ts";
import { matchesGlob } from "./glob.ts";
import { setResource } from "./resources.ts";
import { mergeMaps } from "./row.ts";

/** What was said about one key of one target: the last value, all values, and whether the last one appends. */
export interface Override {
  readonly value: string | undefined;
  readonly values: readonly string[];
  readonly append: boolean;
}

/** Per target, per key (`args.NAME` or `tags`). */
export type Overrides = ReadonlyMap<string, ReadonlyMap<string, Override>>;

interface OverrideKey {
  /** Whether values accumulate. */
  readonly list?: boolean;
  /** Whether `key.NAME` is written, and what NAME is. */
  readonly named?: string;
  readonly apply: (target: TargetFields, override: Override, name: string) => void;
}

function problem(message: string, hint?: string): BakeError {
  return new BakeError("bake-resolve", message, { hint });
}

function text(field: "context" | "dockerfile" | "target" | "call" | "shmSize" | "network"): OverrideKey {
  return {
    apply: (target, { value }) => {
      target[field] = value ?? "";
    },
  };
}

function map(field: "args" | "labels" | "contexts" | "extraHosts", named: string): OverrideKey {
  return {
    named,
    apply: (target, { value }, name) => {
      if (value !== undefined) target[field] = mergeMaps(target[field], { [name]: value });
    },
  };
}

function bool(key: string, apply: (target: TargetFields, value: boolean) => void): OverrideKey {
  return {
    apply: (target, { value = "" }) => {
      const parsed = parseBoolText(value);
      if (parsed === undefined)
        throw problem(`"${value}" is neither true nor false, for the override "${key}"`);
      apply(target, parsed);
    },
  };
}

const given = (values: readonly string[]): readonly string[] => values.filter(value => value !== "");

export const overrideTable: Readonly<Record<string, OverrideKey>> = {
  context: text("context"),
  dockerfile: text("dockerfile"),
  target: text("target"),
  call: text("call"),
  "shm-size": text("shmSize"),
  // buildx puts the value where nothing reads it; the result is always empty.
  network: { list: true, apply: target => void (target.network = "") },
  args: map("args", "the name of a build argument"),
  labels: map("labels", "the name of a label"),
  contexts: map("contexts", "the name of a context"),
  "extra-hosts": map("extraHosts", "the name of a host"),
  tags: {
    list: true,
    apply: (target, { values, append }) =>
      void (target.tags = [...(append ? (target.tags ?? []) : []), ...values]),
  },
  platform: {
    list: true,
    apply: (target, { values, append }) =>
      void (target.platforms = [...(append ? (target.platforms ?? []) : []), ...values]),
  },
  output: {
    list: true,
    apply: (target, { values, append }) => {
      const added = given(values).map(entry.parseOutput);
      target.output = append ? normalizeOutputs([...(target.output ?? []), ...added]) : added;
    },
  },
  "cache-from": {
    list: true,
    apply: (target, { values, append }) => {
      const added = given(values).flatMap(entry.parseCaches);
      target.cacheFrom = append ? normalizeCaches([...(target.cacheFrom ?? []), ...added]) : added;
    },
  },
  "cache-to": {
    list: true,
    apply: (target, { values, append }) => {
      const added = given(values).flatMap(entry.parseCaches);
      target.cacheTo = append ? normalizeCaches([...(target.cacheTo ?? []), ...added]) : added;
    },
  },
  secrets: {
    list: true,
    apply: (target, { values, append }) => {
      const added = given(values).map(entry.parseSecret);
      target.secret = lastById([...(append ? (target.secret ?? []) : []), ...added], item => item.id);
    },
  },
  ssh: {
    list: true,
    apply: (target, { values, append }) => {
      const added = given(values).map(entry.parseSsh);
      target.ssh = lastById([...(append ? (target.ssh ?? []) : []), ...added], item => item.id);
    },
  },
  policy: {
    list: true,
    apply: (target, { values, append }) => {
      target.policy = [...(append ? (target.policy ?? []) : []), ...values.map(entry.parsePolicy)];
    },
  },
  attest: {
    list: true,
    apply: (target, { values }) => {
      target.attest = lastById(
        [...(target.attest ?? []), ...given(values).map(entry.parseAttest)],
        item => item.type,
      );
    },
  },
  annotations: {
    list: true,
    apply: (target, { values }) => void (target.annotations = [...(target.annotations ?? []), ...values]),
  },
  entitlements: {
    list: true,
    apply: (target, { values }) => void (target.entitlements = [...(target.entitlements ?? []), ...values]),
  },
  secret: { named: "the id of a secret", apply: retargetSecret },
  resources: {
    named: "the name of a resource",
    apply: (target, { value = "" }, name) =>
      void (target.resources = setResource(target.resources, name, value)),
  },
  "no-cache": bool("no-cache", (target, value) => void (target.noCache = value)),
  pull: bool("pull", (target, value) => void (target.pull = value)),
  push: bool("push", (target, value) => void (target.output = pushOutputs(target.output ?? [], value))),
  load: bool("load", (target, value) => void (target.output = loadOutputs(target.output ?? [], value))),
  // buildx does not take their values for lists: whatever is given, with "+=" too, the file's own go away.
  ulimits: { apply: target => void (target.ulimits = []) },
  "no-cache-filter": { apply: target => void (target.noCacheFilter = []) },
};

/** These act on what the other overrides leave. */
const LAST = ["secret", "push", "load"];

function retargetSecret(target: TargetFields, { value = "" }: Override, id: string): void {
  const secrets = target.secret ?? [];
  if (!secrets.some(secret => secret.id === id)) {
    const hint =
      didYouMean(
        id,
        secrets.map(secret => secret.id),
      ) ?? "declare it in the bake file first";
    throw problem(`cannot override the unknown secret "${id}"`, hint);
  }
  const next = entry.parseSecret(value);
  if (next.id !== "" && next.id !== id)
    throw problem(`the override of the secret "${id}" has another id, "${next.id}"`);
  target.secret = secrets.map(secret => (secret.id === id ? { ...next, id } : secret));
}

function isPushed(type: string): boolean {
  return type === "image" || type === "registry";
}

function pushOutputs(outputs: readonly entry.OutputEntry[], push: boolean): readonly entry.OutputEntry[] {
  const withPush = (value: boolean, output: entry.OutputEntry): entry.OutputEntry =>
    output.type === "image" ? { ...output, attrs: { ...output.attrs, push: String(value) } } : output;
  if (push) {
    const out = outputs.map(output => withPush(true, output));
    return out.some(output => output.type !== "docker")
      ? out
      : [...out, { type: "image", dest: undefined, attrs: { push: "true" } }];
  }
  const out = [...outputs];
  for (let i = 0; i < out.length;) {
    const output = out[i];
    if (output === undefined) break;
    if (output.type === "registry") {
      // The last one takes its place, as in buildx.
      const last = out.pop();
      if (last !== undefined && i < out.length) out[i] = last;
    } else {
      out[i] = withPush(false, output);
      i++;
    }
  }
  return out;
}

function loadOutputs(outputs: readonly entry.OutputEntry[], load: boolean): readonly entry.OutputEntry[] {
  if (!load) return outputs;
  const blocks = (output: entry.OutputEntry): boolean =>
    output.type === "docker" ? output.dest === undefined : output.type !== "oci" && !isPushed(output.type);
  return outputs.some(blocks) ? outputs : [...outputs, { type: "docker", dest: undefined, attrs: {} }];
}

/**
 * Reads the values of all `--set` flags.
 * @param targets names of all targets
 * @param lookUp the environment, for `args.NAME` without a value
 * @throws BakeError "bake-resolve"
 */
export function parseOverrides(
  flags: readonly string[],
  targets: readonly string[],
  lookUp: (name: string) => string | undefined,
): Overrides {
  const all = new Map<string, Map<string, Override>>();
  for (const flag of flags) {
    const equals = flag.indexOf("=");
    const left = equals < 0 ? flag : flag.slice(0, equals);
    const value = equals < 0 ? undefined : flag.slice(equals + 1);
    const append = left.endsWith("+");
    const path = append ? left.slice(0, -1) : left;
    const [pattern = "", key, ...rest] = path.split(".");
    const form = 'write --set target.key=value, for example --set "*.platform=linux/arm64"';
    if (key === undefined) throw problem(`the override "${flag}" names no key`, form);
    if (value === undefined && key !== "args") throw problem(`the override "${flag}" has no value`, form);
    const row = Object.hasOwn(overrideTable, key) ? overrideTable[key] : undefined;
    const name = rest.length > 0 ? rest.join(".") : undefined;
    const strict = key === "resources" || key === "secret";
    if (name === undefined && (strict || key === "args" || key === "contexts") && row?.named !== undefined) {
      throw problem(`the override "${flag}" lacks ${row.named}`, `write --set ${pattern}.${key}.NAME=value`);
    }
    if (strict && append) throw problem(`the override "${flag}" cannot append`, `use "=" instead of "+="`);
    const matching = targets.includes(pattern)
      ? [pattern]
      : targets.filter(target => matchesGlob(pattern, target));
    if (matching.length === 0) {
      throw problem(
        `the override "${flag}" matches no target: "${pattern}" is unknown`,
        didYouMean(pattern, targets),
      );
    }
    const fullKey = name === undefined ? key : `${key}.${name}`;
    const found = value ?? (key === "args" ? lookUp(name ?? "") : undefined);
    if (found === undefined) continue;
    for (const target of matching) {
      let keys = all.get(target);
      if (keys === undefined) all.set(target, (keys = new Map<string, Override>()));
      const before = keys.get(fullKey);
      keys.set(fullKey, {
        value: row?.list === true ? before?.value : found,
        values: row?.list === true ? [...(before?.values ?? []), found] : [],
        append: row?.list === true ? append : false,
      });
    }
  }
  return all;
}

/** Applies the overrides of one target in place. @throws BakeError "bake-resolve" or "bake-schema" */
export function applyOverrides(target: TargetFields, overrides: ReadonlyMap<string, Override>): void {
  const order = [...overrides].sort(([a], [b]) => rank(a) - rank(b));
  for (const [fullKey, override] of order) {
    const dot = fullKey.indexOf(".");
    const key = dot < 0 ? fullKey : fullKey.slice(0, dot);
    const row = Object.hasOwn(overrideTable, key) ? overrideTable[key] : undefined;
    if (row === undefined)
      throw problem(`unknown key "${key}" in an override`, didYouMean(key, Object.keys(overrideTable)));
    if (row.named !== undefined && dot < 0)
      throw problem(`an override of "${key}" needs ${row.named}`, `write target.${key}.NAME=value`);
    row.apply(target, override, dot < 0 ? "" : fullKey.slice(dot + 1));
  }
}

function rank(fullKey: string): number {
  return LAST.indexOf(fullKey.split(".")[0] ?? "");
}
