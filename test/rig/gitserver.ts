// Real git repositories, served over http by git's own program (`git http-backend`), with or without a password.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";

/** Why tests with git repositories are skipped here, or false. */
export const skipWithoutGit: string | false =
  spawnSync("git", ["--version"]).status === 0 ? false : "no git on PATH";

const GIT_ENV = {
  PATH: process.env["PATH"],
  HOME: "/dev/null",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_AUTHOR_NAME: "A",
  GIT_AUTHOR_EMAIL: "a@example.com",
  GIT_COMMITTER_NAME: "A",
  GIT_COMMITTER_EMAIL: "a@example.com",
  GIT_AUTHOR_DATE: "2024-02-03T04:05:06Z",
  GIT_COMMITTER_DATE: "2024-02-03T04:05:06Z",
};

/** A repository with a work tree to commit from. */
export interface GitRepository {
  readonly path: string;
  git(...args: readonly string[]): string;
  /** Writes files and commits everything; gives the commit's id. */
  commit(files: Readonly<Record<string, string>>): string;
}

export function createRepository(path: string): GitRepository {
  mkdirSync(path, { recursive: true });
  const git: GitRepository["git"] = (...args) =>
    execFileSync("git", ["-c", "protocol.file.allow=always", ...args], {
      cwd: path,
      env: GIT_ENV,
      stdio: "pipe",
    })
      .toString()
      .trim();
  git("init", "--quiet", "--initial-branch=main");
  return {
    path,
    git,
    commit(files) {
      for (const [name, text] of Object.entries(files)) {
        mkdirSync(dirname(join(path, name)), { recursive: true });
        writeFileSync(join(path, name), text);
      }
      git("add", "--all");
      git("commit", "--quiet", "--allow-empty", "--message=change");
      return git("rev-parse", "HEAD");
    },
  };
}

export interface GitServer extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`; `URL/NAME.git` is the repository `NAME` of the folder. */
  readonly url: string;
  /** Method and path of all requests so far. */
  readonly requests: readonly string[];
}

/** Serves the repositories of a folder. With `authorization`, requests without that header are refused. */
export async function serveGit(
  folder: string,
  { authorization }: { readonly authorization?: string } = {},
): Promise<GitServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    if (authorization !== undefined && request.headers.authorization !== authorization) {
      response.writeHead(401, { "www-authenticate": "Basic" }).end();
      return;
    }
    runBackend(folder, request, response);
  });
  await new Promise<void>(done => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise<unknown>(done => server.close(done));
    },
  };
}

/** The CGI part of git http-backend. */
function runBackend(folder: string, request: IncomingMessage, response: ServerResponse): void {
  const { pathname, search } = new URL(request.url ?? "/", "http://localhost");
  const child = spawn("git", ["http-backend"], {
    env: {
      ...GIT_ENV,
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: "1",
      REQUEST_METHOD: request.method,
      PATH_INFO: pathname.replace(/^\/([^/]+)\.git/, "/$1/.git"),
      QUERY_STRING: search.slice(1),
      CONTENT_TYPE: request.headers["content-type"] ?? "",
      HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
      GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
      GIT_CONFIG_COUNT: "1",
      GIT_CONFIG_KEY_0: "safe.directory",
      GIT_CONFIG_VALUE_0: "*",
    },
    stdio: ["pipe", "pipe", "inherit"],
  });
  request.pipe(child.stdin);
  child.stdin.on("error", () => undefined);
  const pieces: Buffer[] = [];
  child.stdout.on("data", (piece: Buffer) => pieces.push(piece));
  child.once("close", () => {
    const all = Buffer.concat(pieces);
    const end = all.indexOf("\r\n\r\n");
    let status = 200;
    for (const line of all.subarray(0, Math.max(end, 0)).toString().split("\r\n")) {
      const [name = "", value = ""] = line.split(/: (.*)/s);
      if (name === "Status") status = Number(value.slice(0, 3));
      else if (name !== "") response.setHeader(name, value);
    }
    response.writeHead(status).end(all.subarray(end + 4));
  });
}
