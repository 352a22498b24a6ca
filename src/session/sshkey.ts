// Private keys for ssh, as an agent needs them: the public part in ssh's own form, and signatures (RFC 4253 6.6, RFC
// 5656, RFC 8332, RFC 8709). Files are in the form of OpenSSH (PROTOCOL.key) or PEM.
import { createPrivateKey, createPublicKey, type JsonWebKey, type KeyObject, sign } from "node:crypto";
import { BakeError } from "../diagnostic/error.ts";

export interface SshKey {
  readonly comment: string;
  /** The public key as ssh sends it. */
  readonly publicKey: Buffer;
  /** A signature in ssh's form. `flags` are those of an agent: 2 and 4 ask for RSA with SHA-256 and SHA-512. */
  sign(data: Buffer, flags: number): Buffer;
}

const OPENSSH = /-----BEGIN OPENSSH PRIVATE KEY-----([^-]+)-----END OPENSSH PRIVATE KEY-----/;
const MAGIC = Buffer.from("openssh-key-v1\0");

/** @throws BakeError "bake-schema" naming the file, for keys that are encrypted or of a kind that is not supported */
export function parseSshKey(file: string, name: string): SshKey {
  const invalid = (problem: string, hint?: string): BakeError =>
    new BakeError("bake-schema", `cannot use the ssh key "${name}": ${problem}`, { hint });
  let key: KeyObject;
  try {
    const [, armored] = OPENSSH.exec(file) ?? [];
    key = armored === undefined ? createPrivateKey(file) : parseOpenSsh(Buffer.from(armored, "base64"));
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    if (thrown instanceof Encrypted || /passphrase|interrupted or cancelled/i.test(message))
      throw invalid(
        "it has a passphrase",
        `load it into an agent (ssh-add "${name}") and lend that: an ssh id without a path`,
      );
    throw invalid(thrown instanceof Unsupported ? message : "it is not a private key", undefined);
  }
  const form = forms[key.asymmetricKeyType ?? ""];
  if (form === undefined)
    throw invalid(`keys of type ${key.asymmetricKeyType ?? "unknown"} are not supported`);
  return form(key, name.slice(name.lastIndexOf("/") + 1));
}

class Encrypted extends Error {}
class Unsupported extends Error {}

type Form = (key: KeyObject, comment: string) => SshKey;

const RSA_SHA2_256 = 2;
const RSA_SHA2_512 = 4;

const curves: Readonly<Record<string, { readonly name: string; readonly hash: string } | undefined>> = {
  "P-256": { name: "nistp256", hash: "sha256" },
  "P-384": { name: "nistp384", hash: "sha384" },
  "P-521": { name: "nistp521", hash: "sha512" },
};

const forms: Readonly<Record<string, Form | undefined>> = {
  ed25519(key, comment) {
    const { x } = publicParts(key);
    return {
      comment,
      publicKey: Buffer.concat([text("ssh-ed25519"), text(x)]),
      sign: data => Buffer.concat([text("ssh-ed25519"), text(sign(null, data, key))]),
    };
  },
  rsa(key, comment) {
    const { e, n } = publicParts(key);
    return {
      comment,
      publicKey: Buffer.concat([text("ssh-rsa"), number(e), number(n)]),
      sign(data, flags) {
        const [name, hash] =
          (flags & RSA_SHA2_512) !== 0
            ? ["rsa-sha2-512", "sha512"]
            : (flags & RSA_SHA2_256) !== 0
              ? ["rsa-sha2-256", "sha256"]
              : ["ssh-rsa", "sha1"];
        return Buffer.concat([text(name), text(sign(hash, data, key))]);
      },
    };
  },
  ec(key, comment) {
    const { crv = "", x, y } = publicParts(key);
    const curve = curves[crv];
    if (curve === undefined) throw new BakeError("bake-schema", `ssh has no keys on the curve ${crv}`);
    const type = `ecdsa-sha2-${curve.name}`;
    return {
      comment,
      publicKey: Buffer.concat([text(type), text(curve.name), text(Buffer.concat([Buffer.from([4]), x, y]))]),
      sign(data) {
        const both = sign(curve.hash, data, { key, dsaEncoding: "ieee-p1363" });
        const half = both.length / 2;
        return Buffer.concat([
          text(type),
          text(Buffer.concat([number(both.subarray(0, half)), number(both.subarray(half))])),
        ]);
      },
    };
  },
};

function publicParts(key: KeyObject): {
  readonly [name in "x" | "y" | "e" | "n"]: Buffer;
} & { readonly crv: string | undefined } {
  const parts: JsonWebKey = createPublicKey(key).export({ format: "jwk" });
  const bytes = (value: string | undefined): Buffer => Buffer.from(value ?? "", "base64url");
  return {
    x: bytes(parts.x),
    y: bytes(parts.y),
    e: bytes(parts.e),
    n: bytes(parts.n),
    crv: parts.crv,
  };
}

