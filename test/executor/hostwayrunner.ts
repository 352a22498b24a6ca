// A process that finds its emulator in the machine's table: run by emulation.test.ts.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openOwner } from "../../src/content/lease.ts";
import { openStateRoot } from "../../src/content/root.ts";
import { BakeError } from "../../src/diagnostic/error.ts";
import { createEmulation } from "../../src/executor/emulation.ts";

const [busybox = ""] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "llbake-test-"));
try {
  await using owner = await openOwner(await openStateRoot(join(folder, "state")));
  const emulation = createEmulation({
    owner,
    native: { os: "linux", architecture: "amd64" },
    searchPath: "",
    ways: ["host"],
  });
  const missing = await emulation({ os: "linux", architecture: "s390x" }).catch(
    (thrown: unknown) => BakeError.from(thrown).code,
  );
  copyFileSync(busybox, join(folder, "busybox"));
  const machine = execFileSync(join(folder, "busybox"), ["uname", "-m"]).toString().trim();
  const found = await emulation({ os: "linux", architecture: "arm64" });
  process.stdout.write(JSON.stringify({ emulation: found, machine, missing }));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
