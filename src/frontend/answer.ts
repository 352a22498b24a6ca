// What frontends answer when they are called instead of asked to build: `lint`, `outline`,
// `targets`, `subrequests.describe`. The JSON is that
// of BuildKit's subrequests (frontend/subrequests), field by field, for the tools that read it from buildx.
import { goJson } from "../oci/json.ts";

export type CallMethod = "lint" | "outline" | "targets" | "subrequests.describe";

export const callMethods: readonly CallMethod[] = ["lint", "outline", "targets", "subrequests.describe"];

/** A text that answers point into. */
export interface AnswerSource {
  readonly filename: string;
  readonly data: Uint8Array;
  readonly language: string;
}

/** Lines of a source, from 1, both included. */
export type Lines = readonly [first: number, last: number];

export interface Place {
  /** Index into the sources; -1 when it points nowhere. */
  readonly source: number;
  readonly ranges: readonly Lines[];
}

export interface LintWarning {
  readonly rule: string;
  /** What the rule is about. */
  readonly description: string;
  readonly url: string;
  /** What is wrong here. */
  readonly detail: string;
  /** What to do, where the frontend knows; not part of the JSON. */
  readonly hint?: string | undefined;
  readonly place: Place;
}

/** Why checking could not go on. */
export interface LintFailure {
  readonly message: string;
  readonly hint?: string | undefined;
  readonly place: Place;
}

export interface LintAnswer {
  readonly method: "lint";
  readonly warnings: readonly LintWarning[];
  readonly sources: readonly AnswerSource[];
  readonly failure?: LintFailure | undefined;
}

export interface OutlineArg {
  readonly name: string;
  readonly description: string;
  readonly value: string;
  readonly place: Place;
}

/** A secret or ssh agent that a RUN asks for. */
export interface OutlineNeed {
  readonly name: string;
  readonly required: boolean;
  readonly place: Place;
}

export interface OutlineAnswer {
  readonly method: "outline";
  readonly name: string;
  readonly description: string;
  readonly args: readonly OutlineArg[];
  readonly secrets: readonly OutlineNeed[];
  readonly ssh: readonly OutlineNeed[];
  readonly sources: readonly AnswerSource[];
}

export interface TargetEntry {
  readonly name: string;
  readonly isDefault: boolean;
  readonly description: string;
  readonly base: string;
  readonly platform: string;
  readonly place: Place;
}

export interface TargetsAnswer {
  readonly method: "targets";
  readonly targets: readonly TargetEntry[];
  readonly sources: readonly AnswerSource[];
}

/** Which questions a frontend answers. */
export interface DescribeAnswer {
  readonly method: "subrequests.describe";
  readonly requests: readonly {
    readonly name: string;
    readonly version: string;
    readonly description: string;
  }[];
}

export type CallAnswer = LintAnswer | OutlineAnswer | TargetsAnswer | DescribeAnswer;

/** 1 when checks found something, else 0. */
export function answerStatus(answer: CallAnswer): 0 | 1 {
  return answer.method === "lint" && (answer.warnings.length > 0 || answer.failure !== undefined) ? 1 : 0;
}

/** The answer as data, members in the order BuildKit prints them; empty lists are left out or null as there. */
export function answerData(answer: CallAnswer): Readonly<Record<string, unknown>> {
  switch (answer.method) {
    case "lint":
      return {
        warnings: orNull(
          answer.warnings.map(({ rule, description, url, detail, place }) => ({
            ruleName: rule,
            ...text("description", description),
            ...text("url", url),
            ...text("detail", detail),
            location: location(place),
          })),
        ),
        sources: answer.sources.map(({ filename, data, language }) => ({
          filename,
          data: base64(data),
          language,
        })),
        buildError: answer.failure && {
          message: answer.failure.message,
          location: location(answer.failure.place),
        },
      };
    case "outline":
      return {
        ...text("name", answer.name),
        ...text("description", answer.description),
        ...list(
          "args",
          answer.args.map(({ name, description, value, place }) => ({
            name,
            ...text("description", description),
            ...text("value", value),
            location: location(place),
          })),
        ),
        ...list("secrets", answer.secrets.map(needData)),
        ...list("ssh", answer.ssh.map(needData)),
        ...list(
          "sources",
          answer.sources.map(({ data }) => base64(data)),
        ),
      };
    case "targets":
      return {
        targets: orNull(
          answer.targets.map(({ name, isDefault, description, base, platform, place }) => ({
            ...text("name", name),
            ...(isDefault && { default: true }),
            ...text("description", description),
            ...text("base", base),
            ...text("platform", platform),
            location: location(place),
          })),
        ),
        sources: answer.sources.map(({ data }) => base64(data)),
      };
    case "subrequests.describe":
      return {
        requests: answer.requests.map(request => ({ ...request, name: `frontend.${request.name}` })),
      };
    default: {
      const never: never = answer;
      return never;
    }
  }
}

/** The answer as JSON of several lines, without a final newline. */
export function answerJson(answer: CallAnswer): string {
  return goJson(answerData(answer), "  ");
}

function needData({ name, required, place }: OutlineNeed): Readonly<Record<string, unknown>> {
  return { name, ...(required && { required: true }), location: location(place) };
}

function location({ source, ranges }: Place): Readonly<Record<string, unknown>> {
  return {
    ...(source !== 0 && { sourceIndex: source }),
    ...list(
      "ranges",
      ranges.map(([first, last]) => ({ start: { line: first }, end: { line: last } })),
    ),
  };
}

function text(key: string, value: string): Readonly<Record<string, string>> {
  return value === "" ? {} : { [key]: value };
}

function list(key: string, items: readonly unknown[]): Readonly<Record<string, readonly unknown[]>> {
  return items.length === 0 ? {} : { [key]: items };
}

/** Go prints a list nothing was added to as null. */
function orNull<T>(items: readonly T[]): readonly T[] | null {
  return items.length === 0 ? null : items;
}

function base64(data: Uint8Array): string {
  return Buffer.from(data).toString("base64");
}
