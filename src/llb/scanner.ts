// Walks over the bytes of a protobuf message (https://protobuf.dev/programming-guides/encoding) and never past them.
import { BakeError } from "../diagnostic/error.ts";

export const varintType = 0;
const fixed64Type = 1;
export const bytesType = 2;
const groupType = 3;
const groupEndType = 4;
const fixed32Type = 5;

/** Definitions may hold definitions; nobody nests them this deep on purpose. */
export const MAX_DEPTH = 64;
const MAX_FIELD_NUMBER = 536870911;

/** A position in bytes; every read checks its bounds. `what` names the message in errors. */
export class Scanner {
  readonly bytes: Uint8Array;
  readonly what: string;
  at = 0;

  constructor(bytes: Uint8Array, what: string) {
    this.bytes = bytes;
    this.what = what;
  }

  get done(): boolean {
    return this.at >= this.bytes.length;
  }

  fail(why: string): never {
    throw new BakeError("llb-invalid", `cannot read ${this.what}: ${why}`, {
      hint: "the bytes are not an LLB definition, or are damaged",
    });
  }

  /** The next number if it takes no more than four bytes, as nearly all do. Otherwise nothing is read. */
  short(): number | undefined {
    let value = 0;
    for (let i = 0; i < 4; i++) {
      const byte = this.bytes[this.at + i];
      if (byte === undefined) return undefined;
      value |= (byte & 0x7f) << (7 * i);
      if (byte < 0x80) {
        this.at += i + 1;
        return value;
      }
    }
    return undefined;
  }

  varint(): bigint {
    const short = this.short();
    if (short !== undefined) return BigInt(short);
    // In three numbers of 28 bits: "-1" has ten bytes, and is frequent.
    const parts: [number, number, number] = [0, 0, 0];
    for (let i = 0; i < 10; i++) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) return this.fail("it ends within a number");
      if (i === 9 && byte > 1) break;
      const part = i >> 2;
      parts[part] = (parts[part] ?? 0) | ((byte & 0x7f) << (7 * (i & 3)));
      if (byte < 0x80) return (BigInt(parts[2]) << 56n) | (BigInt(parts[1]) << 28n) | BigInt(parts[0]);
    }
    return this.fail("a number is longer than 64 bits");
  }

  tag(): { readonly number: number; readonly wireType: number } {
    const short = this.short();
    if (short !== undefined && short >= 8) return { number: short >> 3, wireType: short & 7 };
    const value = short === undefined ? this.varint() : BigInt(short);
    const number = value >> 3n;
    if (number < 1n || number > BigInt(MAX_FIELD_NUMBER)) return this.fail("a field number is out of range");
    return { number: Number(number), wireType: Number(value & 7n) };
  }

  take(length: number): Uint8Array {
    if (length > this.bytes.length - this.at) return this.fail("it ends within a field");
    const piece = this.bytes.subarray(this.at, this.at + length);
    this.at += length;
    return piece;
  }

  block(): Uint8Array {
    const short = this.short();
    if (short !== undefined) return this.take(short);
    const length = this.varint();
    if (length > BigInt(this.bytes.length)) return this.fail("it ends within a field");
    return this.take(Number(length));
  }

  skip(number: number, wireType: number, depth: number): void {
    if (depth > MAX_DEPTH) this.fail("it is nested too deep");
    switch (wireType) {
      case varintType:
        this.varint();
        return;
      case fixed64Type:
        this.take(8);
        return;
      case bytesType:
        this.block();
        return;
      case fixed32Type:
        this.take(4);
        return;
      case groupType:
        for (;;) {
          const inner = this.tag();
          if (inner.wireType === groupEndType) {
            if (inner.number !== number) this.fail("a group does not end as it began");
            return;
          }
          this.skip(inner.number, inner.wireType, depth + 1);
        }
      default:
        this.fail(`a field has the unknown wire type ${wireType}`);
    }
  }
}
