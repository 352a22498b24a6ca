// What bake files define once they are evaluated, before inheritance and overrides.
import type { Range, Source } from "../diagnostic/source.ts";
import type { Field, TargetFields } from "./attributes.ts";
import type { Attribute } from "./hcl/ast.ts";

export interface GroupDefinition {
  readonly name: string;
  readonly description: string;
  /** Null prints as null. */
  readonly targets: readonly string[] | null;
  readonly range: Range | undefined;
  /** Where single members are written. */
  readonly memberRanges?: ReadonlyMap<string, Range>;
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
  /** Where single parents and named contexts are written. */
  readonly itemRanges?: {
    readonly inherits: ReadonlyMap<string, Range>;
    readonly contexts: ReadonlyMap<string, Range>;
  };
  /**
   * What the target says when the target `heir` inherits from it; present when it mentions `target.name`, the name of
   * the target that is built. @throws BakeError
   */
  readonly fieldsFor?: (heir: string) => TargetFields;
}

/** Something that gives values to variables from outside of the bake files. */
export interface VariableLayer {
  readonly kind: "flag" | "environment" | "env-file";
  /** The env file. */
  readonly file: Source | undefined;
  readonly lookUp: (name: string) => string | undefined;
}

export interface VariableOverride {
  readonly kind: VariableLayer["kind"];
  readonly file: Source | undefined;
  /** The variable's name, or that with _JSON. */
  readonly name: string;
  readonly text: string;
  readonly json: boolean;
}

/** One of the places that give a value to a variable. */
export type VariableSource =
  VariableOverride | { readonly kind: "default" | "global"; readonly attribute: Attribute };

export interface VariableInfo {
  readonly name: string;
  readonly description: string;
  readonly type: string | undefined;
  readonly value: string | undefined;
  readonly range: Range;
  /** What gives it a value, the one that counts first; empty when nothing does. */
  readonly sources: readonly VariableSource[];
}

export interface Evaluated {
  /** In order of definition; of groups with one name the first counts. */
  readonly groups: readonly GroupDefinition[];
  readonly targets: readonly TargetDefinition[];
  readonly variables: readonly VariableInfo[];
}
