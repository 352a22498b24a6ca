// Fetches a static busybox for each foreign architecture the tests run, as .cache/foreign/ARCH/busybox: Debian's
// packages, downloaded and unpacked, never installed. The machine's own package lists and architectures stay as they are.
import { spawnSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** Names of architectures: in platforms, and Debian's. */
const ARCHITECTURES = {
  arm64: "arm64",
  arm: "armhf",
  386: "i386",
  ppc64le: "ppc64el",
  riscv64: "riscv64",
  s390x: "s390x",
};

/** The oldest release that has them all. */
const RELEASE = "trixie";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
/** Without a network there is no need to try at every start of the tests. */
const RETRY_AFTER_MS = 24 * 3600_000;
const TIMEOUT_MS = 120_000;

/** Gives why they are not there, or undefined. Costs a few stats when nothing is to be done. */
export function fetchForeignBusybox(root, say) {
  const folder = join(root, ".cache", "foreign");
  const missing = Object.keys(ARCHITECTURES).filter(name => !exists(join(folder, name, "busybox")));
  if (missing.length === 0) return undefined;
  const note = join(folder, "problem");
  const age = Date.now() - (statSync(note, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  if (age < RETRY_AFTER_MS) return readFileSync(note, "utf8");
  mkdirSync(folder, { recursive: true });
  const problem = fetchMissing(folder, missing, say);
  if (problem === undefined) rmSync(note, { force: true });
  else writeFileSync(note, problem);
  return problem;
}

function fetchMissing(folder, missing, say) {
  for (const program of ["apt-get", "dpkg-deb", "tar"])
    if (spawnSync(program, ["--version"]).error) return `${program} is not there to fetch Debian's packages`;
  if (!exists(KEYRING))
    return `${KEYRING} is not there to check Debian's packages (package debian-archive-keyring)`;
  const work = mkdtempSync(join(tmpdir(), "llbake-setup-"));
  try {
    say(`fetching busybox for ${missing.join(", ")} (the tests run it emulated)`);
    for (const path of ["lists/partial", "cache/archives/partial", "debs"])
      mkdirSync(join(work, path), { recursive: true });
    const wanted = missing.map(name => ARCHITECTURES[name]);
    writeFileSync(
      join(work, "sources.list"),
      `deb [arch=${wanted.join(",")} signed-by=${KEYRING}] ${mirror()} ${RELEASE} main\n`,
    );
    const apt = (args, cwd) => {
      const settings = {
        "Dir::Etc::SourceList": join(work, "sources.list"),
        "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": join(work, "lists"),
        "Dir::State::status": "/dev/null",
        "Dir::Cache": join(work, "cache"),
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "APT::Update::Error-Mode": "any",
        "APT::Sandbox::User": "root",
        "APT::Architecture": wanted[0],
      };
      const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
      const architectures = wanted.flatMap(name => ["-o", `APT::Architectures::=${name}`]);
      return spawnSync("apt-get", ["-q", ...options, ...architectures, ...args], {
        cwd,
        encoding: "utf8",
        timeout: TIMEOUT_MS,
      });
    };
    const update = apt(["update"], work);
    if (update.status !== 0) return `Debian's package lists cannot be fetched: ${lastLine(update)}`;
    const debs = join(work, "debs");
    const download = apt(["download", ...wanted.map(name => `busybox-static:${name}`)], debs);
    if (download.status !== 0) return `Debian's packages cannot be fetched: ${lastLine(download)}`;
    for (const name of missing) {
      const deb = readdirSync(debs).find(file => file.endsWith(`_${ARCHITECTURES[name]}.deb`));
      const unpacked = join(work, name);
      const { status } = deb
        ? spawnSync("dpkg-deb", ["--extract", join(debs, deb), unpacked])
        : { status: 1 };
      const busybox = ["usr/bin/busybox", "bin/busybox"].map(path => join(unpacked, path)).find(exists);
      if (status !== 0 || busybox === undefined)
        return `the package of busybox for ${name} cannot be unpacked`;
      const target = join(folder, name, "busybox");
      mkdirSync(dirname(target), { recursive: true });
      const bytes = readFileSync(busybox);
      writeFileSync(`${target}.new`, bytes, { mode: 0o755 });
      renameSync(`${target}.new`, target);
    }
    return undefined;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Where this machine gets Debian from, when it does. */
function mirror() {
  const files = ["/etc/apt/sources.list", ...list("/etc/apt/sources.list.d")];
  for (const file of files) {
    const found = /^(?:URIs:|deb(?: \[[^\]]*\])?) *(https?:\/\/\S+\/debian)\/?(?:\s|$)/m.exec(read(file));
    if (found !== null) return found[1];
  }
  return "http://deb.debian.org/debian";
}

function lastLine({ stdout, stderr, error }) {
  const lines = `${stdout ?? ""}\n${stderr ?? ""}`.split("\n").filter(line => line.trim() !== "");
  return lines.find(line => line.startsWith("E:")) ?? error?.message ?? lines.at(-1) ?? "no output";
}

function list(folder) {
  try {
    return readdirSync(folder).map(name => join(folder, name));
  } catch {
    return [];
  }
}

function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function exists(path) {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
