// `bake build-llb`: builds what an LLB program wrote, as `buildctl build --local NAME=DIR < definition` does.
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { parseOutput, parseSecret } from "../bakefile/entry.ts";
import { checkStdout, exportsFromTarget } from "../build/outputs.ts";
import { createSecrets } from "../build/secrets.ts";
import { exitCodes } from "../diagnostic/codes.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { Definition } from "../llb/definition.ts";
import { readDefinition } from "../llb/marshal.ts";
import { parsePlatform } from "../oci/platform.ts";
import { createRenderer } from "../progress/choose.ts";
import { isTerminal } from "../progress/renderer.ts";
import type { Session } from "../session/session.ts";
import { collect } from "./arguments.ts";
import { readAll } from "./bakefiles.ts";
import { progressMode } from "./buildrun.ts";
import type { DefineCommand } from "./command.ts";
import { createCredentials } from "./credentials.ts";
import { hostPlatform } from "./hostplatform.ts";
import { createEngine, type EngineFlags, rootPath } from "./engine.ts";
import type { Environment } from "./environment.ts";
import { takeRights } from "./rights.ts";

interface BuildLlbFlags extends EngineFlags {
  readonly local?: readonly string[];
  readonly secret?: readonly string[];
  readonly allow?: readonly string[];
  readonly output?: readonly string[];
  readonly platform?: string;
  readonly progress?: string;
  readonly metadataFile?: string;
}

/** The only request of such a build; labels progress and the metadata file. */
const NAME = "llb";

export const defineBuildLlb: DefineCommand = (command, { environment, signal }, done) => {
  command
    .usage("[OPTIONS] < definition")
    .description("Build an LLB definition (pb.Definition) read from standard input.")
    .option("--local <name=dir>", "folder behind the local source of this name; may be repeated", collect)
    .option(
      "--secret <secret>",
      `secret, as "id=token,src=token.txt" or "id=token,env=TOKEN"; may be repeated`,
      collect,
    )
    .option(
      "--allow <entitlement>",
      "grant steps network.host, security.insecure or device=NAME; may be repeated",
      collect,
    )
    .option(
      "-o, --output <output>",
      `where the result goes, as "type=local,dest=out"; may be repeated`,
      collect,
    )
    .option("--platform <platform>", "platform of the result (default: this machine's)")
    .option("--progress <mode>", "auto, plain, tty, quiet or rawjson (default: BUILDKIT_PROGRESS, or auto)")
    .option("--metadata-file <path>", "write what was built to a JSON file")
    .option("--root <dir>", "folder for the cache and other state")
    .option("--oci-runtime <path>", "OCI runtime to use")
    .action(async (flags: BuildLlbFlags) => {
      const host = hostPlatform(environment);
      const platform = flags.platform === undefined ? host : parsePlatform(flags.platform, host);
      const mode = progressMode(flags, environment);
      const outputs = (flags.output ?? []).map(parseOutput);
      const facts = { cwd: environment.cwd, stdoutIsTerminal: isTerminal(environment.stdout), platform };
      const exports = exportsFromTarget({ name: NAME, tags: [], annotations: [], outputs }, facts);
      checkStdout([{ name: NAME, exports }]);
      // What is read of standard input is gone.
      await takeRights(environment, rootPath(flags, environment));
      const session = sessionFromFlags(flags, environment);
      const definition = await readStdinDefinition(environment, "build-llb");
      await using engine = await createEngine(flags, environment);
      const renderer = await createRenderer(mode, environment.stderr, { color: environment.color });
      try {
        const reports = await engine.solve(
          [
            {
              name: NAME,
              work: { tag: "definition", definition, platform },
              exports,
              entitlements: flags.allow ?? [],
            },
          ],
          { session, emit: renderer.emit, signal },
        );
        if (flags.metadataFile !== undefined) {
          const { writeMetadata } = await import("../build/report.ts");
          await writeMetadata(resolve(environment.cwd, flags.metadataFile), reports);
        }
      } finally {
        await renderer.close();
      }
      done(exitCodes.ok);
    });
};

/** @throws BakeError "usage" on a terminal, "llb-invalid" for anything but a definition */
export async function readStdinDefinition({ stdin }: Environment, command: string): Promise<Definition> {
  if (isTerminal(stdin)) {
    throw new BakeError("usage", "an LLB definition is expected on standard input", {
      hint: `pipe one in: program | bake ${command}`,
    });
  }
  return readDefinition(await readAll(stdin));
}

/** Local sources are known by name alone here, whatever session id they carry. */
function sessionFromFlags({ local = [], secret = [] }: BuildLlbFlags, environment: Environment): Session {
  const dirs = new Map<string, string>();
  for (const entry of local) {
    const equals = entry.indexOf("=");
    if (equals < 1) throw new BakeError("usage", `--local "${entry}" is not of the form NAME=FOLDER`);
    const path = resolve(environment.cwd, entry.slice(equals + 1));
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) {
      throw new BakeError(
        "file-missing",
        `the folder "${entry.slice(equals + 1)}" of --local ${entry.slice(0, equals)} does not exist`,
      );
    }
    dirs.set(entry.slice(0, equals), path);
  }
  const secrets = secret.map(text => {
    const { id, src, env } = parseSecret(text);
    return { id, ...(src && { src: resolve(environment.cwd, src) }), ...(env && { env }) };
  });
  return {
    localDir: name => dirs.get(name),
    secret: createSecrets(secrets, environment.env),
    credentials: createCredentials(environment),
    environment: environment.env,
  };
}
