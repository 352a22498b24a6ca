// Contexts of a bake file that was read from a URL: relative ones lie where the bake file does (buildx:
// bake.updateContext).
import { cleanPath, isRemote } from "./path.ts";

/** Where a bake file with files around it came from. */
export interface RemoteTree {
  readonly url: string;
  /** An archive's folders are named by `#:FOLDER`, as those of a repository are. */
  readonly kind: "git" | "archive";
}

const ELSEWHERE = /^(?:target:|docker-image:|oci-layout:)/;

/** A context with its place: a URL, or the path of a local folder (`cwd://x` in the file). */
export function remoteContext(context: string, tree: RemoteTree): string {
  if (isRemote(context) || ELSEWHERE.test(context)) return context;
  if (context.startsWith("cwd://")) return cleanPath(context.slice("cwd://".length));
  return urlWithFolder(tree, cleanPath(context));
}

/** Named contexts keep `cwd://`. */
export function remoteNamedContext(context: string, tree: RemoteTree): string {
  return context.startsWith("cwd://") ? context : remoteContext(context, tree);
}

function urlWithFolder({ url, kind }: RemoteTree, folder: string): string {
  if (folder === ".") return url;
  if (kind === "archive") return `${url}#:${folder}`;
  const hash = url.indexOf("#");
  const fragment = hash < 0 ? "" : url.slice(hash + 1);
  const [ref = "", ...rest] = fragment.split(":");
  const asked = queryOf(url);
  const own = rest.join(":") || asked?.get("subdir") || "";
  const whole = own === "" ? folder : cleanPath(`${own}/${folder}`);
  // The folder stays where the address has it.
  if (hash < 0 && asked?.has("subdir") === true) {
    asked.set("subdir", whole);
    asked.sort();
    return `${url.slice(0, url.indexOf("?"))}?${asked.toString()}`;
  }
  return `${hash < 0 ? url : url.slice(0, hash)}#${ref}:${whole}`;
}

function queryOf(url: string): URLSearchParams | undefined {
  const [, query] = /^[^#?]*\?([^#]*)/.exec(url) ?? [];
  return query === undefined ? undefined : new URLSearchParams(query);
}
