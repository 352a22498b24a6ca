// The directories a build reads in place. A local source is named by a mount name and a session id; the id here is
// made from the directory's real path, so that targets that share a directory share the vertex (and the work behind
// it) and different directories are never taken for one another.
import { createHash } from "node:crypto";
import type { Session } from "../session/session.ts";

/** BuildKit's session ids are 25 characters of base 36; keeping the form keeps every reader of them content. */
const ID_LENGTH = 25;

/** The session id of a directory (an absolute real path), of a set of files in memory (by their content), or the store of a layout. */
export function sessionIdOf(kind: "dir" | "files" | "layout", identity: string): string {
  const hash = createHash("sha256").update(`${kind}\0${identity}`).digest("hex");
  return BigInt(`0x${hash}`).toString(36).padStart(ID_LENGTH, "0").slice(0, ID_LENGTH);
}

/** What one build lends: directories and small in-memory folders by mount name and session id. */
export interface LocalDirs {
  /** Lends a directory (absolute real path); returns its session id. */
  addDir(name: string, path: string): string;
  /** Lends files that exist only in memory, such as an inline Dockerfile; returns their session id. */
  addFiles(name: string, files: ReadonlyMap<string, Uint8Array>): string;
  /** Lends an OCI layout (absolute path); returns the name of its store. */
  addLayout(path: string): string;
  /** The real paths of all directories, sorted. */
  paths(): readonly string[];
  readonly localDir: Session["localDir"];
  readonly localFiles: NonNullable<Session["localFiles"]>;
}

export function createLocalDirs(): LocalDirs {
  const dirs = new Map<string, string>();
  const layouts = new Map<string, string>();
  const memory = new Map<string, ReadonlyMap<string, Uint8Array>>();
  const key = (name: string, sessionId: string): string => `${sessionId} ${name}`;
  return {
    addDir(name, path) {
      const id = sessionIdOf("dir", path);
      dirs.set(key(name, id), path);
      return id;
    },
    addFiles(name, files) {
      const identity = [...files]
        .map(([path, data]) => `${path}\0${data.length}\0${Buffer.from(data).toString("latin1")}`)
        .join("\0");
      const id = sessionIdOf("files", identity);
      memory.set(key(name, id), files);
      return id;
    },
    addLayout(path) {
      const store = sessionIdOf("layout", path);
      layouts.set(store, path);
      return store;
    },
    paths: () => [...new Set(dirs.values())].sort(),
    // Stores have names of their own in all sessions.
    localDir: (name, sessionId) => dirs.get(key(name, sessionId)) ?? layouts.get(name),
    localFiles: (name, sessionId) => memory.get(key(name, sessionId)),
  };
}
