// bcrypt (Provos and Mazières 1999): Blowfish with a costly key schedule, as `$2a$` hashes.
// Its tables are the digits of pi, which are computed when they are first needed.
import { fail, type Spend } from "./function.ts";

const ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const ROUNDS = 16;
const SUBKEYS = ROUNDS + 2;
const BOXES = 4 * 256;
/** More are refused instead of being cut off. */
const MAX_PASSWORD = 72;
/** What one key schedule costs in steps of evaluation. */
const SCHEDULE_STEPS = 80;

interface Cipher {
  /** The subkeys, then the boxes. */
  readonly state: Int32Array;
}

let initial: Int32Array | undefined;

/**
 * The hash of a password.
 * @param cost logarithm of the number of rounds, from 4 to 31
 * @param salt 16 bytes
 * @param spend is told the work in steps before it is done
 * @throws BakeError for other costs and for passwords of more than 72 bytes
 */
export function bcryptHash(password: string, cost: number, salt: Uint8Array, spend: Spend): string {
  if (cost < 4 || cost > 31) throw fail(`the cost must be from 4 to 31, found ${cost}`);
  const bytes = new TextEncoder().encode(password);
  if (bytes.length > MAX_PASSWORD) throw fail(`the text is longer than ${MAX_PASSWORD} bytes`);
  // The terminating zero is part of the key.
  const key = new Uint8Array([...bytes, 0]);
  spend(2 ** (cost + 1) * SCHEDULE_STEPS);
  initial ??= digitsOfPi(SUBKEYS + BOXES);
  const cipher: Cipher = { state: Int32Array.from(initial) };
  schedule(cipher, key, salt);
  const none = new Uint8Array(16);
  for (let i = 2 ** cost; i > 0; i--) {
    schedule(cipher, key, none);
    schedule(cipher, salt, none);
  }
  const block = wordsOf(new TextEncoder().encode("OrpheanBeholderScryDoubt"), 6);
  const pair = new Int32Array(2);
  for (let i = 0; i < 6; i += 2) {
    pair[0] = block[i] ?? 0;
    pair[1] = block[i + 1] ?? 0;
    for (let j = 0; j < 64; j++) encrypt(cipher, pair);
    block[i] = pair[0];
    block[i + 1] = pair[1];
  }
  const digest = new Uint8Array(24);
  const view = new DataView(digest.buffer);
  for (const [i, word] of block.entries()) view.setInt32(i * 4, word);
  return `$2a$${String(cost).padStart(2, "0")}$${encode(salt)}${encode(digest.subarray(0, 23))}`;
}

/** Mixes a key and a salt into the state. */
function schedule(cipher: Cipher, key: Uint8Array, salt: Uint8Array): void {
  const { state } = cipher;
  const words = wordsOf(key, SUBKEYS);
  for (let i = 0; i < SUBKEYS; i++) state[i] = (state[i] ?? 0) ^ (words[i] ?? 0);
  const salted = wordsOf(salt, 4);
  const pair = new Int32Array(2);
  for (let i = 0; i < state.length; i += 2) {
    pair[0] = (pair[0] ?? 0) ^ (salted[i & 3] ?? 0);
    pair[1] = (pair[1] ?? 0) ^ (salted[(i + 1) & 3] ?? 0);
    encrypt(cipher, pair);
    state[i] = pair[0];
    state[i + 1] = pair[1];
  }
}

/** One block of Blowfish, in place. */
function encrypt({ state }: Cipher, pair: Int32Array): void {
  let left = (pair[0] ?? 0) ^ (state[0] ?? 0);
  let right = pair[1] ?? 0;
  for (let i = 1; i <= ROUNDS; i += 2) {
    right ^= mix(state, left) ^ (state[i] ?? 0);
    left ^= mix(state, right) ^ (state[i + 1] ?? 0);
  }
  pair[0] = right ^ (state[ROUNDS + 1] ?? 0);
  pair[1] = left;
}

function mix(state: Int32Array, word: number): number {
  const a = state[SUBKEYS + (word >>> 24)] ?? 0;
  const b = state[SUBKEYS + 256 + ((word >>> 16) & 255)] ?? 0;
  const c = state[SUBKEYS + 512 + ((word >>> 8) & 255)] ?? 0;
  const d = state[SUBKEYS + 768 + (word & 255)] ?? 0;
  return (((a + b) ^ c) + d) | 0;
}

/** `count` big-endian words of the bytes, repeated as often as needed. */
function wordsOf(bytes: Uint8Array, count: number): Int32Array {
  const out = new Int32Array(count);
  for (let i = 0; i < count * 4; i++)
    out[i >> 2] = ((out[i >> 2] ?? 0) << 8) | (bytes[i % bytes.length] ?? 0);
  return out;
}

/** The first words of the fraction of pi, by Machin's formula. */
function digitsOfPi(words: number): Int32Array {
  const guard = 64n;
  const bits = BigInt(words * 32) + guard;
  const inverseTangent = (divisor: bigint): bigint => {
    let power = (1n << bits) / divisor;
    let sum = power;
    for (let n = 3n, sign = -1n; power > 0n; n += 2n, sign = -sign) {
      power /= divisor * divisor;
      sum += (sign * power) / n;
    }
    return sum;
  };
  const pi = 4n * (4n * inverseTangent(5n) - inverseTangent(239n));
  const fraction = (pi - (3n << bits)) >> guard;
  const hex = fraction.toString(16).padStart(words * 8, "0");
  return Int32Array.from({ length: words }, (_, i) => parseInt(hex.slice(i * 8, i * 8 + 8), 16) | 0);
}

/** base64 with the letters of bcrypt and without padding. */
function encode(bytes: Uint8Array): string {
  let out = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const [a = 0, b = 0, c = 0] = bytes.subarray(i, i + 3);
    const word = (a << 16) | (b << 8) | c;
    for (let k = 0; k <= Math.min(3, bytes.length - i); k++)
      out += ALPHABET[(word >> (18 - 6 * k)) & 63] ?? "";
  }
  return out;
}
