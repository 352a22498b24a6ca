// Paths inside images, which may be Windows images: drive letters go, separators become slashes.
import { BakeError } from "../../diagnostic/error.ts";
import { cleanPath, joinPath } from "../../llb/path.ts";

export interface PathOptions {
  readonly os: string;
  /** Keep a trailing "/" or "/.": for COPY it means a directory. */
  readonly keepSlash?: boolean;
}

/** Go's path.Base. */
export function basePath(path: string): string {
  if (path === "") return ".";
  const trimmed = path.replace(/\/+$/, "");
  return trimmed === "" ? "/" : trimmed.slice(trimmed.lastIndexOf("/") + 1);
}

/** An absolute path with slashes, relative ones starting at `parent`. @throws BakeError for drives other than C: */
export function absolutePath(parent: string, path: string, { os, keepSlash = false }: PathOptions): string {
  const original = toSlash(path, os);
  let base = withoutDrive(toSlash(parent === "" ? "/" : parent, os), { os, keepSlash });
  if (!base.startsWith("/")) base = joinPath("/", base);
  let result = withoutDrive(original === "" ? base : original, { os, keepSlash });
  if (!result.startsWith("/")) result = joinPath(base, result);
  if (keepSlash) {
    if (original.endsWith("/") && !result.endsWith("/")) result += "/";
    else if (original.endsWith("/.")) result += result === "/" ? "." : "/.";
  }
  return toSlash(result, os);
}

/** Whether a path does not depend on the working directory. */
export function isAbsolute(path: string, os: string): boolean {
  try {
    return withoutDrive(path, { os }).startsWith("/");
  } catch {
    return false;
  }
}

export function toSlash(path: string, os: string): string {
  return os === "windows" ? path.replaceAll("\\", "/") : path;
}

export function fromSlash(path: string, os: string): string {
  return os === "windows" ? path.replaceAll("/", "\\") : path;
}

/** A Windows path without its drive; elsewhere the path as it is. @throws BakeError "dockerfile-lower" */
export function withoutDrive(path: string, { os, keepSlash = false }: PathOptions): string {
  if (os !== "windows") return path;
  if (/^.:$/s.test(path)) throw new BakeError("dockerfile-lower", `path "${path}" is a drive without a path`);
  if (toSlash(path, os).startsWith("//"))
    throw new BakeError("dockerfile-lower", `UNC path "${path}" cannot be used in an image`);
  const colon = path.indexOf(":");
  if (colon >= 0 && path.slice(0, colon).toLowerCase() !== "c") {
    throw new BakeError("dockerfile-lower", `path "${path}" is not on drive C:`, {
      hint: "images have no other drive",
    });
  }
  const rest = toSlash(path.slice(colon + 1), os);
  const cleaned = cleanPath(rest);
  return keepSlash && cleaned.length > 1 && rest.endsWith("/") ? `${cleaned}/` : cleaned;
}
