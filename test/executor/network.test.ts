// Goal: where a step has a network of its own, what listens on the machine's loopback is out of its reach, and so is
// another step's; where it cannot have one, that is said once. Method: every way in turn, real namespaces.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createExecutor } from "../../src/executor/container.ts";
import type { Executor, Note } from "../../src/executor/executor.ts";
import { isolatedResolvConf } from "../../src/executor/networkdns.ts";
import { type NetworkRung, networkRungs, toolsIn } from "../../src/executor/networkrungs.ts";
import { containerProblem, makeBusyboxRoot, openStateDir, temporaryFolder } from "../rig/statedir.ts";

/** A server that answers "reached", on loopback and on every other address. */
async function openServers(t: TestContext): Promise<{ readonly loopback: number; readonly any: number }> {
  const ports: number[] = [];
  for (const host of ["127.0.0.1", "0.0.0.0"]) {
    const server = createServer(socket => socket.on("error", () => undefined).end("reached\n"));
    server.listen(0, host);
    await once(server, "listening");
    t.after(() => server.close());
    ports.push((server.address() as AddressInfo).port);
  }
  return { loopback: ports[0] ?? 0, any: ports[1] ?? 0 };
}

async function openBench(t: TestContext, rungs: readonly NetworkRung[]) {
  const { root, owner } = await openStateDir(t);
  const folder = temporaryFolder(t);
  const executor = await createExecutor({ root, owner, networkRungs: rungs });
  const notes: Note[] = [];
  let roots = 0;
  const run = (script: string): Promise<string> => {
    const path = join(folder, String(roots++));
    makeBusyboxRoot(path);
    return runScript(executor, path, script, notes);
  };
  return { owner, notes, run };
}

async function runScript(executor: Executor, path: string, script: string, notes: Note[]): Promise<string> {
  let out = "";
  const args = ["/bin/sh", "-c", script];
  await executor.run(
    { args, env: ["PATH=/bin"], cwd: "/", user: "", network: "default", insecure: false },
    { path, readonly: false, mounts: [] },
    {
      signal: AbortSignal.timeout(60_000),
      onOutput: (_stream, data) => (out += Buffer.from(data).toString()),
      onNote: note => notes.push(note),
    },
  );
  return out;
}

const noContainers = containerProblem();

for (const rung of networkRungs) {
  const skip = noContainers ?? rung.problem(toolsIn("")) ?? false;
  test(
    `${rung.name}: the machine's loopback is out of reach, each step has its own ports`,
    { skip },
    async t => {
      const { loopback } = await openServers(t);
      const { owner, notes, run } = await openBench(t, [rung]);
      const seen = await run(
        `ip route | grep ^default; ip route | grep ^default | cut -d' ' -f3 | while read gateway; do nc -w 1 $gateway ${loopback} </dev/null; done; nc -w 1 127.0.0.1 ${loopback} </dev/null; echo end`,
      );
      assert.match(seen, /^default via /);
      assert.doesNotMatch(seen, /reached/);
      // Both listen where the other one does.
      const listen = "nc -l -p 4711 </dev/null 2>/dev/null & until netstat -ltn | grep -c 4711; do :; done";
      for (const lines of await Promise.all([run(listen), run(listen)])) assert.match(lines, /(?:0\n)*1\n/);
      assert.deepEqual(notes, []);
      await owner[Symbol.asyncDispose]();
      assert.doesNotMatch(readFileSync("/proc/self/mountinfo", "utf8"), new RegExp(owner.name));
      assert.doesNotMatch(execFileSync("ps", ["-eo", "args"], { encoding: "utf8" }), new RegExp(owner.name));
    },
  );

  // Those of other tests' steps come and go.
  const address = Object.entries(networkInterfaces())
    .flatMap(([name, list]) => (name.startsWith("llbake") ? [] : (list ?? [])))
    .find(({ family, internal }) => family === "IPv4" && !internal)?.address;
  // pasta gives the namespace the machine's own address, which then is not the machine any more.
  const noWay =
    rung.name === "pasta" ? "it has the machine's address" : address === undefined && "no address";
  test(`${rung.name}: there is a way out`, { skip: skip || noWay }, async t => {
    const { any } = await openServers(t);
    const { run } = await openBench(t, [rung]);
    assert.equal(await run(`nc -w 30 ${address ?? ""} ${any} </dev/null`), "reached\n");
  });
}

test(
  "where no way works, steps share the machine's network, which is said once",
  { skip: noContainers ?? false },
  async t => {
    const { loopback } = await openServers(t);
    const broken: NetworkRung = {
      name: "wire",
      problem: () => undefined,
      open: () => Promise.reject(new Error("cut")),
    };
    const absent: NetworkRung = { ...broken, problem: () => "string is not installed" };
    const { notes, run } = await openBench(t, [absent, broken]);
    assert.equal(await run(`nc -w 30 127.0.0.1 ${loopback} </dev/null`), "reached\n");
    await run("true");
    assert.equal(notes.length, 1);
    assert.match(
      notes[0]?.message ?? "",
      /share the network of this machine.*string is not installed; wire: cut/,
    );
  },
);

test("a step asks the name server behind its way out first, and never one on the machine's loopback", () => {
  const files =
    (etc: string, upstream = "") =>
    (path: string) =>
      path.startsWith("/etc") ? etc : upstream;
  const plain =
    "search a b\nnameserver 10.0.0.1\nnameserver 127.0.0.1\nnameserver 10.0.0.2\noptions ndots:2\n";
  const stub = files("search a\nnameserver 127.0.0.53\n", "search a\nnameserver 10.0.0.3\n");
  assert.equal(
    isolatedResolvConf("9.9.9.9", files(plain)),
    "search a b\noptions ndots:2\nnameserver 9.9.9.9\nnameserver 10.0.0.2\n",
  );
  assert.equal(isolatedResolvConf("9.9.9.9", stub), "search a\nnameserver 9.9.9.9\n");
  assert.equal(
    isolatedResolvConf(undefined, files(plain)),
    "search a b\noptions ndots:2\nnameserver 10.0.0.1\nnameserver 10.0.0.2\n",
  );
  assert.equal(isolatedResolvConf(undefined, stub), "search a\nnameserver 10.0.0.3\n");
  assert.match(isolatedResolvConf(undefined, files("nameserver 127.0.0.1\n")), /^nameserver 8\.8\.8\.8\n/);
  assert.match(isolatedResolvConf("9.9.9.9", files("")), /^nameserver 8\.8\.8\.8\n/);
});
