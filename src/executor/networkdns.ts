// Name servers for steps (resolv.conf(5)): those of the machine, as far as they can be reached from where the step is.
import { readFileSync } from "node:fs";
import { isIPv4 } from "node:net";

/** Where the resolver of systemd says whom it asks itself; resolv.conf then names only its stub on loopback. */
const SYSTEMD_STUB = "127.0.0.53";
const SYSTEMD_UPSTREAM = "/run/systemd/resolve/resolv.conf";

/** As engines have it, for machines whose own servers cannot be reached. */
const PUBLIC_SERVERS = ["8.8.8.8", "8.8.4.4"];

/** The machine's resolv.conf: right for steps in the machine's own network. */
export function hostResolvConf(): string {
  return readText("/etc/resolv.conf");
}

/**
 * The resolv.conf of a step in a network of its own, whose loopback is not the machine's. `forward` is an address there
 * behind which the first server of the machine answers, wherever that one listens.
 */
export function isolatedResolvConf(
  forward: string | undefined,
  read: (path: string) => string = readText,
): string {
  let text = read("/etc/resolv.conf");
  const servers = serversIn(text);
  if (servers.length === 1 && servers[0] === SYSTEMD_STUB) text = read(SYSTEMD_UPSTREAM) || text;
  const kept = text.split("\n").filter(line => !isServerOnLoopback(line));
  if (serversIn(kept.join("\n")).length > 0) return kept.join("\n");
  const instead = forward !== undefined && servers.length > 0 ? [forward] : PUBLIC_SERVERS;
  return [...kept.filter(line => line !== ""), ...instead.map(server => `nameserver ${server}`), ""].join(
    "\n",
  );
}

function serversIn(text: string): readonly string[] {
  return text.split("\n").flatMap(line => serverOf(line) ?? []);
}

function serverOf(line: string): string | undefined {
  return /^\s*nameserver\s+(\S+)/.exec(line)?.[1];
}

function isServerOnLoopback(line: string): boolean {
  const server = serverOf(line);
  if (server === undefined) return false;
  return isIPv4(server) ? server.startsWith("127.") : server === "::1";
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
