// Collects the bytes of a protobuf message (https://protobuf.dev/programming-guides/encoding).
import { bytesType } from "./scanner.ts";

const FIRST_ROOM = 256;
/** So many characters at most are looked at one by one. */
const SHORT = 64;
/** No character takes more bytes. */
const MAX_BYTES = 3;

const encoder = new TextEncoder();

export class Sink {
  #bytes = new Uint8Array(FIRST_ROOM);
  #size = 0;

  raw(chunk: Uint8Array): void {
    this.#reserve(chunk.length);
    this.#bytes.set(chunk, this.#size);
    this.#size += chunk.length;
  }

  varint(value: number | bigint): void {
    this.#reserve(10);
    if (typeof value === "number" && value >= 0 && value <= 0x7fffffff) {
      let rest = value;
      for (; rest > 0x7f; rest >>>= 7) this.#bytes[this.#size++] = (rest & 0x7f) | 0x80;
      this.#bytes[this.#size++] = rest;
    } else {
      let rest = BigInt.asUintN(64, BigInt(value));
      for (; rest > 0x7fn; rest >>= 7n) this.#bytes[this.#size++] = Number(rest & 0x7fn) | 0x80;
      this.#bytes[this.#size++] = Number(rest);
    }
  }

  tag(number: number, wireType: number): void {
    this.varint(number * 8 + wireType);
  }

  block(number: number, content: Uint8Array): void {
    this.tag(number, bytesType);
    this.varint(content.length);
    this.raw(content);
  }

  /** A field with the UTF-8 of a text. */
  text(number: number, value: string): void {
    this.nested(number, () => this.#utf8(value));
  }

  /** A field with everything that `write` puts into this sink. */
  nested(number: number, write: () => void): void {
    this.tag(number, bytesType);
    this.#reserve(1);
    const start = ++this.#size;
    write();
    const length = this.#size - start;
    if (length <= 0x7f) {
      this.#bytes[start - 1] = length;
      return;
    }
    // The length takes more than the one byte that was kept for it.
    const width = Math.ceil((32 - Math.clz32(length)) / 7);
    this.#reserve(width);
    this.#bytes.copyWithin(start - 1 + width, start, this.#size);
    this.#size = start - 1;
    this.varint(length);
    this.#size += length;
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#size);
  }

  #utf8(value: string): void {
    this.#reserve(value.length * MAX_BYTES);
    const start = this.#size;
    if (value.length <= SHORT) {
      let at = 0;
      for (; at < value.length; at++) {
        const code = value.charCodeAt(at);
        if (code > 0x7f) break;
        this.#bytes[start + at] = code;
      }
      if (at === value.length) {
        this.#size += at;
        return;
      }
    }
    this.#size += encoder.encodeInto(value, this.#bytes.subarray(start)).written;
  }

  #reserve(length: number): void {
    const wanted = this.#size + length;
    if (wanted <= this.#bytes.length) return;
    const bytes = new Uint8Array(Math.max(wanted, this.#bytes.length * 2));
    bytes.set(this.#bytes.subarray(0, this.#size));
    this.#bytes = bytes;
  }
}
