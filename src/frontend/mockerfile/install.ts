// How packages get into an image, a row for each way.
import { copy } from "../../llb/builder/file.ts";
import type { VertexOptions } from "../../llb/builder/vertex.ts";
import type { State } from "../../llb/state.ts";

export interface InstallOptions {
  readonly names: readonly string[];
  /** Where archives are. */
  readonly archives: State;
  readonly step: VertexOptions;
}

type Install = (base: State, options: InstallOptions) => State;

export const managers: Readonly<Record<string, Install>> = {
  apt: byCommand(
    names =>
      `apt-get update && apt-get install -y --no-install-recommends ${names} && rm -rf /var/lib/apt/lists/*`,
  ),
  apk: byCommand(names => `apk add --no-cache ${names}`),
  dnf: byCommand(names => `dnf install -y ${names} && dnf clean all`),
  // NAME.tar of a context, unpacked at the root: needs nothing in the image, not even a shell.
  archives: (base, { names, archives, step }) => {
    const [first, ...others] = names.map(name => `/${name}.tar`);
    if (first === undefined) return base;
    const options = { attemptUnpack: true, createDestPath: true };
    const action = others.reduce(
      (done, path) => done.copy(archives, path, "/", options),
      copy(archives, first, "/", options),
    );
    return base.file(action, step);
  },
};

function byCommand(script: (names: string) => string): Install {
  return (base, { names, step }) => {
    if (names.length === 0) return base;
    return base.run({ ...step, args: ["/bin/sh", "-c", script(names.join(" "))] }).root();
  };
}
