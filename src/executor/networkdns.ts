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
 * behind which the first server of the machine answers, wherever that one listens. It takes that one's place: pasta
 * passes on its answers as if they came from there, whomever a program has asked.
 */
export function isolatedResolvConf(
  forward: string | undefined,
  read: (path: string) => string = readText,
): string {
  const direct = read("/etc/resolv.conf");
  const [first, ...others] = serversIn(direct);
  if (forward !== undefined && first !== undefined)
    return withServers(direct, [forward, ...others.filter(isReachable)]);
  const isStub = first === SYSTEMD_STUB && others.length === 0;
  const text = (isStub && read(SYSTEMD_UPSTREAM)) || direct;
  const kept = serversIn(text).filter(isReachable);
  return withServers(text, kept.length > 0 ? kept : PUBLIC_SERVERS);
}

function withServers(text: string, servers: readonly string[]): string {
  const rest = text.split("\n").filter(line => line !== "" && serverOf(line) === undefined);
  return [...rest, ...servers.map(server => `nameserver ${server}`), ""].join("\n");
}

function serversIn(text: string): readonly string[] {
  return text.split("\n").flatMap(line => serverOf(line) ?? []);
}

function serverOf(line: string): string | undefined {
  return /^\s*nameserver\s+(\S+)/.exec(line)?.[1];
}

/** Whether a server is none on the machine's loopback. */
function isReachable(server: string): boolean {
  return isIPv4(server) ? !server.startsWith("127.") : server !== "::1";
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
