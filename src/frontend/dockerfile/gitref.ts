// Addresses of git repositories as ADD, contexts and named contexts take them (BuildKit, "git ref" forms): a remote,
// then `#ref:subdir` or `?ref=…&subdir=…`.
import { BakeError } from "../../diagnostic/error.ts";
import { cut, parseGoBool } from "./text.ts";

export interface GitReference {
  /** Without fragment and query. */
  readonly remote: string;
  /** Branch, tag or commit; empty for the default branch. */
  readonly ref: string;
  readonly subdir: string;
  /** The commit that must be found; empty for any. */
  readonly checksum: string;
  /** `github.com/a/b`: as a copy source that is a path. */
  readonly looksLocal: boolean;
  readonly keepGitDir: boolean | undefined;
  readonly submodules: boolean | undefined;
  readonly mtime: string;
  readonly fetchByCommit: boolean;
}

const SCP_FORM = /^[a-zA-Z0-9_-]+@[a-zA-Z0-9.-]+:[^?#]*/;
const URL_FORM = /^(https?|ssh|git):\/\/[^?#]*/;

/** Reads an address; undefined when it is none. @throws BakeError "dockerfile-lower" when its query is wrong */
export function parseGitReference(text: string): GitReference | undefined {
  if (text.startsWith("./") || text.startsWith("../")) return undefined;
  const looksLocal = text.startsWith("github.com/");
  const match = looksLocal ? /^[^?#]*/.exec(text) : (SCP_FORM.exec(text) ?? URL_FORM.exec(text));
  if (match === null) return undefined;
  const remote = match[0];
  if (/^https?:/.test(remote) && !remote.endsWith(".git")) return undefined;
  const [beforeFragment, fragment] = cut(text.slice(remote.length), "#") ?? [text.slice(remote.length), ""];
  const [ref, subdir] = cut(fragment, ":") ?? [fragment, ""];
  const reference: GitReference = {
    remote,
    ref,
    subdir,
    checksum: "",
    looksLocal,
    keepGitDir: undefined,
    submodules: undefined,
    mtime: "",
    fetchByCommit: false,
  };
  return beforeFragment.startsWith("?") ? withQuery(reference, beforeFragment.slice(1), text) : reference;
}

function withQuery(reference: GitReference, query: string, text: string): GitReference {
  const fail = (why: string): BakeError =>
    new BakeError("dockerfile-lower", `the git address "${text}" is wrong: ${why}`);
  const parameters = new URLSearchParams(query);
  let result = reference;
  const agree = (name: "ref" | "subdir", value: string): void => {
    if (result[name] !== "" && result[name] !== value)
      throw fail(`${name} is both "${result[name]}" and "${value}"`);
    result = { ...result, [name]: value };
  };
  const isOn = (name: string, value: string): boolean => {
    const on = value === "" ? true : parseGoBool(value);
    if (on === undefined) throw fail(`${name} is neither true nor false`);
    return on;
  };
  const named: Record<string, string> = {};
  for (const name of new Set(parameters.keys())) {
    const [value = "", ...more] = parameters.getAll(name);
    if (more.length > 0) throw fail(`${name} is given twice`);
    if (value === "" && !["submodules", "keep-git-dir", "fetch-by-commit"].includes(name))
      throw fail(`${name} has no value`);
    switch (name) {
      case "ref":
      case "subdir":
        agree(name, value);
        break;
      case "tag":
      case "branch":
        named[name] = value;
        break;
      case "checksum":
      case "commit":
        result = { ...result, checksum: value };
        break;
      case "keep-git-dir":
        result = { ...result, keepGitDir: isOn(name, value) };
        break;
      case "submodules":
        result = { ...result, submodules: isOn(name, value) };
        break;
      case "fetch-by-commit":
        result = { ...result, fetchByCommit: isOn(name, value) };
        break;
      case "mtime":
        if (value !== "checkout" && value !== "commit") throw fail(`mtime is neither checkout nor commit`);
        result = { ...result, mtime: value };
        break;
      default:
        throw fail(`"${name}" is not a known parameter`);
    }
  }
  const { tag, branch } = named;
  if (tag !== undefined && branch !== undefined) throw fail("it has both a tag and a branch");
  if (tag !== undefined) agree("ref", tag.startsWith("refs/tags/") ? tag : `refs/tags/${tag}`);
  if (branch !== undefined) agree("ref", branch.startsWith("refs/heads/") ? branch : `refs/heads/${branch}`);
  return result;
}
