// The instructions of a Dockerfile, a row each. FROM is not among them: it begins a stage (see stage.ts).
import type { InstructionKind } from "../model.ts";
import { add } from "./add.ts";
import { arg } from "./arg.ts";
import { cmd } from "./cmd.ts";
import { copy } from "./copy.ts";
import { entrypoint } from "./entrypoint.ts";
import { env } from "./env.ts";
import { expose } from "./expose.ts";
import { healthcheck } from "./healthcheck.ts";
import { label } from "./label.ts";
import { maintainer } from "./maintainer.ts";
import { onbuild } from "./onbuild.ts";
import { run } from "./run.ts";
import { shell } from "./shell.ts";
import { stopsignal } from "./stopsignal.ts";
import { user } from "./user.ts";
import { volume } from "./volume.ts";
import { workdir } from "./workdir.ts";

/** Rows by lower-case instruction word. */
export const instructions: ReadonlyMap<string, InstructionKind> = new Map(
  Object.entries({
    add,
    arg,
    cmd,
    copy,
    entrypoint,
    env,
    expose,
    healthcheck,
    label,
    maintainer,
    onbuild,
    run,
    shell,
    stopsignal,
    user,
    volume,
    workdir,
  }),
);
