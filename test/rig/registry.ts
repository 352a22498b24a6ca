// A real registry process (docker-registry), and proxies and token servers to put before it. Everything listens on
// free ports of this machine and is gone at the end of the scope.
import { execFileSync, spawn } from "node:child_process";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface RegistryProcess extends AsyncDisposable {
  /** `127.0.0.1:PORT`, as in image references. */
  readonly host: string;
  stop(): Promise<void>;
}

function isInstalled(program: string, flag = "--version"): boolean {
  try {
    execFileSync(program, [flag], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** False, or why tests that need a registry must be skipped. */
export const skipWithoutRegistry: string | false = isInstalled("docker-registry")
  ? false
  : "docker-registry is not installed";
export const skipWithoutSkopeo: string | false =
  skipWithoutRegistry || (isInstalled("skopeo") ? false : "skopeo is not installed");

/** Starts a registry with storage in a temporary directory. `auth` is YAML lines for its `auth` section. */
export async function startRegistry({
  auth = "",
  readonly = false,
}: { readonly auth?: string; readonly readonly?: boolean } = {}): Promise<RegistryProcess> {
  const dir = mkdtempSync(join(tmpdir(), "llbake-registry-"));
  const config = join(dir, "config.yml");
  writeFileSync(
    config,
    [
      "version: 0.1",
      // It tells the port that the kernel gave it.
      "log: { level: info }",
      `storage: { filesystem: { rootdirectory: ${JSON.stringify(join(dir, "data"))} }, delete: { enabled: true }, maintenance: { readonly: { enabled: ${readonly} } } }`,
      'http: { addr: "127.0.0.1:0" }',
      auth,
    ].join("\n"),
  );
  const child = spawn("docker-registry", ["serve", config], { stdio: ["ignore", "ignore", "pipe"] });
  const exited = new Promise<void>(resolve => child.once("exit", () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
    rmSync(dir, { recursive: true, force: true });
  };
  let log = "";
  const host = await new Promise<string | undefined>(resolve => {
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      log = (log + text).slice(-4000);
      const told = /listening on (127\.0\.0\.1:\d+)\D/.exec(log)?.[1];
      if (told !== undefined) resolve(told);
    });
    void exited.then(() => resolve(undefined));
  });
  if (host !== undefined) return { host, stop, [Symbol.asyncDispose]: stop };
  await stop();
  throw new Error(`docker-registry does not start: ${log}`);
}

export interface TestServer extends AsyncDisposable {
  readonly host: string;
  /** `METHOD /path` of every request, in order. */
  readonly requests: string[];
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

/** An HTTP server on a free port. */
export async function startServer(handler: Handler): Promise<TestServer> {
  const requests: string[] = [];
  const server: Server = createServer((incoming, response) => {
    requests.push(`${incoming.method} ${incoming.url}`);
    Promise.resolve(handler(incoming, response)).catch(() => response.destroy());
  });
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    host: `127.0.0.1:${port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise(resolve => server.close(resolve));
    },
  };
}

/**
 * What a proxy does with a request instead of passing it on: answer it, break the connection after so many bytes of
 * the real answer's body, or break it before any answer.
 */
export type Fault =
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    }
  | { readonly kind: "truncate"; readonly afterBytes: number }
  | { readonly kind: "reset" };

/** A proxy before a registry; `fault` is asked for each request, with how often the same one came before. */
export async function startProxy(
  upstream: string,
  fault: (
    request: string,
    times: number,
    incoming: IncomingMessage,
  ) => Fault | undefined | Promise<Fault | undefined>,
): Promise<TestServer> {
  const seen = new Map<string, number>();
  return startServer(async (incoming, response) => {
    const key = `${incoming.method} ${(incoming.url ?? "").replace(/\?.*/, "")}`;
    const times = seen.get(key) ?? 0;
    seen.set(key, times + 1);
    const wrong = await fault(key, times, incoming);
    if (wrong?.kind === "reset") {
      incoming.socket.resetAndDestroy();
      return;
    }
    if (wrong?.kind === "answer") {
      incoming.resume();
      response.writeHead(wrong.status, wrong.headers).end(wrong.body ?? "");
      return;
    }
    const [hostname, port] = upstream.split(":");
    const onward = request(
      { hostname, port, method: incoming.method, path: incoming.url, headers: incoming.headers },
      answer => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        if (wrong?.kind !== "truncate") {
          answer.pipe(response);
          return;
        }
        let left = wrong.afterBytes;
        answer.on("data", (chunk: Buffer) => {
          const piece = chunk.subarray(0, left);
          left -= piece.length;
          if (piece.length > 0) response.write(piece);
          if (left === 0) {
            answer.destroy();
            // Let what was written leave before the connection breaks.
            response.write("", () => setImmediate(() => response.destroy()));
          }
        });
      },
    );
    onward.on("error", () => response.destroy());
    incoming.on("aborted", () => onward.destroy());
    incoming.pipe(onward);
  });
}
