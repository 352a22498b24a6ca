// Loaded before the program (node --import): counts the calls that change files below LLBAKE_FAULT_BELOW, and at the
// n-th kills the process, or lets that call fail. LLBAKE_FAULT is "kill:N", "fail:N", or "count", which writes the number
// of calls to LLBAKE_FAULT_COUNT at the end.
import fs from "node:fs";
import promises from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";

const below = process.env.LLBAKE_FAULT_BELOW ?? "/";
const [mode, at = "0"] = (process.env.LLBAKE_FAULT ?? "count").split(":");
let calls = 0;

/** Calls by path; those with two change the second. */
const CHANGING = [
  ...["writeFile", "appendFile", "mkdir", "rename", "rm", "unlink", "rmdir", "link", "symlink", "copyFile"],
  ...["utimes", "truncate", "chmod", "chown"],
];

function step(name) {
  calls++;
  if (mode === "count" || calls !== Number(at)) return;
  if (mode === "kill") process.kill(process.pid, "SIGKILL");
  const error = new Error(`EIO: i/o error, ${name}`);
  throw Object.assign(error, { errno: -5, code: "EIO", syscall: name, path: below });
}

function isBelow(args) {
  return args.slice(0, 2).some(arg => typeof arg === "string" && arg.startsWith(below));
}

for (const name of CHANGING) {
  const inPromises = promises[name];
  promises[name] = async (...args) => {
    if (isBelow(args)) step(name);
    return inPromises(...args);
  };
  const inSync = fs[`${name}Sync`];
  fs[`${name}Sync`] = (...args) => {
    if (isBelow(args)) step(name);
    return inSync(...args);
  };
}

const opened = await promises.open("/dev/null");
const prototype = Object.getPrototypeOf(opened);
await opened.close();
const watched = new WeakSet();
const open = promises.open;
promises.open = async (...args) => {
  const writes = typeof args[1] === "string" && args[1] !== "r";
  if (isBelow(args) && writes) step("open");
  const file = await open(...args);
  if (isBelow(args) && writes) watched.add(file);
  return file;
};
for (const name of ["write", "writeFile", "datasync", "sync"]) {
  const original = prototype[name];
  prototype[name] = async function (...args) {
    if (watched.has(this)) step(name);
    return original.apply(this, args);
  };
}

process.on("exit", () => {
  if (mode === "count" && process.env.LLBAKE_FAULT_COUNT)
    fs.appendFileSync(process.env.LLBAKE_FAULT_COUNT, `${calls}\n`);
});

syncBuiltinESMExports();
