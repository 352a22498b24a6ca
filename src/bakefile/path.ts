// Paths of contexts: what is local, and how local paths are written in print.

const REMOTE = /^(?:https?:\/\/|git:\/\/|ssh:\/\/|git@|github\.com\/)|^[\w.-]+@[\w.-]+:/;

/** Whether a context is fetched from elsewhere. */
export function isRemote(path: string): boolean {
  return REMOTE.test(path);
}

/** A slash path without "." and ".." steps, as Go's path.Clean. */
export function cleanPath(path: string): string {
  const absolute = path.startsWith("/");
  const out: string[] = [];
  for (const step of path.split("/")) {
    if (step === "" || step === ".") continue;
    if (step === ".." && out.length > 0 && out[out.length - 1] !== "..") out.pop();
    else if (step !== ".." || !absolute) out.push(step);
  }
  const joined = out.join("/");
  return absolute ? `/${joined}` : joined || ".";
}

/** Local paths cleaned, `cwd://` taken off; URLs as they are. */
export function cleanContext(context: string): string {
  if (isRemote(context)) return context;
  return cleanPath(context.startsWith("cwd://") ? context.slice("cwd://".length) : context);
}
