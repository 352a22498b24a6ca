// Changes of files, by chokidar: one watcher over a set of inputs, replaced as a whole when the set changes.
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { BakeError } from "../diagnostic/error.ts";
import { createInputMatcher, type WatchInputs } from "./inputs.ts";

export interface Watcher {
  /** Watches these inputs from now on. Resolves when every later change will be seen. */
  watch(inputs: WatchInputs): Promise<void>;
  close(): Promise<void>;
}

export interface WatcherOptions {
  /** A path that changed, absolute. */
  readonly onChange: (path: string) => void;
  /** Something to tell the user, such as a fall-back. */
  readonly onNotice: (error: BakeError) => void;
}

const POLL_INTERVAL_MS = 500;

export function createWatcher({ onChange, onNotice }: WatcherOptions): Watcher {
  let current: { readonly key: string; readonly close: () => Promise<void> } | undefined;
  let polling = false;

  const open = async (inputs: WatchInputs): Promise<() => Promise<void>> => {
    const { watch } = await import("chokidar");
    const matcher = createInputMatcher(inputs);
    // A file that is replaced or does not exist yet is seen by its folder.
    const folders = new Set(inputs.files.map(dirname));
    const roots = [...new Set([...inputs.contexts.map(({ path }) => path), ...folders])];
    const watched = (path: string): boolean => roots.includes(path);
    const watcher = watch(await existing(roots), {
      ignored: (path, stats) =>
        !watched(path) && (matcher.isIgnored(path) || (stats?.isFile() === true && !matcher.isInput(path))),
      ignoreInitial: true,
      followSymlinks: false,
      ignorePermissionErrors: true,
      usePolling: polling,
      interval: POLL_INTERVAL_MS,
      binaryInterval: POLL_INTERVAL_MS,
    });
    const failed = await new Promise<unknown>(resolve => {
      watcher.on("ready", () => resolve(undefined));
      watcher.on("error", resolve);
    });
    if (failed !== undefined) {
      await watcher.close();
      const limited =
        failed instanceof Error && "code" in failed && (failed.code === "ENOSPC" || failed.code === "EMFILE");
      if (polling || !limited)
        throw new BakeError("state-unusable", "files cannot be watched", { cause: failed });
      polling = true;
      onNotice(
        new BakeError(
          "state-unusable",
          "the system's limit of watched files is reached: looking for changes by polling",
          {
            hint: "raise it: sysctl fs.inotify.max_user_watches=524288",
            cause: failed,
          },
        ),
      );
      return open(inputs);
    }
    watcher.on("all", (_event, path) => {
      if (matcher.isInput(path)) onChange(path);
    });
    return () => watcher.close();
  };

  return {
    async watch(inputs) {
      const key = JSON.stringify(inputs);
      if (current?.key === key) return;
      const before = current;
      current = { key, close: await open(inputs) };
      await before?.close();
    },
    async close() {
      const last = current;
      current = undefined;
      await last?.close();
    },
  };
}

async function existing(paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    paths.map(path =>
      stat(path).then(
        () => path,
        () => undefined,
      ),
    ),
  );
  return found.flatMap(path => path ?? []);
}
