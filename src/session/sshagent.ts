// What a step may ask of an ssh agent (draft-ietf-sshm-ssh-agent): which keys there are, and signatures. Everything else
// is refused before it gets to the agent: a step can neither add nor remove keys, nor lock the user's agent.
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { BakeError } from "../diagnostic/error.ts";
import { readText, type SshKey, text } from "./sshkey.ts";

/** Answers one message with one message, both without their length. */
export interface SshAgent {
  answer(request: Buffer): Promise<Buffer>;
  close(): void;
}

/** Opens an agent for one conversation. @throws BakeError "file-missing" when it cannot be reached */
export type OpenSshAgent = () => Promise<SshAgent>;

const FAILURE = 5;
const REQUEST_IDENTITIES = 11;
const IDENTITIES_ANSWER = 12;
const SIGN_REQUEST = 13;
const SIGN_RESPONSE = 14;

/** As OpenSSH has it; more than any key or signature needs. */
const MAX_MESSAGE_BYTES = 256 * 1024;

const failure = Buffer.from([FAILURE]);

/** The agent that listens on a socket. */
export function forwardAgent(path: string): OpenSshAgent {
  return async () => {
    const socket = connect(path);
    try {
      await once(socket, "connect");
    } catch (cause) {
      throw new BakeError("file-missing", `the ssh agent at "${path}" does not answer`, {
        hint: "start one (ssh-agent) and set SSH_AUTH_SOCK, or name key files",
        cause,
      });
    }
    const messages = readMessages(socket);
    return {
      async answer(request) {
        socket.write(text(request));
        const { done, value } = await messages.next();
        return done === true ? failure : value;
      },
      close: () => socket.destroy(),
    };
  };
}

/** An agent that holds keys itself. */
export function keyAgent(keys: readonly SshKey[]): OpenSshAgent {
  return () =>
    Promise.resolve({
      answer: request => Promise.resolve(answerWith(keys, request)),
      close: () => undefined,
    });
}

function answerWith(keys: readonly SshKey[], request: Buffer): Buffer {
  switch (request[0]) {
    case REQUEST_IDENTITIES: {
      const count = Buffer.alloc(5);
      count[0] = IDENTITIES_ANSWER;
      count.writeUInt32BE(keys.length, 1);
      return Buffer.concat([count, ...keys.flatMap(key => [text(key.publicKey), text(key.comment)])]);
    }
    case SIGN_REQUEST: {
      const wanted = readText(request, 1);
      const data = readText(request, wanted.next);
      const flags = request.readUInt32BE(data.next);
      const key = keys.find(({ publicKey }) => publicKey.equals(wanted.value));
      return key === undefined
        ? failure
        : Buffer.concat([Buffer.from([SIGN_RESPONSE]), text(key.sign(data.value, flags))]);
    }
    default:
      return failure;
  }
}

/** Serves one connection of a step until either side ends it; never fails. */
export async function serveAgent(client: Socket, open: OpenSshAgent): Promise<void> {
  let agent: SshAgent | undefined;
  client.on("error", () => client.destroy());
  try {
    agent = await open();
    for await (const request of readMessages(client)) {
      const allowed = request[0] === REQUEST_IDENTITIES || request[0] === SIGN_REQUEST;
      client.write(text(allowed ? await agent.answer(request) : failure));
    }
  } catch {
    // Malformed or cut off: the connection ends, as with any agent.
  } finally {
    client.destroy();
    agent?.close();
  }
}

async function* readMessages(socket: Socket): AsyncGenerator<Buffer, void, undefined> {
  let pending = Buffer.alloc(0);
  for await (const piece of socket) {
    pending = Buffer.concat([pending, piece as Buffer]);
    while (pending.length >= 4) {
      const size = pending.readUInt32BE();
      if (size > MAX_MESSAGE_BYTES) throw new Error("a message is too long");
      if (pending.length < 4 + size) break;
      yield pending.subarray(4, 4 + size);
      pending = pending.subarray(4 + size);
    }
  }
}
