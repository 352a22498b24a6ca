// Content digests (OCI image spec, descriptor.md "Digests"): `sha256:` and 64 hex digits.
import { createHash, hash } from "node:crypto";
import { BakeError } from "../diagnostic/error.ts";

declare const digestBrand: unique symbol;

/** `algorithm:hex`, checked. */
export type Digest = string & { readonly [digestBrand]: true };

const FORM = /^sha(?:256|384|512):[0-9a-f]+$/;

/** Whether a text has the form of a digest, of an algorithm that is known here. */
export function isDigest(text: string): text is Digest {
  // With the numbers of digits in it the expression would take most of a millisecond to compile.
  return FORM.test(text) && text.length === 7 + Number(text.slice(3, 6)) / 4;
}

/** Checks the form of a digest. @throws BakeError "content-corrupt" when it is malformed */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) throw new BakeError("content-corrupt", `invalid digest ${JSON.stringify(text)}`);
  return text;
}

/** The sha256 digest of bytes, or of a string's UTF-8. */
export function digestOf(bytes: Uint8Array | string): Digest {
  return `sha256:${hash("sha256", bytes)}` as Digest;
}

export interface Digester {
  update(bytes: Uint8Array | string): Digester;
  digest(): Digest;
}

/** Digests a stream piece by piece. `digest()` may be called once. */
export function createDigester(): Digester {
  const whole = createHash("sha256");
  const digester: Digester = {
    update(bytes) {
      whole.update(bytes);
      return digester;
    },
    digest: () => `sha256:${whole.digest("hex")}` as Digest,
  };
  return digester;
}

/** The hex part of a digest. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(":") + 1);
}
