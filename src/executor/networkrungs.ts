// Ways to give a network namespace a way out: pasta and slirp4netns copy its traffic through sockets of their own
// process, which any user may; a pair of virtual interfaces with address translation needs root, and changes to the
// packet filter of the machine.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { accessSync, constants, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

export interface NetworkTools {
  /** The path of a program, or undefined when it is not there. */
  find(program: string): string | undefined;
}

/** A namespace that is bound to a file. */
export interface Namespace {
  /** The file's folder; what is written there goes away with it. */
  readonly folder: string;
  readonly path: string;
}

/** A namespace with a way out. */
export interface Link {
  /** Whether the way out is still there. */
  isAlive(): boolean;
  /** Takes it away; never fails. */
  close(): Promise<void>;
  /** An address where the first name server of the machine answers. */
  readonly nameServer: string | undefined;
}

export interface NetworkRung {
  readonly name: string;
  /** Why it cannot be tried here; undefined when it can. */
  problem(tools: NetworkTools): string | undefined;
  /** @throws Error in the words of the program that failed */
  open(namespace: Namespace, tools: NetworkTools, signal: AbortSignal): Promise<Link>;
}

const run = promisify(execFile);

/** It takes a quarter of a second; on a machine with too much to do, too, steps shall not share its network instead. */
const START_TIMEOUT_MS = 30_000;
const TOO_LONG = `it was not ready within ${START_TIMEOUT_MS / 1_000} s`;
/** Dying takes a millisecond, and longer on a machine with too much to do. */
const END_TIMEOUT_MS = 5_000;

/** Best first. None needs a set-up of the machine that outlives the build. */
export const networkRungs: readonly NetworkRung[] = [
  {
    name: "pasta",
    problem: needs("pasta"),
    async open({ folder, path }, tools, signal) {
      const pidFile = join(folder, "pid");
      // It goes to the background once the namespace is set up. No port leads in or out by itself, nor does the
      // gateway lead to the machine's loopback.
      const args = ["--config-net", "--quiet", "--runas", "0:0", "--no-map-gw", "--dns-forward", PASTA_DNS];
      for (const forward of ["-t", "-u", "-T", "-U"]) args.push(forward, "none");
      await start(need(tools, "pasta"), [...args, "--pid", pidFile, "--netns", path], signal);
      const pid = Number(readFileSync(pidFile, "utf8"));
      return { ...background(pid, path), nameServer: PASTA_DNS };
    },
  },
  {
    name: "slirp4netns",
    problem: needs("slirp4netns"),
    async open({ folder, path }, tools, signal) {
      const args = [
        "--configure",
        "--mtu=65520",
        "--disable-host-loopback",
        "--ready-fd=3",
        "--netns-type=path",
      ];
      const child = spawn(need(tools, "slirp4netns"), [...args, path, "tap0"], {
        stdio: ["ignore", "ignore", "pipe", "pipe"],
      });
      writeFileSync(join(folder, "pid"), String(child.pid ?? ""));
      try {
        await ready(child, signal);
      } catch (thrown) {
        child.kill("SIGKILL");
        throw thrown;
      }
      child.unref();
      const isAlive = (): boolean => child.exitCode === null && child.signalCode === null;
      return {
        isAlive,
        nameServer: "10.0.2.3",
        async close() {
          if (!isAlive()) return;
          const ended = new Promise(resolve => child.once("exit", resolve));
          child.ref();
          child.kill("SIGKILL");
          await ended;
        },
      };
    },
  },
  {
    name: "bridge",
    problem(tools) {
      if (process.getuid?.() !== 0) return "needs root";
      // In a user namespace the packet filter of the machine is out of reach.
      if (!/^\s*0\s+0\s+4294967295/.test(readFileSync("/proc/self/uid_map", "utf8"))) return "needs root";
      if (tools.find("ip") === undefined) return "ip is not installed";
      if (tools.find("nft") === undefined && tools.find("iptables") === undefined)
        return "neither nft nor iptables is installed";
      return undefined;
    },
    open: openBridge,
  },
];

/** Link-local, where nothing else is. */
const PASTA_DNS = "169.254.1.53";

function needs(program: string): NetworkRung["problem"] {
  return tools => (tools.find(program) === undefined ? `${program} is not installed` : undefined);
}

function need(tools: NetworkTools, program: string): string {
  const path = tools.find(program);
  if (path === undefined) throw new Error(`${program} is not installed`);
  return path;
}

async function start(file: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  try {
    await run(file, [...args], { signal, timeout: START_TIMEOUT_MS, killSignal: "SIGKILL" });
  } catch (thrown) {
    signal.throwIfAborted();
    const { stderr, message, killed } = thrown as {
      readonly stderr?: string;
      readonly message: string;
      readonly killed?: boolean;
    };
    if (killed === true) throw new Error(TOO_LONG, { cause: thrown });
    // What it says for people comes last; older versions cannot reach the system log and say so at each line.
    const lines = (stderr ?? "").split("\n").filter(line => line.trim() !== "" && !/to syslog$/.test(line));
    throw new Error(lines.at(-1) ?? message, { cause: thrown });
  }
}

/** A process that went to the background, known by the namespace among its arguments. */
function background(pid: number, argument: string): Pick<Link, "isAlive" | "close"> {
  const isAlive = (): boolean => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(argument);
    } catch {
      return false;
    }
  };
  return {
    isAlive,
    async close() {
      try {
        if (isAlive()) process.kill(pid, "SIGKILL");
      } catch {
        // It ended by itself.
      }
      // It is no child of this process, whose end would be told.
      for (const start = Date.now(); isAlive() && Date.now() - start < END_TIMEOUT_MS;) await delay(1);
    },
  };
}

