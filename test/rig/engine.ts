// An embedded engine over a temporary state directory, driven with LLB: for tests of ops, engine and exporters.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { Writable } from "node:stream";
import { createEmbeddedEngine, type EmbeddedOptions } from "../../src/engine/embedded.ts";
import type { Engine, SolveReport } from "../../src/engine/engine.ts";
import type { ExportRequest } from "../../src/exporter/exporter.ts";
import { copy, local, marshal, scratch, type State } from "../../src/llb/mod.ts";
import type { ImageConfig } from "../../src/oci/imageconfig.ts";
import { platformFromNode } from "../../src/oci/platform.ts";
import type { ProgressEvent } from "../../src/progress/event.ts";
import type { Session } from "../../src/session/session.ts";
import { busyboxDir } from "./bake.ts";
import { isRoot, tempDir, type TempDir } from "./tree.ts";

/** Why tests in which the program runs commands are skipped here, or false. */
export const skipWithoutRuntime: string | false = ["crun", "runc"].some(isOnPath)
  ? false
  : "no OCI runtime on PATH";

/** The same for tests that run them in the process of the test, which enters no user namespace. */
export const skipWithoutContainers: string | false = isRoot ? skipWithoutRuntime : "containers need root";

export const platform = platformFromNode(process.platform, process.arch);

export interface EngineRig extends AsyncDisposable {
  readonly dir: TempDir;
  readonly engine: Engine;
  readonly events: readonly ProgressEvent[];
  /** Directories lent by name. */
  readonly locals: Map<string, string>;
  readonly secrets: Map<string, string>;
  /** Bytes written to standard output by exports. */
  stdout(): Buffer;
  /** Solves a state and gives the folder with its files. */
  files(state: State): Promise<string>;
  solve(state: State, exports: readonly ExportRequest[], config?: ImageConfig): Promise<SolveReport>;
  /** Names of the steps that really ran since the last call. */
  executed(): readonly string[];
  /** Lets go of all events so far. */
  forgetEvents(): void;
  /** The next process: same state directory, new engine. */
  reopen(): Promise<void>;
}

export async function engineRig(options: Partial<EmbeddedOptions> = {}): Promise<EngineRig> {
  const dir = tempDir();
  const locals = new Map<string, string>([["busybox", busyboxDir]]);
  const secrets = new Map<string, string>();
  const events: ProgressEvent[] = [];
  const chunks: Buffer[] = [];
  let seen = 0;
  let outputs = 0;
  const session: Session = {
    localDir: name => locals.get(name),
    secret: id => Promise.resolve(secrets.has(id) ? Buffer.from(secrets.get(id) ?? "") : undefined),
    credentials: () => Promise.resolve(undefined),
  };
  const stdout = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  const open = (): Engine =>
    createEmbeddedEngine({
      rootPath: join(dir.path, "state"),
      platform,
      maxParallelism: 4,
      now: () => Date.now(),
      stdout,
      ...options,
    });
  let engine = open();

  const solve: EngineRig["solve"] = async (state, exports, config) => {
    const definition = marshal(state, { platform });
    const [report] = await engine.solve(
      [
        {
          name: "app",
          work: { tag: "definition", definition, platform, ...(config && { config }) },
          exports,
          entitlements: ["network.host", "security.insecure", "device"],
        },
      ],
      { session, emit: event => events.push(event), signal: new AbortController().signal },
    );
    if (report === undefined) throw new Error("no report");
    return report;
  };
  return {
    dir,
    get engine() {
      return engine;
    },
    events,
    locals,
    secrets,
    stdout: () => Buffer.concat(chunks),
    solve,
    async files(state) {
      const dest = join(dir.path, `out${outputs++}`);
      await solve(state, [{ type: "local", attrs: {}, dest }]);
      return dest;
    },
    executed() {
      const fresh = events.slice(seen);
      seen = events.length;
      const names = new Map(
        events.flatMap(event => (event.type === "step" ? [[event.id, event.name] as const] : [])),
      );
      return fresh.flatMap(event => {
        const name = event.type === "started" ? (names.get(event.id) ?? "") : "";
        return name === "" || name.startsWith("exporting") || name.startsWith("local://") ? [] : [name];
      });
    },
    forgetEvents() {
      events.length = 0;
      seen = 0;
    },
    async reopen() {
      await engine[Symbol.asyncDispose]();
      engine = open();
    },
    async [Symbol.asyncDispose]() {
      await engine[Symbol.asyncDispose]();
      dir[Symbol.dispose]();
    },
  };
}

/** A file system with a static busybox and a shell. */
export function busyboxBase(): State {
  return scratch()
    .file(
      copy(local("busybox", { uniqueId: "busybox", followPaths: ["busybox"] }), "busybox", "/bin/", {
        createDestPath: true,
        followSymlink: true,
      }),
    )
    .run({ args: ["/bin/busybox", "--install", "-s", "/bin"] })
    .root()
    .addEnv("PATH", "/bin");
}

function isOnPath(program: string): boolean {
  try {
    execFileSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
