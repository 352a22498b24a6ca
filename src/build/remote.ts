// Which contexts are fetched rather than read from the file system (buildx: urlutil.IsRemoteURL, dfgitutil.ParseGitRef).

/** Whether a context is an http(s) URL or a git reference. */
export function isRemoteContext(text: string): boolean {
  if (/^(?:https?|git|ssh):\/\//.test(text) || text.startsWith("github.com/")) return true;
  // `git@host:path`, the form ssh users type.
  return /^[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:.+/.test(text);
}