/** Resolves when the program says on its third descriptor that it is ready. */
function ready(child: ChildProcess, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let words = "";
    const pipe = child.stdio[3] as Readable;
    const fail = (error: Error): void => done(() => reject(error));
    const abort = (): void => fail(signal.reason instanceof Error ? signal.reason : new Error("aborted"));
    const timer = setTimeout(() => fail(new Error(TOO_LONG)), START_TIMEOUT_MS);
    const done = (settle: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      settle();
    };
    child.stderr?.on("data", (data: Buffer) => (words += data.toString()));
    child.once("error", fail);
    child.once("exit", () => fail(new Error(words.trim().split("\n").at(-1) || "it ended at once")));
    pipe.once("data", () => {
      pipe.destroy();
      child.stderr?.destroy();
      done(resolve);
    });
    signal.addEventListener("abort", abort, { once: true });
  });
}

/** Each link has four addresses of this network: 10.88.0.0/18. */
const LINKS = 4096;
const subnet = (index: number, host: number): string =>
  `10.88.${(index >> 6).toString()}.${((index & 63) * 4 + host).toString()}`;

/**
 * A pair of interfaces, one end in the namespace. The name of the other is its number, which the kernel gives once
 * whoever asks: that keeps the addresses of all processes apart.
 */
async function openBridge({ path }: Namespace, tools: NetworkTools, signal: AbortSignal): Promise<Link> {
  const ip = need(tools, "ip");
  const index = await addLink(ip, path, signal);
  const name = `llbake${index}`;
  const filter = packetFilter(tools, name, `${subnet(index, 0)}/30`);
  const close = async (): Promise<void> => {
    await run(ip, ["link", "delete", name]).catch(() => undefined);
    await filter.remove();
  };
  try {
    await start(ip, ["address", "add", `${subnet(index, 1)}/30`, "dev", name], signal);
    await start(ip, ["link", "set", name, "up"], signal);
    const inside = ["--net=" + path, ip];
    const nsenter = need(tools, "nsenter");
    await start(nsenter, [...inside, "link", "set", "lo", "up"], signal);
    await start(nsenter, [...inside, "address", "add", `${subnet(index, 2)}/30`, "dev", "eth0"], signal);
    await start(nsenter, [...inside, "link", "set", "eth0", "up"], signal);
    await start(nsenter, [...inside, "route", "add", "default", "via", subnet(index, 1)], signal);
    writeFileSync("/proc/sys/net/ipv4/ip_forward", "1");
    await filter.add(signal);
  } catch (thrown) {
    await close();
    throw thrown;
  }
  return { isAlive: () => true, close, nameServer: undefined };
}

async function addLink(ip: string, path: string, signal: AbortSignal): Promise<number> {
  // Processes that begin at the same time should not all try the same numbers.
  const first = process.pid % LINKS;
  for (let attempt = 0; attempt < LINKS; attempt++) {
    const index = (first + attempt) % LINKS;
    const pair = ["type", "veth", "peer", "name", "eth0", "netns", path];
    try {
      await start(ip, ["link", "add", `llbake${index}`, ...pair], signal);
      return index;
    } catch (thrown) {
      if (!/exists/i.test(String(thrown))) throw thrown;
    }
  }
  throw new Error("all addresses are in use");
}

interface PacketFilter {
  add(signal: AbortSignal): Promise<void>;
  remove(): Promise<void>;
}

/** Translates addresses on the way out, and lets packets through where the machine forwards none by default. */
function packetFilter(tools: NetworkTools, link: string, network: string): PacketFilter {
  const iptables = tools.find("iptables");
  if (iptables !== undefined) {
    // Where other engines forbid forwarding, they do it in these tables: only a rule in them lets packets through.
    const rules = [
      ["-t", "nat", "POSTROUTING", "-s", network, "!", "-o", link, "-j", "MASQUERADE"],
      ["-t", "filter", "FORWARD", "-i", link, "-j", "ACCEPT"],
      ["-t", "filter", "FORWARD", "-o", link, "-j", "ACCEPT"],
    ];
    const change = (action: string, [flag = "", table = "", ...rule]: readonly string[]): string[] => {
      return ["-w", flag, table, action, ...rule];
    };
    return {
      add: async signal => {
        for (const rule of rules) await start(iptables, change("-I", rule), signal);
      },
      remove: async () => {
        for (const rule of rules) await run(iptables, change("-D", rule)).catch(() => undefined);
      },
    };
  }
  const nft = need(tools, "nft");
  const table = `table ip ${link}`;
  return {
    add: signal =>
      start(
        nft,
        [
          // What a killed process left of the same number is replaced.
          `add ${table}; delete ${table}; add ${table}; ` +
            `add chain ip ${link} out { type nat hook postrouting priority 100 ; }; ` +
            `add rule ip ${link} out ip saddr ${network} oifname != "${link}" masquerade`,
        ],
        signal,
      ),
    remove: async () => {
      await run(nft, [`delete ${table}`]).catch(() => undefined);
    },
  };
}

/** Finds programs in the folders of a list as in PATH. */
export function toolsIn(searchPath: string): NetworkTools {
  const folders = [...searchPath.split(":").filter(Boolean), "/usr/sbin", "/sbin", "/usr/bin", "/bin"];
  return {
    find: program =>
      folders
        .map(folder => join(folder, program))
        .find(path => {
          try {
            accessSync(path, constants.X_OK);
            return true;
          } catch {
            return false;
          }
        }),
  };
}
