// Compose files as bake definitions: every service with a `build` is a target, and the group "default" is all of them
// (Compose specification; buildx docs, "Building from Compose file").
import { hasErrors, type Diagnosed, type Diagnostic } from "../../diagnostic/diagnostic.ts";
import { BakeError } from "../../diagnostic/error.ts";
import type { Source } from "../../diagnostic/source.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import { mergeTargets } from "../attributes.ts";
import type { Evaluated, GroupDefinition, TargetDefinition } from "../definition.ts";
import { createProblems, type Problems } from "../problems.ts";
import { targetName } from "./contexts.ts";
import type { ComposeHost } from "./host.ts";
import { loadModel, serviceEnvironment, type ComposeModel } from "./model.ts";
import { childOf, type MapNode } from "./node.ts";
import { checkModel } from "./schema.ts";
import { isExternal, targetOfService } from "./service.ts";

type Definitions = Pick<Evaluated, "groups" | "targets">;

/** Reads Compose files that extend each other, in order. */
export function readCompose(sources: readonly Source[], host: ComposeHost): Diagnosed<Definitions> {
  const diagnostics: Diagnostic[] = [];
  const model = checkedModel(sources, host, diagnostics);
  if (model === undefined) return { value: undefined, diagnostics };
  const problems = createProblems(diagnostics);
  const value = definitionsOf(model, host, problems);
  return { value: hasErrors(diagnostics) ? undefined : value, diagnostics };
}

/** Whether a file of an unknown kind is a Compose file: it reads as one on its own. */
export function isCompose(source: Source, host: ComposeHost): boolean {
  return checkedModel([source], host, []) !== undefined;
}

function checkedModel(
  sources: readonly Source[],
  host: ComposeHost,
  diagnostics: Diagnostic[],
): ComposeModel | undefined {
  try {
    const model = loadModel(sources, host, diagnostics);
    if (childOf(model.root, "services") === undefined && childOf(model.root, "secrets") === undefined) {
      const source = sources[0];
      throw new BakeError("bake-schema", `the Compose file "${source?.name ?? ""}" has no services`, {
        range: source && { source, start: 0, end: 0 },
        hint: 'it needs a mapping "services"',
      });
    }
    if (!hasErrors(diagnostics)) checkModel(model.root, diagnostics);
    return hasErrors(diagnostics) ? undefined : model;
  } catch (thrown) {
    if (!(thrown instanceof BakeError)) throw thrown;
    diagnostics.push(...thrown.diagnostics);
    return undefined;
  }
}

const TARGET_NAME = /^[a-zA-Z0-9_-]+$/;

function definitionsOf(
  { root, environment }: ComposeModel,
  host: ComposeHost,
  problems: Problems,
): Definitions {
  const services = childOf(root, "services");
  const secrets = childOf(root, "secrets");
  const targets: TargetDefinition[] = [];
  if (services?.kind !== "map" || services.entries.size === 0) return { groups: [], targets };
  for (const [name, { keyRange, value: service }] of services.entries) {
    if (service.kind !== "map") continue;
    checkService(name, service, services, problems);
    const own =
      problems.attempt(keyRange, () => serviceEnvironment(service, environment, host)) ??
      new Map<string, string>();
    const build = childOf(service, "build");
    if (build?.kind !== "map") continue;
    const { fields, ranges } = targetOfService(service, build, {
      name,
      lookUp: one => own.get(one) ?? environment.get(one),
      secrets,
      problems,
    });
    const target = targetName(name);
    if (!TARGET_NAME.test(target)) continue;
    const known = targets.findIndex(one => one.name === target);
    const found = { name: target, fields, defaultContext: ".", range: keyRange, attributeRanges: ranges };
    const before = targets[known];
    // "a.b" and "a_b" are one target.
    if (before === undefined) targets.push(found);
    else
      targets[known] = {
        ...before,
        fields: mergeTargets(before.fields, fields),
        attributeRanges: new Map([...before.attributeRanges, ...ranges]),
      };
  }
  if (secrets?.kind === "map") {
    for (const [name, { keyRange, value: secret }] of secrets.entries) {
      const given = [childOf(secret, "file"), childOf(secret, "environment")];
      if (isExternal(secret) || given.some(one => one?.kind === "string" && one.text !== "")) continue;
      problems.add({
        severity: "error",
        code: "bake-schema",
        message: `the secret "${name}" has neither a file nor an environment`,
        range: keyRange,
      });
    }
  }
  const group: GroupDefinition = {
    name: "default",
    description: "",
    targets: targets.map(target => target.name),
    range: undefined,
  };
  return { groups: [group], targets };
}

/** What a service must have, and what it must not have together. */
function checkService(name: string, service: MapNode, services: MapNode, problems: Problems): void {
  const build = childOf(service, "build");
  const image = childOf(service, "image");
  const { keyRange } = services.entries.get(name) ?? { keyRange: service.range };
  const add = (message: string, range = keyRange, hint?: string): void =>
    problems.add({
      severity: "error",
      code: "bake-resolve",
      message,
      range,
      ...(hint !== undefined && { hint }),
    });
  if (build === undefined && (image?.kind !== "string" || image.text === ""))
    add(`service "${name}" has neither an image nor a build`);
  const inline = childOf(build, "dockerfile_inline");
  const file = childOf(build, "dockerfile");
  if (inline?.kind === "string" && inline.text !== "" && file?.kind === "string" && file.text !== "")
    add(`service "${name}" has both a dockerfile and a dockerfile_inline`, inline.range, "keep one of them");
  const contexts = childOf(build, "additional_contexts");
  if (contexts?.kind !== "map") return;
  for (const [alias, { value }] of contexts.entries) {
    if (value.kind !== "string" || !value.text.startsWith("service:")) continue;
    const other = value.text.slice("service:".length);
    const found = services.entries.get(other)?.value;
    if (found === undefined)
      add(
        `service "${name}" uses the unknown service "${other}" as its context "${alias}"`,
        value.range,
        didYouMean(other, services.entries.keys()),
      );
    else if (childOf(found, "build") === undefined)
      add(
        `service "${name}" uses the service "${other}" as its context "${alias}", which is not built`,
        value.range,
        `give "${other}" a build, or name its image: docker-image://...`,
      );
  }
}
