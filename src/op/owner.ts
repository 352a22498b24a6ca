// Owners of files as file actions name them: ids, or names looked up in the tree's own /etc/passwd and /etc/group.
import { BakeError } from "../diagnostic/error.ts";
import { findGroup, findUser } from "../executor/user.ts";
import type { PathSelector } from "../layer/contenthash.ts";
import type { Chown, UserOption } from "../llb/op/file.ts";
import type { Ref } from "../snapshot/ref.ts";
import type { Worker } from "../worker/worker.ts";
import { openTree } from "./tree.ts";

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** The files of an input that decide what the owner's names mean; none when it is given by ids or names another input. */
export function ownerSelectors({ user, group }: Chown, input: number): readonly PathSelector[] {
  const named = (option: UserOption | undefined): boolean =>
    option?.user?.kind === "byName" && option.user.value.input === input;
  const selector = (path: string): PathSelector => ({ path, wildcard: false, followSymlink: true });
  return [
    ...(named(user) ? [selector("/etc/passwd")] : []),
    ...(named(group) ? [selector("/etc/group")] : []),
  ];
}

/** Numeric owner of a chown option; a user given by name brings its own group. @throws BakeError "file-operation" */
export async function lookupOwner(
  chown: Chown | undefined,
  inputs: readonly Ref[],
  worker: Worker,
): Promise<Owner | undefined> {
  if (chown === undefined) return undefined;
  const user = chown.user?.user;
  const group = chown.group?.user;
  let uid = 0;
  let gid = 0;
  if (user?.kind === "byID") {
    uid = user.value;
    gid = user.value;
  } else if (user?.kind === "byName") {
    const { name, input } = user.value;
    const found = await inTree(inputs[input], worker, root => findUser(root, name));
    if (found === undefined) throw unknownName("user", name, "/etc/passwd");
    ({ uid, gid } = found);
  }
  if (group?.kind === "byID") gid = group.value;
  else if (group?.kind === "byName") {
    const { name, input } = group.value;
    const found = await inTree(inputs[input], worker, root => findGroup(root, name));
    if (found === undefined) throw unknownName("group", name, "/etc/group");
    gid = found.gid;
  }
  return { uid, gid };
}

async function inTree<T>(
  ref: Ref | undefined,
  worker: Worker,
  look: (root: string) => Promise<T | undefined>,
): Promise<T | undefined> {
  if (ref === undefined) return undefined;
  await using tree = await openTree(ref, worker);
  return tree && (await look(tree.root));
}

function unknownName(kind: "user" | "group", name: string, file: string): BakeError {
  return new BakeError("file-operation", `unknown ${kind} "${name}"`, {
    hint: `${file} of the image has no such ${kind}; give a number, or create it first`,
  });
}
