// The closed list of problem codes. Each row: what it means, and the exit code of a run that ends with it.
// docs/errors.md is generated from this table.

/** Exit codes of the program. 1 is a failed build, 2 wrong usage or input, 130 interruption by the user. */
export const exitCodes = { ok: 0, failure: 1, usage: 2, interrupted: 130 } as const;

export const codes = {
  usage: { exit: 2, text: "the command line is wrong" },
  "bake-syntax": { exit: 2, text: "a bake file does not parse" },
  "bake-evaluate": { exit: 2, text: "an expression in a bake file cannot be evaluated" },
  "bake-schema": { exit: 2, text: "a block or attribute of a bake file has the wrong form" },
  "bake-resolve": { exit: 2, text: "a target, group or override of a bake file cannot be resolved" },
  "dockerfile-syntax": { exit: 2, text: "a Dockerfile does not parse" },
  "dockerfile-lower": { exit: 2, text: "a Dockerfile cannot be turned into LLB" },
  "dockerfile-lint": { exit: 2, text: "a Dockerfile does something that is probably a mistake" },
  "buildfile-invalid": { exit: 2, text: "a build file in another language than the Dockerfile's is wrong" },
  "frontend-unknown": { exit: 2, text: "a target asks for a frontend that is not available" },
  "llb-invalid": { exit: 2, text: "an LLB definition is malformed" },
  "file-missing": { exit: 2, text: "a file or folder that the build needs does not exist" },
  "file-denied": { exit: 1, text: "a file or folder that the build needs may not be read or written" },
  "file-operation": { exit: 1, text: "a file operation of a step failed" },
  "step-failed": { exit: 1, text: "a command in a step ended with a failure" },
  "cache-miss": { exit: 1, text: "a step had to be in the cache and is not" },
  "runtime-missing": { exit: 1, text: "no OCI runtime can be used" },
  "runtime-failed": { exit: 1, text: "the OCI runtime could not start a container" },
  "emulator-missing": { exit: 1, text: "a step is for another platform, and no emulator for it is there" },
  "emulation-slow": { exit: 1, text: "commands for another platform take long, being emulated" },
  "mount-failed": { exit: 1, text: "a file system could not be mounted" },
  "registry-denied": { exit: 1, text: "a registry refused access" },
  "registry-missing": { exit: 1, text: "an image or blob is not in the registry" },
  "registry-failed": { exit: 1, text: "a registry could not be used" },
  "source-missing": { exit: 1, text: "a git reference, repository or URL does not exist" },
  "source-denied": { exit: 1, text: "a git repository or URL may not be read" },
  "source-failed": { exit: 1, text: "a git repository or URL could not be fetched" },
  "entitlement-missing": { exit: 1, text: "a build asks for more than the user has granted" },
  "reference-invalid": { exit: 2, text: "an image reference is malformed" },
  "platform-invalid": { exit: 2, text: "a platform is malformed or not supported here" },
  "pattern-invalid": { exit: 2, text: "a file pattern is malformed" },
  "cache-over": {
    exit: 1,
    text: "the cache is larger than it should be, for running builds need what is in it",
  },
  "content-corrupt": { exit: 1, text: "stored content does not match its digest" },
  "state-unusable": { exit: 1, text: "the state directory cannot be used" },
  "disk-full": { exit: 1, text: "there is no space left for the build's state or output" },
  "export-failed": { exit: 1, text: "a result could not be written to its destination" },
  "not-supported": { exit: 2, text: "the feature is recognised but not available yet" },
  interrupted: { exit: 130, text: "the build was stopped by the user" },
  internal: { exit: 1, text: "a defect in llbake itself" },
} as const satisfies Readonly<Record<string, { readonly exit: number; readonly text: string }>>;

export type Code = keyof typeof codes;
