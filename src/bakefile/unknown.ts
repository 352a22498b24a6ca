// Names of targets and groups that nothing defines.
import { BakeError } from "../diagnostic/error.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import type { GroupDefinition, TargetDefinition } from "./definition.ts";
import type { Problems } from "./problems.ts";

type Targets = ReadonlyMap<string, TargetDefinition>;
type Groups = ReadonlyMap<string, GroupDefinition>;

/** A name that was asked for and means nothing. */
export function unknownTarget(name: string, targets: Targets, groups: Groups): BakeError {
  const hint = didYouMean(name, [...targets.keys(), ...groups.keys()]);
  const fallback =
    name === "default" ? 'name a target, or define a group "default"' : "bake --list targets shows all names";
  return new BakeError("bake-resolve", `unknown target "${name}"`, { hint: hint ?? fallback });
}

/** Told where the parent is written. */
export function unknownParent(heir: TargetDefinition, parent: string, targets: Targets): BakeError {
  return new BakeError("bake-resolve", `target "${heir.name}" inherits from unknown target "${parent}"`, {
    range: heir.itemRanges?.inherits.get(parent) ?? heir.attributeRanges.get("inherits") ?? heir.range,
    hint: didYouMean(parent, targets.keys()),
  });
}

/** Told where the member is written. */
export function unknownMember(
  group: GroupDefinition,
  member: string,
  targets: Targets,
  groups: Groups,
): BakeError {
  return new BakeError("bake-resolve", `group "${group.name}" has the unknown member "${member}"`, {
    range: group.memberRanges?.get(member) ?? group.range,
    hint: didYouMean(member, [...targets.keys(), ...groups.keys()]),
  });
}

export function unknownLink(
  name: string,
  context: string,
  other: string,
  targets: Targets,
  owner: TargetDefinition | undefined,
): BakeError {
  return new BakeError(
    "bake-resolve",
    `target "${name}" has the unknown target "${other}" as its context "${context}"`,
    {
      range:
        owner?.itemRanges?.contexts.get(context) ?? owner?.attributeRanges.get("contexts") ?? owner?.range,
      hint: didYouMean(other, targets.keys()),
    },
  );
}

/** Adds every unknown parent and member: for files that have other problems, too, and so are never resolved.
 * `others` are names that something else defines. */
export function reportUnknownNames(
  targets: Targets,
  groups: Groups,
  others: ReadonlySet<string>,
  problems: Problems,
): void {
  const report = (error: BakeError): void => {
    for (const diagnostic of error.diagnostics) problems.add(diagnostic);
  };
  for (const target of targets.values()) {
    for (const parent of target.fields.inherits ?? []) {
      if (!targets.has(parent) && !others.has(parent)) report(unknownParent(target, parent, targets));
    }
  }
  for (const group of groups.values()) {
    for (const member of group.targets ?? []) {
      if (!targets.has(member) && !groups.has(member) && !others.has(member))
        report(unknownMember(group, member, targets, groups));
    }
  }
}
