// What a Compose file needs from outside: files it refers to and variables. Given as functions, so that reading
// definitions touches neither disk nor environment.

export interface ComposeHost {
  /** The text of a file below the working directory or at an absolute path; undefined when there is none. */
  readonly readFile: (path: string) => string | undefined;
  /** The environment, without `.env`; empty when bake files may not see it. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** `--var`: these win over everything. */
  readonly vars: ReadonlyMap<string, string>;
}
