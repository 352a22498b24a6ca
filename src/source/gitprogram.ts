// The `git` program: run with an environment that makes results the same on every machine, and its failures told in
// the user's terms. Never asks on the terminal; ends with its helpers when the signal aborts.
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { OWNER_VARIABLE } from "../content/sweep.ts";
import { BakeError } from "../diagnostic/error.ts";
import { afterAttempts, noteAttempts, tellRetry } from "../registry/patience.ts";

export interface GitOptions {
  readonly signal: AbortSignal;
  /** Repository to work in; none for commands about remotes. */
  readonly gitDir?: string;
  readonly workTree?: string;
  readonly indexFile?: string;
  readonly cwd?: string;
  /** The user's variables (`Session.environment`); only what finding git, and reaching remotes, takes is passed on. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** Whether a remote is reached in the user's name: with agents, proxies and the user's own git configuration. */
  readonly access?: GitAccess | undefined;
}

export interface GitAccess {
  /** Use the user's git configuration, for credential helpers and rewritten URLs. */
  readonly userConfig: boolean;
  /** A header for requests to URLs that begin with `scope`. */
  readonly header?: { readonly scope: string; readonly value: string } | undefined;
  /** Path of a known_hosts file that replaces the user's. */
  readonly knownHosts?: string | undefined;
}

