// What bake files define once they are evaluated, before inheritance and overrides.
import type { Range } from "../diagnostic/source.ts";
import type { Field, TargetFields } from "./attributes.ts";

export interface GroupDefinition {
  readonly name: string;
  readonly description: string;
  /** Null prints as null. */
  readonly targets: readonly string[] | null;
  readonly range: Range | undefined;
}

export interface TargetDefinition {
  readonly name: string;
  readonly fields: TargetFields;
  /** The context when none is set: ".", or the folder of the file when paths are relative to files. */
  readonly defaultContext: string;
  /** Type and label of the first block that defines it. */
  readonly range: Range | undefined;
  /** Where single attributes were last written. */
  readonly attributeRanges: ReadonlyMap<Field, Range>;
}

export interface VariableInfo {
  readonly name: string;
  readonly description: string;
  readonly type: string | undefined;
  readonly value: string | undefined;
  readonly range: Range;
}

export interface Evaluated {
  /** In order of definition; of groups with one name the first counts. */
  readonly groups: readonly GroupDefinition[];
  readonly targets: readonly TargetDefinition[];
  readonly variables: readonly VariableInfo[];
}
