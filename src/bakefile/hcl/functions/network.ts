// Functions on IP networks in CIDR notation (RFC 4632).
import { fail, intOf, numberOf, param, textOf, type BakeFunction } from "./function.ts";
import * as number from "../number.ts";
import { NUMBER, STRING, listValue, stringValue, type Value } from "../value.ts";

interface Network {
  readonly address: bigint;
  readonly bits: 32 | 128;
  readonly prefix: number;
}

function parseAddress(text: string): { address: bigint; bits: 32 | 128 } | undefined {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) {
    const parts = text.split(".");
    if (parts.some(part => Number(part) > 255)) return undefined;
    return { address: parts.reduce((sum, part) => (sum << 8n) | BigInt(part), 0n), bits: 32 };
  }
  if (!/^[0-9a-fA-F:.]+$/.test(text) || !text.includes(":")) return undefined;
  let plain = text;
  const embedded = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (embedded !== null) {
    const four = parseAddress(embedded[2] ?? "");
    if (four === undefined) return undefined;
    plain = `${embedded[1] ?? ""}${(four.address >> 16n).toString(16)}:${(four.address & 0xffffn).toString(16)}`;
  }
  const halves = plain.split("::");
  if (halves.length > 2) return undefined;
  const groups = halves.map(half => (half === "" ? [] : half.split(":")));
  const [head = [], tail = []] = groups;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const all = [...head, ...Array.from({ length: Math.max(0, missing) }, () => "0"), ...tail];
  if (all.some(group => !/^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
  return { address: all.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n), bits: 128 };
}

function parseNetwork(text: string): Network {
  const slash = text.indexOf("/");
  const found = slash < 0 ? undefined : parseAddress(text.slice(0, slash));
  const prefixText = text.slice(slash + 1);
  const prefix = /^\d{1,3}$/.test(prefixText) ? Number(prefixText) : -1;
  if (found === undefined || prefix < 0 || prefix > found.bits) {
    throw fail(`"${text}" is not a network`, "networks look like 10.0.0.0/8 or fd00::/48");
  }
  return { address: found.address & mask(found.bits, prefix), bits: found.bits, prefix };
}

function mask(bits: number, prefix: number): bigint {
  return ((1n << BigInt(prefix)) - 1n) << BigInt(bits - prefix);
}

function addressText(address: bigint, bits: 32 | 128): string {
  if (bits === 32) return [24n, 16n, 8n, 0n].map(shift => String((address >> shift) & 0xffn)).join(".");
  const groups = Array.from({ length: 8 }, (_, i) =>
    ((address >> BigInt(112 - 16 * i)) & 0xffffn).toString(16),
  );
  // The longest run of two or more zero groups is written as "::" (RFC 5952).
  let best = { start: 0, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === "0") length++;
    if (length > best.length) best = { start, length };
  }
  if (best.length < 2) return groups.join(":");
  return `${groups.slice(0, best.start).join(":")}::${groups.slice(best.start + best.length).join(":")}`;
}

function networkText({ address, bits, prefix }: Network): string {
  return `${addressText(address, bits)}/${prefix}`;
}

function wholeNumber(args: readonly Value[], index: number): bigint {
  const value = numberOf(args, index);
  if (!number.isInteger(value)) throw fail("expected a whole number");
  return number.truncate(value);
}

function subnet(base: Network, newBits: number, index: bigint): Network {
  const prefix = base.prefix + newBits;
  if (newBits < 0 || prefix > base.bits)
    throw fail(`a prefix of ${base.prefix} bits cannot be extended by ${newBits}`);
  const count = 1n << BigInt(newBits);
  if (index >= count || index < -count) throw fail(`${newBits} bits cannot hold the network number ${index}`);
  const position = index < 0n ? count + index : index;
  return { address: base.address | (position << BigInt(base.bits - prefix)), bits: base.bits, prefix };
}

const prefixParam = param("prefix", STRING);

export const networkFunctions: Readonly<Record<string, BakeFunction>> = {
  cidrhost: {
    params: [prefixParam, param("hostnum", NUMBER)],
    call: args => {
      const { address, bits, prefix } = parseNetwork(textOf(args, 0));
      const host = wholeNumber(args, 1);
      const count = 1n << BigInt(bits - prefix);
      if (host >= count || host < -count) throw fail(`a prefix of ${prefix} bits has no host number ${host}`);
      return stringValue(addressText(address | (host < 0n ? count + host : host), bits));
    },
  },
  cidrnetmask: {
    params: [prefixParam],
    call: args => {
      const { bits, prefix } = parseNetwork(textOf(args, 0));
      return stringValue(addressText(mask(bits, prefix), bits));
    },
  },
  cidrsubnet: {
    params: [prefixParam, param("newbits", NUMBER), param("netnum", NUMBER)],
    call: args =>
      stringValue(networkText(subnet(parseNetwork(textOf(args, 0)), intOf(args, 1), wholeNumber(args, 2)))),
  },
  cidrsubnets: {
    params: [prefixParam],
    variadic: param("newbits", NUMBER),
    call: args => {
      const base = parseNetwork(textOf(args, 0));
      const end = base.address + (1n << BigInt(base.bits - base.prefix));
      let next = base.address;
      const out: Value[] = [];
      for (let i = 1; i < args.length; i++) {
        const newBits = intOf(args, i);
        if (newBits < 1) throw fail("each extension must be at least one bit");
        const { prefix } = subnet(base, newBits, 0n);
        const size = 1n << BigInt(base.bits - prefix);
        next = ((next + size - 1n) / size) * size;
        if (next + size > end)
          throw fail(`there is no room for a network of ${prefix} bits in "${textOf(args, 0)}"`);
        out.push(stringValue(networkText({ address: next, bits: base.bits, prefix })));
        next += size;
      }
      return listValue(STRING, out);
    },
  },
};
