// The value of RUN --mount: comma-separated key=value fields.
import { BakeError } from "../../diagnostic/error.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import type { FlagItem } from "./arguments.ts";
import { readCsvLine } from "./csv.ts";
import { parseMemorySize } from "./size.ts";
import { cut, parseGoBool } from "./text.ts";

const TYPES = ["bind", "cache", "tmpfs", "secret", "ssh"] as const;
const SHARINGS = ["shared", "private", "locked"] as const;

export type MountType = (typeof TYPES)[number];

export interface MountSpec {
  readonly type: MountType;
  readonly from: string;
  readonly source: string;
  readonly target: string;
  readonly readonly: boolean;
  /** Bytes; 0 means no limit. */
  readonly sizeBytes: number;
  readonly id: string;
  readonly sharing: (typeof SHARINGS)[number] | undefined;
  readonly required: boolean;
  readonly env: string | undefined;
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

/** Fields while they are read. */
interface Draft {
  type: MountType;
  from: string;
  source: string;
  target: string;
  readonly: boolean | undefined;
  sizeBytes: number;
  id: string;
  sharing: MountSpec["sharing"];
  required: boolean;
  env: string | undefined;
  mode: number | undefined;
  uid: number | undefined;
  gid: number | undefined;
}

/** A key: what it does with a value (undefined when the field is the key alone); a string says what is wrong. */
type Key = (draft: Draft, value: string | undefined) => string | undefined;

const text =
  (set: (draft: Draft, value: string) => void): Key =>
  (draft, value) => {
    if (value === undefined) return "it needs a value";
    set(draft, value);
    return undefined;
  };

const flag =
  (set: (draft: Draft, value: boolean) => void): Key =>
  (draft, value) => {
    const on = value === undefined ? true : parseGoBool(value);
    if (on === undefined) return `"${value ?? ""}" is neither true nor false`;
    set(draft, on);
    return undefined;
  };

const number =
  (radix: 8 | 10, set: (draft: Draft, value: number) => void): Key =>
  (draft, value) => {
    const digits = radix === 8 ? /^[0-7]+$/ : /^\d+$/;
    const parsed = value !== undefined && digits.test(value) ? Number.parseInt(value, radix) : Number.NaN;
    if (!(parsed < 2 ** 32)) return `"${value ?? ""}" is not ${radix === 8 ? "an octal mode" : "an id"}`;
    set(draft, parsed);
    return undefined;
  };

const setReadonly = flag((draft, on) => (draft.readonly = on));
const setWritable = flag((draft, on) => (draft.readonly = !on));
const setSource = text((draft, value) => (draft.source = value));
const setTarget = text((draft, value) => (draft.target = value));

const KEYS: ReadonlyMap<string, Key> = new Map<string, Key>([
  [
    "type",
    (draft, value) => {
      const type = TYPES.find(candidate => candidate === value?.toLowerCase());
      if (type === undefined)
        return `"${value ?? ""}" is not a mount type; ${didYouMean(value ?? "", TYPES) ?? `known types: ${TYPES.join(", ")}`}`;
      draft.type = type;
      return undefined;
    },
  ],
  ["from", text((draft, value) => (draft.from = value))],
  ["source", setSource],
  ["src", setSource],
  ["target", setTarget],
  ["dst", setTarget],
  ["destination", setTarget],
  ["readonly", setReadonly],
  ["ro", setReadonly],
  ["readwrite", setWritable],
  ["rw", setWritable],
  [
    "required",
    (draft, value) => {
      if (draft.type !== "secret" && draft.type !== "ssh") return `a ${draft.type} mount does not take it`;
      return flag((target, on) => (target.required = on))(draft, value);
    },
  ],
  [
    "size",
    (draft, value) => {
      if (draft.type !== "tmpfs") return `a ${draft.type} mount does not take it`;
      const size = value === undefined ? undefined : parseMemorySize(value);
      if (size === undefined) return `"${value ?? ""}" is not a size`;
      draft.sizeBytes = size;
      return undefined;
    },
  ],
  ["id", text((draft, value) => (draft.id = value))],
  [
    "sharing",
    (draft, value) => {
      const sharing = SHARINGS.find(candidate => candidate === value?.toLowerCase());
      if (sharing === undefined)
        return `"${value ?? ""}" is not a sharing mode; ${didYouMean(value ?? "", SHARINGS) ?? `known modes: ${SHARINGS.join(", ")}`}`;
      draft.sharing = sharing;
      return undefined;
    },
  ],
  ["mode", number(8, (draft, value) => (draft.mode = value))],
  ["uid", number(10, (draft, value) => (draft.uid = value))],
  ["gid", number(10, (draft, value) => (draft.gid = value))],
  ["env", text((draft, value) => (draft.env = value))],
]);

/** The stage, image or context a mount reads; "" when it names none. Known before variables are. @throws BakeError */
export function mountSource(flag: FlagItem): string {
  let from = "";
  for (const field of fieldsOf(flag)) {
    const [key, value] = cut(field, "=") ?? [field, undefined];
    if (key.toLowerCase() !== "from" || value === undefined) continue;
    const dollar = value.indexOf("$");
    if (dollar >= 0 && dollar !== value.length - 1) {
      throw mountError(
        `"from" of a mount cannot have variables`,
        flag,
        "name a stage that is FROM the variable",
      );
    }
    from = value;
  }
  return from;
}

/** Reads a mount; values are expanded on the way. @throws BakeError "dockerfile-syntax" */
export function readMount(flag: FlagItem, expand: (word: string) => string): MountSpec {
  const draft: Draft = {
    type: "bind",
    from: "",
    source: "",
    target: "",
    readonly: undefined,
    sizeBytes: 0,
    id: "",
    sharing: undefined,
    required: false,
    env: undefined,
    mode: undefined,
    uid: undefined,
    gid: undefined,
  };
  for (const field of fieldsOf(flag)) {
    const [written, value] = cut(field, "=") ?? [field, undefined];
    const key = written.toLowerCase();
    const apply = KEYS.get(key);
    if (apply === undefined)
      throw mountError(`a mount has no key "${key}"`, flag, didYouMean(key, KEYS.keys()));
    const problem = apply(draft, value === undefined ? undefined : expand(value));
    if (problem !== undefined) throw mountError(`the key "${key}" of a mount is wrong: ${problem}`, flag);
  }
  const problem = checkMount(draft);
  if (problem !== undefined) throw mountError(problem, flag);
  const readonly = draft.readonly ?? (draft.type !== "cache" && draft.type !== "tmpfs");
  return { ...draft, readonly };
}

function checkMount(draft: Draft): string | undefined {
  const { type } = draft;
  if (type === "bind" || type === "tmpfs") {
    for (const key of ["mode", "uid", "gid"] as const)
      if (draft[key] !== undefined) return `a ${type} mount does not take "${key}"`;
  }
  if (type === "secret") {
    if (draft.from !== "") return `a secret mount does not take "from"`;
    if (draft.sharing !== undefined) return `a secret mount does not take "sharing"`;
    if (draft.source === "" && draft.target === "" && draft.id === "")
      return `a secret mount needs "id" or "target"`;
    if (draft.source !== "" && draft.id !== "") return `a secret mount takes "id" or "source", not both`;
  }
  if (draft.sharing !== undefined && type !== "cache") return `a ${type} mount does not take "sharing"`;
  return undefined;
}

function fieldsOf(flag: FlagItem): readonly string[] {
  try {
    return readCsvLine(flag.value);
  } catch (thrown) {
    throw thrown instanceof BakeError ? thrown.at(flag.range) : thrown;
  }
}

function mountError(message: string, flag: FlagItem, hint?: string): BakeError {
  return new BakeError("dockerfile-syntax", message, { range: flag.range, hint });
}