/** The one key of a file in OpenSSH's own form (PROTOCOL.key). */
function parseOpenSsh(bytes: Buffer): KeyObject {
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw new Error("no magic");
  const cipher = readText(bytes, MAGIC.length);
  const kdf = readText(bytes, cipher.next);
  const kdfOptions = readText(bytes, kdf.next);
  if (cipher.value.toString() !== "none") throw new Encrypted();
  const publicKey = readText(bytes, kdfOptions.next + 4);
  const secret = readText(bytes, publicKey.next).value;
  // Two equal numbers come first, which tell a right passphrase from a wrong one.
  const type = readText(secret, 8);
  const fields = fieldsFrom(secret, type.next);
  const name = type.value.toString();
  if (name === "ssh-ed25519") {
    const [, both] = fields(2);
    return ed25519Key(both.subarray(0, 32));
  }
  if (name === "ssh-rsa") {
    const [n, e, d, qi, p, q] = fields(6);
    return jwkKey({ kty: "RSA", ...inBase64({ n, e, d, p, q, qi, ...exponents(d, p, q) }) });
  }
  if (name.startsWith("ecdsa-sha2-")) {
    const [curve, point, d] = fields(3);
    const [crv] = Object.entries(curves).find(([, known]) => known?.name === curve.toString()) ?? [];
    if (crv === undefined) throw new Unsupported(`keys of type ${name} are not supported`);
    const size = (point.length - 1) / 2;
    const [x, y] = [point.subarray(1, 1 + size), point.subarray(1 + size)];
    return jwkKey({ kty: "EC", crv, ...inBase64({ x, y, d: padded(d, size) }) });
  }
  throw new Unsupported(`keys of type ${name} are not supported`);
}

/** The DER of a key of this kind (RFC 8410) is the same but for the seed at its end. */
const ED25519_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");

function ed25519Key(seed: Buffer): KeyObject {
  return createPrivateKey({ key: Buffer.concat([ED25519_PREFIX, seed]), format: "der", type: "pkcs8" });
}

function jwkKey(key: JsonWebKey): KeyObject {
  return createPrivateKey({ key, format: "jwk" });
}

/** What the file leaves out: d modulo p - 1 and q - 1. */
function exponents(d: Buffer, p: Buffer, q: Buffer): { readonly dp: Buffer; readonly dq: Buffer } {
  const value = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString("hex")}`);
  const bytes = (n: bigint): Buffer => {
    const hex = n.toString(16);
    return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  };
  return { dp: bytes(value(d) % (value(p) - 1n)), dq: bytes(value(d) % (value(q) - 1n)) };
}

/** Numbers of a JWK have no sign and so no zero in front. */
function inBase64<K extends string>(parts: Readonly<Record<K, Buffer>>): Record<K, string> {
  const texts = {} as Record<K, string>;
  for (const name in parts) {
    const bytes = parts[name];
    const isCoordinate = ["x", "y"].includes(name);
    texts[name] = (isCoordinate ? bytes : withoutZeros(bytes)).toString("base64url");
  }
  return texts;
}

function padded(bytes: Buffer, size: number): Buffer {
  const short = withoutZeros(bytes);
  return Buffer.concat([Buffer.alloc(Math.max(0, size - short.length)), short]);
}

function withoutZeros(bytes: Buffer): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  return bytes.subarray(start);
}

function fieldsFrom(
  bytes: Buffer,
  from: number,
): (count: 2 | 3 | 6) => readonly [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer] {
  return count => {
    const found: Buffer[] = [];
    let at = from;
    for (let index = 0; index < count; index++) {
      const { value, next } = readText(bytes, at);
      found.push(value);
      at = next;
    }
    const [a = none, b = none, c = none, d = none, e = none, f = none] = found;
    return [a, b, c, d, e, f];
  };
}

const none = Buffer.alloc(0);

/** Bytes with their length in front, as ssh writes them. */
export function text(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  const size = Buffer.alloc(4);
  size.writeUInt32BE(bytes.length);
  return Buffer.concat([size, bytes]);
}

/** A number that is not negative, as ssh writes it: shortest, with a zero in front of a highest bit. */
function number(value: Buffer): Buffer {
  const short = withoutZeros(value);
  return text((short[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), short]) : short);
}

/** Bytes behind their length. @throws RangeError when they are cut off */
export function readText(bytes: Buffer, at: number): { readonly value: Buffer; readonly next: number } {
  const size = bytes.readUInt32BE(at);
  const next = at + 4 + size;
  if (next > bytes.length) throw new RangeError("cut off");
  return { value: bytes.subarray(at + 4, next), next };
}