export interface GitOutcome {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

const ACCESS_VARIABLES = [
  ...["SSH_AUTH_SOCK", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR"],
  ...["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"],
  ...["http_proxy", "https_proxy", "no_proxy", "all_proxy"],
];
const USER_VARIABLES = ["HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "SUDO_UID"];
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What a user's configuration must not change, whichever files are read. */
const FIXED_CONFIG: readonly (readonly [string, string])[] = [
  // The repositories of the state directory are this program's own, whoever runs it.
  ["safe.directory", "*"],
  // A repository must not reach for the machine's own files through its submodules.
  ["protocol.file.allow", "user"],
  ["gc.auto", "0"],
  ["maintenance.auto", "false"],
  ["core.hooksPath", "/dev/null"],
  ["core.attributesFile", "/dev/null"],
  ["core.autocrlf", "false"],
  ["core.fsmonitor", "false"],
  ["advice.detachedHead", "false"],
  ["init.defaultBranch", "master"],
];

/** How often a remote is asked at most, and the first pause between; it doubles each time. */
const ATTEMPTS = 4;
const BACKOFF_MS = 400;

/** What git says of trouble on the way that may pass. */
const PASSING =
  /returned error: (?:408|429|5\d\d)|HTTP (?:408|429|5\d\d)|early EOF|unexpected disconnect|hung up unexpectedly|connection reset|connection timed out|empty reply from server|transfer closed|recv failure|RPC failed/i;
const LASTING = /permission denied|authentication failed|could not read (?:username|password)|not found/i;

/**
 * Runs git to its end, whatever its exit code. What reaches for a remote (with `access`) is repeated when the way to it
 * fails.
 * @throws BakeError "source-failed" when there is no git
 */
export async function runGit(args: readonly string[], options: GitOptions): Promise<GitOutcome> {
  for (let attempt = 1; ; attempt++) {
    const outcome = await runOnce(args, options);
    const { exitCode, stderr } = outcome;
    const passes = exitCode !== 0 && PASSING.test(stderr) && !LASTING.test(stderr);
    if (options.access === undefined || !passes || attempt >= ATTEMPTS) return noteAttempts(outcome, attempt);
    const whole = BACKOFF_MS * 2 ** (attempt - 1);
    // Half of it is random, so that many builds refused at once do not come back at once.
    const wait = whole / 2 + (Math.random() * whole) / 2;
    const problem = `git failed: ${reasonIn(stderr)}`;
    tellRetry(options.signal, { problem, pauseMs: wait, attempt: attempt + 1, attempts: ATTEMPTS });
    await sleep(wait, undefined, { signal: options.signal });
  }
}

/** The line that says what went wrong, without addresses, which may carry secrets. */
function reasonIn(stderr: string): string {
  const line = stderr.split("\n").find(text => PASSING.test(text)) ?? "";
  return line
    .replace(/^(?:fatal|error): /, "")
    .replace(/unable to access '[^']*': /, "")
    .trim();
}

async function runOnce(args: readonly string[], options: GitOptions): Promise<GitOutcome> {
  const { signal } = options;
  signal.throwIfAborted();
  const places = [
    ...(options.gitDir === undefined ? [] : [`--git-dir=${options.gitDir}`]),
    ...(options.workTree === undefined ? [] : [`--work-tree=${options.workTree}`]),
  ];
  const child = spawn("git", [...places, ...args], {
    cwd: options.cwd ?? options.workTree ?? "/",
    env: environmentOf(options),
    stdio: ["ignore", "pipe", "pipe"],
    // A group of its own: git leaves the transfer to helpers, which have to end with it.
    detached: true,
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (piece: Buffer) => stdout.push(piece));
  child.stderr.on("data", (piece: Buffer) => stderr.push(piece));
  const stop = (): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has just ended by itself.
    }
  };
  signal.addEventListener("abort", stop, { once: true });
  try {
    const exitCode = await new Promise<number | undefined>((settle, fail) => {
      child.once("error", fail);
      child.once("close", code => settle(code ?? undefined));
    });
    signal.throwIfAborted();
    return { exitCode, stdout: text(stdout), stderr: text(stderr) };
  } catch (thrown) {
    signal.throwIfAborted();
    if (!(thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT")) throw thrown;
    throw new BakeError(
      "source-failed",
      "git repositories are read with the program git, which is not installed",
      {
        hint: "install it (the package is called git), or check PATH",
        cause: thrown,
      },
    );
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Runs git, which has to succeed. `remote` names the repository in errors. @throws BakeError */
export async function git(args: readonly string[], remote: string, options: GitOptions): Promise<string> {
  const outcome = await runGit(args, options);
  if (outcome.exitCode !== 0) throw explainGit(outcome, remote);
  return outcome.stdout;
}

function text(pieces: readonly Buffer[]): string {
  return Buffer.concat(pieces).toString("utf8");
}

function environmentOf({ environment = {}, access, indexFile }: GitOptions): Record<string, string> {
  const env: Record<string, string> = {
    PATH: environment["PATH"] || DEFAULT_PATH,
    LC_ALL: "C",
    GIT_TERMINAL_PROMPT: "0",
  };
  const pass = (names: readonly string[]): void => {
    for (const name of names) if (environment[name] !== undefined) env[name] = environment[name];
  };
  // It and its helpers are found by this when this process has been killed.
  pass([OWNER_VARIABLE]);
  if (access !== undefined) {
    pass(ACCESS_VARIABLES);
    const hosts = access.knownHosts === undefined ? "" : ` -o UserKnownHostsFile=${access.knownHosts}`;
    env["GIT_SSH_COMMAND"] = `${environment["GIT_SSH_COMMAND"] || "ssh"} -o BatchMode=yes${hosts}`;
  }
  if (access?.userConfig === true) pass(USER_VARIABLES);
  else Object.assign(env, { HOME: "/dev/null", GIT_CONFIG_NOSYSTEM: "1", GIT_CONFIG_GLOBAL: "/dev/null" });
  if (indexFile !== undefined) env["GIT_INDEX_FILE"] = indexFile;
  // By the environment and not by `-c`: other users of the machine can read arguments.
  const config = [...FIXED_CONFIG];
  if (access?.header !== undefined)
    config.push([`http.${access.header.scope}.extraheader`, `Authorization: ${access.header.value}`]);
  env["GIT_CONFIG_COUNT"] = String(config.length);
  for (const [index, [key, value]] of config.entries()) {
    env[`GIT_CONFIG_KEY_${index}`] = key;
    env[`GIT_CONFIG_VALUE_${index}`] = value;
  }
  return env;
}

/** A remote without the password it may carry. */
export function redactRemote(remote: string): string {
  return remote
    .replace(/^(\w+:\/\/)[^/@]*:[^/@]*@/, "$1***@")
    .replace(/^(https?:\/\/)(?!\*\*\*@)[^/@]+@/, "$1***@");
}

interface Explanation {
  readonly pattern: RegExp;
  readonly code: "source-missing" | "source-denied" | "source-failed";
  readonly reason: string;
  readonly hint?: string;
}

const EXPLANATIONS: readonly Explanation[] = [
  {
    pattern: /host key verification failed/i,
    code: "source-denied",
    reason: "ssh does not know the host's key",
    hint: "connect to the host with ssh once and check the key, so that it is added to ~/.ssh/known_hosts",
  },
  {
    pattern: /permission denied \(/i,
    code: "source-denied",
    reason: "ssh was refused",
    hint: "load a key that has access into the agent (ssh-add), and check SSH_AUTH_SOCK",
  },
  {
    pattern:
      /could not read username|could not read password|authentication failed|terminal prompts disabled|error: 40[13]/i,
    code: "source-denied",
    reason: "access was refused, or there is no such repository",
    hint: `give a token: secret = ["id=GIT_AUTH_TOKEN,env=GIT_AUTH_TOKEN"] in the target, or use a git credential helper`,
  },
  {
    pattern:
      /repository .* not found|does not appear to be a git repository|error: 404|not valid: is this a git repository/i,
    code: "source-missing",
    reason: "there is no such repository",
    hint: "check the address",
  },
  { pattern: /could not resolve host/i, code: "source-failed", reason: "no such host" },
  {
    pattern: /connection refused|couldn't connect|failed to connect/i,
    code: "source-failed",
    reason: "connection refused",
  },
  { pattern: /timed out/i, code: "source-failed", reason: "no answer in time" },
  {
    pattern: /certificate/i,
    code: "source-failed",
    reason: "its certificate is not trusted",
    hint: "add the authority's certificate with GIT_SSL_CAINFO=FILE",
  },
  {
    pattern: /cannot run ssh|ssh: not found|unable to fork/i,
    code: "source-failed",
    reason: "the program ssh is not installed",
    hint: "install it (the package is called openssh-client)",
  },
  {
    pattern: /no space left/i,
    code: "source-failed",
    reason: "there is no space left in the state directory",
  },
];

/** Whether a failure lies with the remote or the way to it, so that asking for something else cannot help. */
export function isUnreachable({ stderr }: GitOutcome): boolean {
  return EXPLANATIONS.some(({ pattern }) => pattern.test(stderr));
}

/** The failure of a git command that was about a remote. */
export function explainGit(outcome: GitOutcome, remote: string): BakeError {
  const { stderr, exitCode } = outcome;
  const after = afterAttempts(outcome);
  const known = EXPLANATIONS.find(({ pattern }) => pattern.test(stderr));
  const name = redactRemote(remote);
  if (known !== undefined) {
    const { code, reason, hint } = known;
    return new BakeError(code, `cannot read the git repository "${name}"${after}: ${reason}`, { hint });
  }
  const lines = redactText(stderr, remote)
    .split("\n")
    .filter(line => line.trim() !== "");
  const said =
    lines.find(line => /^(?:fatal|error): /.test(line)) ?? lines.at(-1) ?? `git ended with ${exitCode}`;
  return new BakeError(
    "source-failed",
    `cannot read the git repository "${name}"${after}: ${said.replace(/^(?:fatal|error): /, "")}`,
  );
}

function redactText(text: string, remote: string): string {
  return text.replaceAll(remote, redactRemote(remote));
}
