// What the user who runs a build lends to it: directories, secrets, credentials. Nothing here is stored or keyed.
import type { Range } from "../diagnostic/source.ts";
import type { Credentials } from "../registry/auth.ts";
import type { OpenSshAgent } from "./sshagent.ts";

export interface Session {
  /** The directory behind a local source, or undefined when none was lent under that name. Absolute path. */
  localDir(name: string, sessionId: string): string | undefined;
  /** Files of a local source that exist in memory only (an inline Dockerfile), by path; undefined when it is a directory. */
  localFiles?(name: string, sessionId: string): ReadonlyMap<string, Uint8Array> | undefined;
  /** Where the exclude patterns of a local source are written, in their order, when that is known. */
  excludedAt?(name: string, sessionId: string, patterns: readonly string[]): readonly Range[] | undefined;
  /** The bytes of a secret, or undefined when it was not given. */
  secret(id: string): Promise<Uint8Array | undefined>;
  /** The ssh agent lent under an id, or undefined when none was. */
  ssh?(id: string): Promise<OpenSshAgent | undefined>;
  /** What is lent to these targets alone: ids of secrets and agents may mean something else to others. */
  forTargets?(targets: readonly string[]): Pick<Session, "secret" | "ssh">;
  /** Credentials for a registry host, or undefined for anonymous access. Asked again after a refusal. */
  credentials(host: string): Promise<Credentials | undefined>;
  /** Variables of the user's environment, for programs that fetch in the user's name (git, ssh): PATH, HOME, agents, proxies. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Takes what a command left that failed, and with it the duty to dispose it; false when it is not wanted. */
  keepFailed?(step: KeptStep): boolean;
}

/** The container of a step, kept to be looked at: its file systems, environment, user and working directory. */
export interface KeptStep extends AsyncDisposable {
  /** The command of the step, as its author wrote it; "" when it has none. */
  readonly command: string;
  /** Whether there is such a program; an absolute path in the container. */
  has(program: string): boolean;
  /** Runs a command in it, in the place of the step's own, with the streams of this process. `env` is added to the step's. */
  run(
    args: readonly string[],
    options: {
      readonly signal: AbortSignal;
      readonly attach: "terminal" | "streams";
      readonly env: readonly string[];
    },
  ): Promise<{ readonly exitCode: number }>;
}

export type { Credentials, OpenSshAgent };
