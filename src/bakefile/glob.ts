// Shell patterns for names of targets: `*`, `?`, `[a-z]`, `\` (Go's path.Match).

/** Whether a name is to be matched instead of looked up. */
export function isPattern(text: string): boolean {
  return /[*?[\]]/.test(text);
}

/** Whether the whole name matches; false for a malformed pattern. */
export function matchesGlob(pattern: string, name: string): boolean {
  let source = "";
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at] ?? "";
    if (character === "*") source += source.endsWith("[^/]*") ? "" : "[^/]*";
    else if (character === "?") source += "[^/]";
    else if (character === "\\") source += escape(pattern[++at] ?? "\\");
    else if (character === "[") {
      const found = /^\[(\^?)((?:\\.|[^\]\\])+)\]/.exec(pattern.slice(at));
      if (found === null) return false;
      source += `[${found[1] ?? ""}${(found[2] ?? "").replace(/\[/g, "\\[")}]`;
      at += found[0].length - 1;
    } else source += escape(character);
  }
  try {
    return new RegExp(`^(?:${source})$`, "su").test(name);
  } catch {
    return false;
  }
}

function escape(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
