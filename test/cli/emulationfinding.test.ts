// Goal: `bake doctor` tells which platforms run here, how, and what would make it better. Method: reports of machines.
import assert from "node:assert/strict";
import { test } from "node:test";
import { emulationFinding } from "../../src/cli/emulationfinding.ts";
import type { EmulationReport } from "../../src/executor/emulation.ts";
import { architectures } from "../../src/executor/emulators.ts";

const named = (...names: readonly string[]) => architectures.filter(({ name }) => names.includes(name));
const report = (parts: Partial<EmulationReport>): EmulationReport => ({
  emulators: { usable: [], dynamic: [] },
  native: [],
  registered: [],
  namespaceProblem: undefined,
  ...parts,
});
const usable = named("arm64", "arm").map(architecture => ({ architecture, path: `/usr/bin/qemu` }));
const registered = (isOpen: boolean) =>
  named("arm64", "s390x").map(architecture => ({ architecture, entry: { interpreter: "/q", isOpen } }));

test("emulators that a user namespace can have are fine", () => {
  assert.deepEqual(emulationFinding(report({ emulators: { usable, dynamic: [] }, native: named("386") })), {
    state: "ok",
    text: "arm64, arm/v7 by QEMU, registered in a user namespace; 386 by the processor",
  });
});

test("on an older kernel what the machine has registered serves, the rest is mounted", () => {
  const finding = emulationFinding(
    report({
      emulators: { usable, dynamic: [] },
      registered: registered(true),
      namespaceProblem: "no table: mount: denied",
    }),
  );
  assert.equal(finding.state, "note");
  assert.match(
    finding.text,
    /^arm64, s390x by what the machine's kernel has registered; arm\/v7 by QEMU mounted/,
  );
  assert.match(finding.text, /\(no table: mount: denied\)$/);
  assert.match(finding.fix ?? "", /Linux 6\.7 or newer/);
});

test("emulators that only the kernel holds are as good", () => {
  assert.deepEqual(emulationFinding(report({ registered: registered(true) })), {
    state: "ok",
    text: "arm64, s390x by what the machine's kernel has registered",
  });
});

test("without emulators the command that installs them is given", () => {
  for (const parts of [{}, { registered: registered(false) }])
    assert.deepEqual(emulationFinding(report(parts)), {
      state: "note",
      text: "no emulator for other platforms",
      fix: "apt-get install qemu-user-static",
    });
  const { text } = emulationFinding(report({ emulators: { usable: [], dynamic: ["/usr/bin/qemu-arm"] } }));
  assert.match(text, /\/usr\/bin\/qemu-arm is not static/);
});
