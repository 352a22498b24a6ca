// The options of `bake [TARGET...]`: those of `docker buildx bake`, and a few of llbake's own.
import { InvalidArgumentError, Option } from "commander";
import { collect } from "./arguments.ts";
import type { DefineCommand } from "./command.ts";
import type { WorkerKind } from "../worker/worker.ts";
import type { BakeFlags } from "./flags.ts";
import { onOff } from "./switch.ts";

export const defineBake: DefineCommand = (command, context, done) => {
  const value = (flags: string, text: string): Option => new Option(flags, text);
  const repeated = (flags: string, text: string): Option => new Option(flags, text).argParser(collect);
  const options = [
    repeated(
      "-f, --file <path>",
      `bake file to read, "-" for standard input; may be repeated (default: docker-bake.hcl and the other usual names)`,
    ),
    onOff("--print", "print the resolved targets as JSON and stop"),
    value(
      "--list <what>",
      "list targets or variables and stop (targets, variables, or type=targets,format=json)",
    ),
    value(
      "--explain-var <name>",
      "tell where the value of a variable comes from, and what it shadows, and stop",
    ),
    onOff("--list-targets", "list targets").hideHelp(),
    onOff("--list-variables", "list variables").hideHelp(),
    repeated(
      "--set <override>",
      `override a target's value, as "app.args.X=1" or "*.platform=linux/arm64"; may be repeated`,
    ),
    repeated("--var <name=value>", "set a variable of the bake file; may be repeated"),
    onOff("--push", `push the images: the same as "--set *.push=true"`),
    onOff("--load", `load the images into docker: the same as "--set *.load=true"`),
    onOff("--pull", "look up every base image anew"),
    onOff("--no-cache", "execute every step, whatever the cache has"),
    value("--progress <mode>", "auto, plain, tty, quiet or rawjson (default: BUILDKIT_PROGRESS, or auto)"),
    value("--metadata-file <path>", "write what was built to a JSON file"),
    repeated(
      "--allow <entitlement>",
      "grant what a bake file may not do by itself: network.host, security.insecure, ssh, fs=PATH, fs.read=PATH, fs.write=PATH; may be repeated",
    ),
    value(
      "--call <method>",
      "ask the frontend a question instead of building (build, check, outline, targets)",
    ),
    onOff("--check", "the same as --call=check"),
    value("--provenance <value>", "provenance attestation"),
    value("--sbom <value>", "SBOM attestation"),
    repeated("--policy <policy>", "source policy").hideHelp(),
    value("--builder <name>", "the name of a buildx builder; ignored, there is no daemon to choose"),
    onOff("--debug", "tell where errors come from", "-D"),
    onOff("--watch", "build, then build again whenever an input changes"),
    value(
      "--root <dir>",
      "folder for the cache and other state (default: LLBAKE_ROOT, or llbake in XDG_STATE_HOME or ~/.local/state)",
    ),
    value(
      "--cache-max-size <size>",
      "ceiling on the cache, as 5GB (default: LLBAKE_CACHE_MAX_SIZE, or a tenth of the disk, at most 20GB)",
    ),
    value(
      "--cache-min-free <size>",
      "keep this much of the disk free, as far as removing cached results can (default: LLBAKE_CACHE_MIN_FREE, or a twentieth of the disk, at most 2GB)",
    ),
    value(
      "--cache-keep-duration <duration>",
      "remove what was not used for this long, as 30d (default: LLBAKE_CACHE_KEEP_DURATION, or no limit)",
    ),
    value(
      "--oci-runtime <path>",
      "OCI runtime to use: a name on PATH or a path (default: crun, runc or youki)",
    ),
    value(
      "--worker <kind>",
      "what runs steps: oci (containers) or qemu-vm, a virtual machine for each (default: oci)",
    ).argParser(parseWorker),
    value(
      "-j, --max-parallelism <n>",
      "how many steps may run at the same time (default: the number of processors)",
    ).argParser(parseCount),
    value("--memory <size>", "memory for all steps together, as 4GB; a step beyond it is killed"),
    value("--cpus <n>", "processors for all steps together, as 1.5").argParser(parseCpus),
    value("--cgroup-parent <cgroup>", "the cgroup below which steps have theirs, as /builds"),
    value("--step-timeout <time>", "stop a step that takes longer, as 90s, 10m or 1h30m"),
    onOff("--keep-going", "build the other targets to their end when one fails"),
    value("--on-error <what>", "when a command fails: shell opens one in its container, as it left it"),
    onOff(
      "--verify-inputs",
      "read every file of local folders, also those whose times say they are unchanged",
    ),
    onOff("--fail-on-cache-miss", "fail with the reasons instead of executing a step"),
  ];
  for (const option of options) command.addOption(option);
  command
    .usage("[OPTIONS] [URL [CONTEXT-URL]] [TARGET...]")
    .description(
      "Build the targets of a bake file (docker-bake.hcl, .json or a Compose file) without a daemon.",
    )
    .argument(
      "[target...]",
      `targets and groups to build; patterns such as "web-*" are allowed (default: default). A git repository or URL before them is where the bake file is; a second one is BAKE_CMD_CONTEXT`,
    )
    .action(async (targets: readonly string[], flags: Partial<BakeFlags>) => {
      const { runBake } = await import("./bake.ts");
      done(await runBake(targets, { file: [], set: [], var: [], allow: [], policy: [], ...flags }, context));
    });
};

function parseCount(text: string): number {
  const count = Number(text);
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError(`expected a whole number of at least 1.`);
  return count;
}

const WORKERS: readonly WorkerKind[] = ["oci", "qemu-vm"];

function parseWorker(text: string): WorkerKind {
  const kind = WORKERS.find(known => known === text);
  if (kind === undefined) throw new InvalidArgumentError(`expected ${WORKERS.join(" or ")}.`);
  return kind;
}

function parseCpus(text: string): number {
  const count = Number(text);
  if (!/^\d+(?:\.\d+)?$/.test(text) || count < 0.01)
    throw new InvalidArgumentError("expected a number of at least 0.01.");
  return count;
}
