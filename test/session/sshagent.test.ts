// Goal: OpenSSH takes the agent of key files for one of its own, whatever kind and form the keys have, and a step can
// do no more with an agent than list keys and sign. Method: ssh-keygen and ssh-add of this machine.
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { forwardAgent, keyAgent, type OpenSshAgent } from "../../src/session/sshagent.ts";
import { parseSshKey } from "../../src/session/sshkey.ts";
import { listenAgent } from "../../src/session/sshsocket.ts";
import { tempDir } from "../rig/tree.ts";

const run = promisify(execFile);
const hasSsh = ["ssh-keygen", "ssh-add"].every(name => spawnSync(name, ["-?"]).error === undefined);
const skip = hasSsh ? false : "OpenSSH is not installed";

const kinds: Readonly<Record<string, readonly string[]>> = {
  ed25519: ["-t", "ed25519"],
  rsa: ["-t", "rsa", "-b", "2048"],
  rsapem: ["-t", "rsa", "-b", "2048", "-m", "PEM"],
  rsapkcs8: ["-t", "rsa", "-b", "2048", "-m", "PKCS8"],
  ec256: ["-t", "ecdsa", "-b", "256"],
  ec384pem: ["-t", "ecdsa", "-b", "384", "-m", "PEM"],
  ec521: ["-t", "ecdsa", "-b", "521"],
};

async function makeKeys(folder: string, names: readonly string[]): Promise<OpenSshAgent> {
  await Promise.all(
    names.map(name =>
      run("ssh-keygen", ["-q", "-N", "", "-C", "", "-f", join(folder, name), ...(kinds[name] ?? [])]),
    ),
  );
  return keyAgent(
    names.map(name => parseSshKey(readFileSync(join(folder, name), "latin1"), join(folder, name))),
  );
}

/** Signs a file with the key behind the agent, and has OpenSSH check it. */
async function expectSigns(folder: string, name: string, socket: string): Promise<void> {
  const publicKey = readFileSync(join(folder, `${name}.pub`), "utf8");
  // Without the private one beside it, only the agent can sign.
  const [only, message, allowed] = ["only", "message", "allowed"].map(file =>
    join(folder, `${file}-${name}`),
  );
  writeFileSync(only ?? "", publicKey);
  writeFileSync(message ?? "", "hello");
  writeFileSync(allowed ?? "", `me ${publicKey}`);
  const env = { ...process.env, SSH_AUTH_SOCK: socket };
  await run("ssh-keygen", ["-Y", "sign", "-n", "file", "-f", only ?? "", message ?? ""], { env });
  const verify = `ssh-keygen -Y verify -f "$1" -I me -n file -s "$2.sig" < "$2"`;
  const { stdout } = await run("sh", ["-c", verify, "sh", allowed ?? "", message ?? ""]);
  assert.match(stdout, /^Good "file" signature/, name);
}

test("keys of every kind and form sign through the agent; nothing else is allowed", { skip }, async () => {
  using dir = tempDir();
  const names = Object.keys(kinds);
  const agent = await makeKeys(dir.path, names);
  await using socket = await listenAgent(dir.path, agent);
  const env = { ...process.env, SSH_AUTH_SOCK: socket.path };
  const { stdout } = await run("ssh-add", ["-l"], { env });
  assert.deepEqual(
    stdout
      .trim()
      .split("\n")
      .map(line => line.split(" ")[2]),
    names,
  );
  for (const name of names) await expectSigns(dir.path, name, socket.path);
  for (const args of [["-D"], ["-x"], [join(dir.path, "rsa")], ["-d", join(dir.path, "rsa.pub")]])
    await assert.rejects(run("ssh-add", args, { env, timeout: 5_000 }));
});

test("a forwarded agent signs and keeps its keys, also when it is one of ours", { skip }, async () => {
  using dir = tempDir();
  using inner = tempDir();
  await using upstream = await listenAgent(inner.path, await makeKeys(inner.path, ["ed25519"]));
  await using socket = await listenAgent(dir.path, forwardAgent(upstream.path));
  const env = { ...process.env, SSH_AUTH_SOCK: socket.path };
  await expectSigns(inner.path, "ed25519", socket.path);
  await assert.rejects(run("ssh-add", ["-D"], { env }));
  assert.match((await run("ssh-add", ["-l"], { env })).stdout, /ED25519/);
});

test("keys with a passphrase and what is no key are refused in words", { skip }, async () => {
  using dir = tempDir();
  const locked = ["-q", "-N", "pass phrase", "-C", ""];
  await run("ssh-keygen", [...locked, "-t", "ed25519", "-f", join(dir.path, "new")]);
  await run("ssh-keygen", [...locked, "-t", "rsa", "-b", "2048", "-m", "PEM", "-f", join(dir.path, "old")]);
  for (const name of ["new", "old"])
    assert.throws(() => parseSshKey(readFileSync(join(dir.path, name), "latin1"), name), {
      code: "bake-schema",
      message: `cannot use the ssh key "${name}": it has a passphrase`,
    });
  assert.throws(() => parseSshKey("ssh-ed25519 AAAA", "pub"), { message: /it is not a private key/ });
});

test("what is malformed ends the connection, and the next one is served", async () => {
  using dir = tempDir();
  await using socket = await listenAgent(dir.path, keyAgent([]));
  for (const bytes of ["ffffffff00", "000000010d", "0000000d0d0000000100000000ffffff"]) {
    const client = connect(socket.path);
    client.on("error", () => undefined).end(Buffer.from(bytes, "hex"));
    client.resume();
    await once(client, "close");
  }
  const client = connect(socket.path);
  client.write(Buffer.from("000000010b", "hex"));
  const [answer] = (await once(client, "data")) as [Buffer];
  assert.equal(answer.toString("hex"), "000000050c00000000");
  client.destroy();
});
