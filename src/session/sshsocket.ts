// The socket of an agent for one step: made for it, gone with it.
import { closeSync, openSync } from "node:fs";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import path from "node:path";
import { type OpenSshAgent, serveAgent } from "./sshagent.ts";

/** Listens in `folder`; only who may enter it, or has the socket mounted, can speak to the agent. */
export async function listenAgent(
  folder: string,
  agent: OpenSshAgent,
): Promise<{ readonly path: string } & AsyncDisposable> {
  const clients = new Set<Socket>();
  const server = createServer(client => {
    clients.add(client);
    client.once("close", () => clients.delete(client));
    void serveAgent(client, agent);
  });
  // Addresses of sockets are short (unix(7)), paths of state folders are not.
  const fd = openSync(folder, "r");
  try {
    server.listen(`/proc/self/fd/${fd}/agent`);
    await once(server, "listening");
  } finally {
    closeSync(fd);
  }
  return {
    path: path.join(folder, "agent"),
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.destroy();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}
