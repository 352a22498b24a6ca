// Output entries of a target as requests to exporters (buildx: CreateExports and the exporter part of toSolveOpt).
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { parseBoolText } from "../bakefile/csv.ts";
import type { OutputEntry } from "../bakefile/entry.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { ExportRequest } from "../exporter/exporter.ts";
import { formatPlatform, parsePlatform, type Platform } from "../oci/platform.ts";
import { formatReference, parseReference, withDefaultTag } from "../oci/reference.ts";
import type { BuildTarget } from "./target.ts";

export interface OutputFacts {
  /** Directory that relative destinations start from. */
  readonly cwd: string;
  /** Whether standard output is a terminal, to which no archive is written. */
  readonly stdoutIsTerminal: boolean;
  readonly platform: Platform;
}

const IMAGES = new Set(["image", "oci", "docker"]);

/** The part of a target that outputs follow from. */
export type OutputTarget = Pick<BuildTarget, "name" | "tags" | "annotations" | "outputs">;

/**
 * One request per output. Tags become the `name` of image kinds; `registry` is `image` with `push=true`; destinations
 * become absolute. Nothing at all becomes `cacheonly`.
 * @throws BakeError "export-failed" for a destination that cannot be used, "reference-invalid" for a bad tag
 */
export function exportsFromTarget(target: OutputTarget, facts: OutputFacts): readonly ExportRequest[] {
  checkOutputs(target, facts);
  const annotations = annotationAttrs(target, facts.platform);
  const requests = target.outputs.map(output => exportFromOutput(target, output, annotations, facts));
  return requests.length === 0 ? [{ type: "cacheonly", attrs: {} }] : requests;
}

/** What can be told of the outputs without building: also part of `--print`. @throws BakeError "export-failed", "usage" */
export function checkOutputs(target: OutputTarget, { cwd, platform }: OutputFacts): void {
  annotationAttrs(target, platform);
  const toStdout = target.outputs.filter(output => {
    const kind = destinationKind(output);
    if (kind === "none") return false;
    const { type, dest = "" } = output;
    if (kind === "dir" && (dest === "" || dest === "-")) {
      throw refusal(target, `output "${type}" needs a folder to write to`, "add dest=FOLDER");
    }
    if (dest === "" || dest === "-") return dest === "-" || type !== "docker";
    const stat = statSync(resolve(cwd, dest), { throwIfNoEntry: false });
    if (stat !== undefined && kind === "dir" && !stat.isDirectory()) {
      throw refusal(target, `output folder "${dest}" is a file`, "choose another dest, or remove the file");
    }
    if (stat !== undefined && kind === "file" && stat.isDirectory()) {
      throw refusal(
        target,
        `output file "${dest}" is a folder`,
        `add a file name, as dest=${dest.replace(/\/$/, "")}/${target.name}.tar`,
      );
    }
    return false;
  });
  if (toStdout.length > 1)
    throw refusal(target, "several outputs write to standard output", "give all but one of them a dest");
}

function refusal(target: OutputTarget, why: string, hint: string): BakeError {
  return new BakeError("export-failed", `target "${target.name}": ${why}`, { hint });
}

function exportFromOutput(
  target: OutputTarget,
  output: OutputEntry,
  annotations: Readonly<Record<string, string>>,
  { cwd, stdoutIsTerminal }: OutputFacts,
): ExportRequest {
  const type = output.type === "registry" ? "image" : output.type;
  const attrs: Record<string, string> = { ...output.attrs };
  if (output.type === "registry") attrs["push"] = "true";
  if (IMAGES.has(type)) {
    if (target.tags.length > 0) {
      attrs["name"] = target.tags.map(tag => formatReference(withDefaultTag(parseReference(tag)))).join(",");
    }
    Object.assign(attrs, annotations);
  }
  if (type === "image" && parseBoolText(attrs["push"] ?? "") === true && !attrs["name"]) {
    throw refusal(
      target,
      "an image needs a tag to be pushed",
      `add tags to the target, or --set ${target.name}.tags=registry.example.com/name`,
    );
  }
  if (destinationKind(output) === "none") return { type, attrs };
  const { dest = "" } = output;
  if (type === "docker" && dest === "") {
    const file = `${target.name}.tar`;
    throw refusal(
      target,
      `output "docker" without "dest" would load the image into a docker daemon, and llbake uses none`,
      `write an archive and load it: --set ${target.name}.output=type=docker,dest=${file}, then docker load -i ${file}`,
    );
  }
  if (dest !== "" && dest !== "-") return { type, attrs, dest: resolve(cwd, dest) };
  if (stdoutIsTerminal)
    throw refusal(
      target,
      `output "${type}" would write an archive to the terminal`,
      "add dest=FILE, or redirect standard output",
    );
  return { type, attrs, dest: "-" };
}

/** What an output writes to: kinds without a destination of their own are `none`. */
function destinationKind({ type, attrs }: OutputEntry): "file" | "dir" | "none" {
  switch (type) {
    case "local":
      return "dir";
    case "tar":
      return "file";
    case "oci":
    case "docker":
      return parseBoolText(attrs["tar"] ?? "") === false ? "dir" : "file";
    default:
      return "none";
  }
}

/** Checks that no two outputs of a run write to standard output. @throws BakeError "export-failed" */
export function checkStdout(
  requests: readonly { readonly name: string; readonly exports: readonly ExportRequest[] }[],
): void {
  const users = requests.flatMap(({ name, exports }) =>
    exports.filter(({ dest }) => dest === "-").map(() => name),
  );
  if (users.length < 2) return;
  throw new BakeError(
    "export-failed",
    `several outputs write to standard output (targets ${users.map(name => `"${name}"`).join(", ")})`,
    {
      hint: "give all but one of them a dest",
    },
  );
}

const ANNOTATION_TYPE = /^(index|index-descriptor|manifest|manifest-descriptor)(?:\[([A-Za-z0-9_/-]+)\])?$/;

/** `[type[platform],…:]key=value` entries as exporter attributes (`annotation-manifest[linux/amd64].key`). */
function annotationAttrs(target: OutputTarget, host: Platform): Readonly<Record<string, string>> {
  const attrs: Record<string, string> = {};
  for (const text of target.annotations) {
    const equals = text.indexOf("=");
    if (equals < 0)
      throw new BakeError("usage", `target "${target.name}": invalid annotation "${text}"`, {
        hint: "expected key=value",
      });
    const left = text.slice(0, equals);
    const value = text.slice(equals + 1);
    const colon = left.indexOf(":");
    if (colon < 0) {
      attrs[`annotation.${left}`] = value;
      continue;
    }
    for (const type of left.slice(0, colon).split(",")) {
      const match = ANNOTATION_TYPE.exec(type);
      if (match === null)
        throw new BakeError("usage", `target "${target.name}": invalid annotation type "${type}"`, {
          hint: "one of index, index-descriptor, manifest, manifest-descriptor",
        });
      const [, name = "", platform] = match;
      const suffix =
        platform !== undefined && name.startsWith("manifest")
          ? `[${formatPlatform(parsePlatform(platform, host))}]`
          : "";
      attrs[`annotation-${name}${suffix}.${left.slice(colon + 1)}`] = value;
    }
  }
  return attrs;
}
