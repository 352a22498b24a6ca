// Collects the bytes of a protobuf message (https://protobuf.dev/programming-guides/encoding).
import { bytesType } from "./scanner.ts";

export class Sink {
  readonly #chunks: Uint8Array[] = [];
  #size = 0;

  raw(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
  }

  varint(value: number | bigint): void {
    const out: number[] = [];
    if (typeof value === "number" && value >= 0 && value <= 0x7fffffff) {
      let rest = value;
      for (; rest > 0x7f; rest >>>= 7) out.push((rest & 0x7f) | 0x80);
      out.push(rest);
    } else {
      let rest = BigInt.asUintN(64, BigInt(value));
      for (; rest > 0x7fn; rest >>= 7n) out.push(Number(rest & 0x7fn) | 0x80);
      out.push(Number(rest));
    }
    this.raw(Uint8Array.from(out));
  }

  tag(number: number, wireType: number): void {
    this.varint(number * 8 + wireType);
  }

  block(number: number, content: Uint8Array): void {
    this.tag(number, bytesType);
    this.varint(content.length);
    this.raw(content);
  }

  finish(): Uint8Array {
    const out = new Uint8Array(this.#size);
    let at = 0;
    for (const chunk of this.#chunks) {
      out.set(chunk, at);
      at += chunk.length;
    }
    return out;
  }
}
