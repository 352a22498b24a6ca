// RUN: a command in a container; its changes are a layer.
import type { MountRequest } from "../../../llb/builder/exec.ts";
import { mkfile } from "../../../llb/builder/file.ts";
import { scratch } from "../../../llb/state.ts";
import type { NetworkMode } from "../../../llb/op/exec.ts";
import { BakeError } from "../../../diagnostic/error.ts";
import { didYouMean } from "../../../diagnostic/suggest.ts";
import { type CommandLine, lowerError, readCommand, readFlags, syntaxError } from "../arguments.ts";
import { chompTabs, parseHeredocWord } from "../heredoc.ts";
import { addHistory, withShell } from "../imageconfig.ts";
import { type InstructionKind, locationOf, type Stage } from "../model.ts";
import { joinPath } from "../../../llb/path.ts";
import type { InstructionLine } from "../parse.ts";
import { environmentOf, expand, located, nameStep, stepText } from "../steps.ts";
import { readDevice } from "../device.ts";
import { trimSpace } from "../text.ts";
import type { Environment } from "../words.ts";
import { mountSource, type MountSpec, readMount } from "../mount.ts";
import { lowerMount } from "../mountlower.ts";
import { proxyEnvironment } from "../options.ts";

const NETWORKS: Readonly<Record<string, NetworkMode | undefined>> = {
  default: undefined,
  none: "none",
  host: "host",
};
const SECURITIES = ["sandbox", "insecure"] as const;
const SCRIPT_DIRECTORY = "/dev/pipes/";
const SCRIPT_MODE = 0o755;

export const run: InstructionKind = {
  heredocs: true,
  counted: true,
  parse(line) {
    const flags = readFlags(line, { mount: "list", network: "text", security: "text", device: "list" });
    const devices = (flags.device ?? []).map(readDevice);
    const network = flags.network ?? "default";
    if (!Object.hasOwn(NETWORKS, network))
      throw syntaxError(
        `RUN has the unknown network "${network}"`,
        line,
        didYouMean(network, Object.keys(NETWORKS)) ?? "write default, none or host",
      );
    const security = SECURITIES.find(mode => mode === (flags.security ?? "sandbox"));
    if (security === undefined)
      throw syntaxError(
        `RUN has the unknown security mode "${flags.security ?? ""}"`,
        line,
        "write sandbox or insecure",
      );
    const command = readCommand(line.rest, line);
    const mounts = flags.mount ?? [];
    return {
      line,
      sources: mounts.map(mount => ({ name: mountSource(mount) || "scratch", byIndex: false })),
      lower(stage, conversion, sources) {
        const specs = mounts.map(mount => readMount(mount, word => expand(word, line, stage, conversion)));
        // A command can read any file of its root.
        stage.paths.add("/");
        const script = scriptOf(command, line, stage);
        if (devices.length > 0 && !conversion.labs)
          throw new BakeError("dockerfile-lower", "RUN --device is part of the labs syntax only", {
            range: flags.device?.[0]?.range,
            hint: "begin the Dockerfile with the line # syntax=docker/dockerfile:1-labs",
          });
        const args = command.shell ? withShell(stage.draft, script.args.join(" ")) : script.args;
        if (args.length === 0) throw lowerError("RUN has no arguments", line);
        const environment = environmentOf(stage);
        const requests: MountRequest[] = [
          ...script.mounts,
          ...specs.map((spec, index) =>
            lowerMount(spec, { line, stage, conversion, source: sources[index] }),
          ),
        ];
        const { options } = conversion;
        if (options.shmSizeBytes > 0)
          requests.push({ kind: "tmpfs", target: "/dev/shm", sizeBytes: options.shmSizeBytes });
        const proxyEnv = proxyEnvironment(options.buildArgs);
        const name = stepText(trimSpace(line.original) + script.summary, maskSecrets(environment, specs), {
          escape: conversion.escape,
          rawQuotes: true,
          keepUnset: true,
        });
        const before = stage.state;
        stage.state = located(line, () =>
          before.run({
            args,
            mounts: requests,
            ...(proxyEnv && { proxyEnv }),
            ...(NETWORKS[network] && { network: NETWORKS[network] }),
            security,
            devices: devices.map(({ name, required }) => ({ name, optional: !required })),
            ulimits: options.ulimits,
            extraHosts: options.extraHosts,
            ...(options.cgroupParent && { cgroupParent: options.cgroupParent }),
            ...(options.linuxResources && { linuxResources: options.linuxResources }),
            ...(stage.ignoreCache && { ignoreCache: true }),
            description: { "com.docker.dockerfile.v1.command": trimSpace(line.original) },
            customName: nameStep(stage, name, conversion, before.values.platform, environment),
            location: locationOf(line, conversion.sources),
          }),
        ).root();
        addHistory(stage.draft, `RUN ${historyOf(args, stage, environment)} # buildkit`, {
          layer: true,
          epoch: conversion.epoch,
        });
      },
    };
  },
};

interface Script {
  readonly args: readonly string[];
  readonly mounts: readonly MountRequest[];
  /** Added to the name of the step. */
  readonly summary: string;
}

/** What heredocs make of a command. A lone `<<EOF` is the script itself; others are left to the shell. */
function scriptOf(command: CommandLine, line: InstructionLine, stage: Stage): Script {
  const first = line.heredocs[0];
  const text = command.arguments.join(" ");
  if (first === undefined) return { args: command.arguments, mounts: [], summary: "" };
  if (located(line, () => parseHeredocWord(text)) === undefined) {
    const bodies = line.heredocs.map(({ name, body }) => `\n${body}${name}`).join("");
    return { args: [text + bodies], mounts: [], summary: "" };
  }
  const body = first.chomp ? chompTabs(first.body) : first.body;
  const summary = ` (${summarize(first.body)})`;
  if (stage.draft.os === "windows" || !body.startsWith("#!")) return { args: [body], mounts: [], summary };
  const from = scratch().file(mkfile(first.name, SCRIPT_MODE, body), {
    customName: "[internal] preparing inline document",
  });
  return {
    args: [joinPath(SCRIPT_DIRECTORY, first.name)],
    mounts: [{ kind: "bind", target: SCRIPT_DIRECTORY, from, source: "/", readonly: true }],
    summary,
  };
}

function summarize(body: string): string {
  const lines = trimSpace(body).replaceAll("\r\n", "\n").split("\n");
  return (lines[0] ?? "") + (lines.length > 1 ? "..." : "");
}

/** Variables that hold secrets show as `****` in the name of the step. */
function maskSecrets(environment: Environment, mounts: readonly MountSpec[]): Environment {
  const names = new Set(
    mounts.flatMap(mount => (mount.type === "secret" && mount.env !== undefined ? [mount.env] : [])),
  );
  return { ...environment, get: name => (names.has(name) ? "****" : environment.get(name)) };
}

/** The command as history has it: `|N A=1 B= /bin/sh -c text`. */
function historyOf(args: readonly string[], stage: Stage, environment: Environment): string {
  const values = new Map<string, string>();
  for (const { name, value } of stage.buildArgs)
    values.set(name, `${name}=${environment.get(name) ?? value ?? ""}`);
  const head = values.size === 0 ? [] : [`|${values.size}`, ...values.values()];
  return [...head, ...args].join(" ");
}
