// `https://…/src.tar.gz#:FOLDER`: a folder of an archive at a URL as a context. Relative contexts of a bake file that
// lies in an archive have this form.
import type { FrontendWork } from "../engine/engine.ts";
import { copy } from "../llb/builder/file.ts";
import { marshal } from "../llb/marshal.ts";
import { http, scratch } from "../llb/state.ts";
import type { Platform } from "../oci/platform.ts";

const FILE = "context";

/** The folder as an input of a frontend; undefined for every other kind of context. */
export function archiveFolder(
  context: string,
  platform: Platform,
): NonNullable<FrontendWork["inputs"]>[string] | undefined {
  const [, url = "", folder = ""] = /^(https?:\/\/[^#]*)#:(.+)$/.exec(context) ?? [];
  // Repositories have folders of their own.
  if (url === "" || url.replace(/\?.*/, "").endsWith(".git")) return undefined;
  const archive = http(url, { filename: FILE, customName: `[internal] load ${url}` });
  const whole = scratch().file(copy(archive, `/${FILE}`, "/", { attemptUnpack: true }));
  const part = scratch().file(copy(whole, folder, "/", { dirCopyContents: true }), {
    customName: `take the folder ${folder}`,
  });
  return { definition: marshal(part, { platform }) };
}
