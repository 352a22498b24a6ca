// Users and groups by the files of an image: passwd(5) and group(5), found without leaving the image's root.
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { BakeError } from "../diagnostic/error.ts";
import { lstatOrNone } from "../system/lstat.ts";
import { resolveInRoot } from "../layer/rootpath.ts";
import { isMappedId } from "../system/privilege.ts";

export interface User {
  readonly uid: number;
  readonly gid: number;
  /** "/" when the image does not say. */
  readonly home: string;
}

export interface ProcessUser {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups, without `gid`, ascending. */
  readonly additionalGids: readonly number[];
}

/** The entry of /etc/passwd with this name; undefined when there is none. */
export async function findUser(root: string, name: string): Promise<User | undefined> {
  return (await readUsers(root)).find(user => user.name === name);
}

/** The entry of /etc/group with this name; undefined when there is none. */
export async function findGroup(root: string, name: string): Promise<{ readonly gid: number } | undefined> {
  return (await readGroups(root)).find(group => group.name === name);
}

/**
 * Resolves `user[:group]` of names or numbers; "" is root. A user without a group gets its primary group and those
 * that list it; a number that is no user's id gets group 0. A group given replaces all of these.
 * @throws BakeError "step-failed" when a name is unknown, or this user namespace lacks the id
 */
export async function resolveUser(root: string, spec: string): Promise<ProcessUser> {
  const { uid, gid, additionalGids } = await lookUpUser(root, spec);
  const [hasUid, hasGid] = [isMappedId("uid", uid), isMappedId("gid", gid)];
  if (!hasUid || !hasGid)
    throw new BakeError(
      "step-failed",
      `cannot run as user ${uid}${hasUid ? `, group ${gid}` : ""}: the user namespace of this build has no such id`,
      { hint: 'run "bake doctor": it tells what gives this user more ids' },
    );
  // Groups that nothing can belong to give no rights.
  return { uid, gid, additionalGids: additionalGids.filter(id => isMappedId("gid", id)) };
}

async function lookUpUser(root: string, spec: string): Promise<ProcessUser> {
  const colon = spec.indexOf(":");
  const userText = colon < 0 ? spec : spec.slice(0, colon);
  const groupText = colon < 0 ? "" : spec.slice(colon + 1);
  const wantedUser = userText === "" ? "0" : userText;

  const users = await readUsers(root);
  // A name made of digits wins over the number, as in every engine.
  const user =
    users.find(entry => entry.name === wantedUser) ??
    users.find(entry => String(entry.uid) === numeric(wantedUser));
  const uid = user?.uid ?? expectId(wantedUser, "user", "/etc/passwd");
  if (groupText !== "") {
    const groups = await readGroups(root);
    const group = groups.find(entry => entry.name === groupText);
    return { uid, gid: group?.gid ?? expectId(groupText, "group", "/etc/group"), additionalGids: [] };
  }
  if (user === undefined) return { uid, gid: 0, additionalGids: [] };
  const member = (await readGroups(root))
    .filter(group => group.members.includes(user.name))
    .map(group => group.gid);
  const additionalGids = [...new Set(member)].filter(gid => gid !== user.gid).sort((a, b) => a - b);
  return { uid, gid: user.gid, additionalGids };
}

function numeric(text: string): string | undefined {
  return /^[0-9]+$/.test(text) ? String(Number(text)) : undefined;
}

const MAX_ID = 0xffff_fffe;

function expectId(text: string, kind: "user" | "group", file: string): number {
  const id = Number(numeric(text) ?? NaN);
  if (id <= MAX_ID) return id;
  const known = numeric(text) !== undefined ? "is too large" : `is not in the image's ${file}`;
  throw new BakeError("step-failed", `cannot run as ${kind} "${text}": it ${known}`, {
    hint: `create the ${kind} in an earlier step, or give a number`,
  });
}

async function readUsers(root: string): Promise<readonly (User & { readonly name: string })[]> {
  return (await readEntries(root, "etc/passwd")).flatMap(([name, , uid, gid, , home]) =>
    name !== undefined && numeric(uid ?? "") !== undefined && numeric(gid ?? "") !== undefined
      ? [{ name, uid: Number(uid), gid: Number(gid), home: home === undefined || home === "" ? "/" : home }]
      : [],
  );
}

interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

async function readGroups(root: string): Promise<readonly Group[]> {
  return (await readEntries(root, "etc/group")).flatMap(([name, , gid, members]) =>
    name !== undefined && numeric(gid ?? "") !== undefined
      ? [{ name, gid: Number(gid), members: (members ?? "").split(",").map(member => member.trim()) }]
      : [],
  );
}

/** Asking another thread takes longer than reading the few lines that there are. */
const FEW_BYTES = 64 * 1024;

async function readText(file: string, sizeBytes: number): Promise<string> {
  return sizeBytes <= FEW_BYTES ? readFileSync(file, "utf8") : await readFile(file, "utf8");
}

/** The colon-separated fields of each line; none when the image has no such file. */
async function readEntries(root: string, path: string): Promise<readonly (readonly string[])[]> {
  const file = resolveInRoot(root, path, { followLast: true });
  // Anything but a file could make the read wait for ever.
  const found = lstatOrNone(file);
  const text = found?.isFile() ? await readText(file, found.size) : "";
  return text
    .split("\n")
    .map(line => line.trim())
    .filter(line => line !== "" && !line.startsWith("#"))
    .map(line => line.split(":"));
}
