// The frontends that a file can ask for by its syntax line (`# syntax=llbake/ickfile`), by the name that stands there.
import type { Frontend } from "./frontend.ts";

export const syntaxes: Readonly<Record<string, () => Promise<{ readonly frontend: Frontend }>>> = {
  "llbake/ickfile": () => import("./ickfile/frontend.ts"),
  "llbake/mockerfile": () => import("./mockerfile/frontend.ts"),
};
