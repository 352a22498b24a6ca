// What can be wrong with a target although it resolves: checked before building and before printing, without loading
// anything that builds (buildx: bake.TargetsToBuildOpt).
import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { BakeError } from "../diagnostic/error.ts";
import { limitOptions, platformsOf } from "./options.ts";
import { checkOutputs, type OutputFacts } from "./outputs.ts";
import type { BuildTarget } from "./target.ts";

export interface CheckFacts extends OutputFacts {
  readonly env: Readonly<Record<string, string>>;
}

/** BuildKit refuses larger secrets; a file of this size is no secret. */
const MAX_SECRET_BYTES = 500 * 1024;

/** @throws BakeError */
export function checkTarget(target: BuildTarget, facts: CheckFacts): void {
  for (const attribute of ["context", "dockerfile"] as const) {
    if (target[attribute] === "-") {
      throw new BakeError(
        "bake-schema",
        `target "${target.name}": ${attribute} cannot be read from standard input`,
      );
    }
  }
  platformsOf(target, facts.platform);
  limitOptions(target);
  checkSecrets(target, facts);
  checkSsh(target, facts);
  checkOutputs(target, facts);
}

function checkSecrets({ name, secrets }: BuildTarget, { env, cwd }: CheckFacts): void {
  for (const { id, src, env: variable } of secrets) {
    if (id === "") throw new BakeError("bake-schema", `target "${name}": a secret has no id`);
    if (variable !== undefined || (src === undefined && Object.hasOwn(env, id))) continue;
    const path = src ?? id;
    const stat = statSync(resolve(cwd, path), { throwIfNoEntry: false });
    if (stat === undefined) {
      throw new BakeError(
        "file-missing",
        `target "${name}": the file "${path}" of secret "${id}" does not exist`,
        {
          hint: src === undefined ? `there is no environment variable "${id}" either` : undefined,
        },
      );
    }
    if (stat.size > MAX_SECRET_BYTES) {
      throw new BakeError(
        "bake-schema",
        `target "${name}": the file "${path}" of secret "${id}" is larger than ${MAX_SECRET_BYTES / 1024} KiB`,
      );
    }
  }
}

function checkSsh({ name, ssh }: BuildTarget, { env, cwd }: CheckFacts): void {
  for (const { id, paths } of ssh) {
    const agent = env["SSH_AUTH_SOCK"];
    if (paths.length === 0 && !agent) {
      throw new BakeError("bake-schema", `target "${name}": ssh "${id}" needs an agent`, {
        hint: "start one and set SSH_AUTH_SOCK, or name key files",
      });
    }
    for (const path of paths.length === 0 ? [agent ?? ""] : paths) {
      const stat = statSync(resolve(cwd, path), { throwIfNoEntry: false });
      if (stat === undefined)
        throw new BakeError("file-missing", `target "${name}": "${path}" of ssh "${id}" does not exist`);
      if (stat.isSocket() && paths.length > 1) {
        throw new BakeError("bake-schema", `target "${name}": ssh "${id}" has an agent among other paths`, {
          hint: "give either one agent or key files",
        });
      }
      if (
        !stat.isSocket() &&
        (!stat.isFile() || !/PRIVATE KEY/.test(readFileSync(resolve(cwd, path), "latin1")))
      ) {
        throw new BakeError(
          "bake-schema",
          `target "${name}": "${path}" of ssh "${id}" is neither an agent nor a private key`,
        );
      }
    }
  }
}
