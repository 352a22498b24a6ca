// Functions for encodings, digests, ids and paths.
import { createHash, constants, privateDecrypt } from "node:crypto";
import { bcryptHash } from "./bcrypt.ts";
import { argument, fail, intOf, param, textOf, type BakeFunction } from "./function.ts";
import { parseCsvRecords } from "../../csv.ts";
import { valueFromJson, valueToJson } from "../../json-value.ts";
import { cleanPath } from "../../path.ts";
import { NUMBER, STRING, listValue, objectValue, stringValue } from "../value.ts";
import { BakeError } from "../../../diagnostic/error.ts";

/** Of bcrypt, as Go's. */
const DEFAULT_COST = 10;

const str = param("str", STRING);

function digest(algorithm: string): BakeFunction {
  return {
    params: [str],
    call: args => stringValue(createHash(algorithm).update(textOf(args, 0)).digest("hex")),
  };
}

function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join(
    "-",
  );
}

function stamp(bytes: Uint8Array, version: number): Uint8Array {
  const out = Uint8Array.from(bytes.subarray(0, 16));
  out[6] = ((out[6] ?? 0) & 0x0f) | (version << 4);
  out[8] = ((out[8] ?? 0) & 0x3f) | 0x80;
  return out;
}

/** RFC 9562, appendix "Example namespaces". */
const NAMESPACES: Readonly<Record<string, string>> = { dns: "10", url: "11", oid: "12", x500: "14" };

function namespaceBytes(namespace: string): Buffer {
  const known = Object.hasOwn(NAMESPACES, namespace) ? NAMESPACES[namespace] : undefined;
  const hex = known === undefined ? namespace.replaceAll("-", "") : `6ba7b8${known}9dad11d180b400c04fd430c8`;
  if (!/^[0-9a-f]{32}$/i.test(hex)) throw fail(`"${namespace}" is not dns, url, oid, x500 or a UUID`);
  return Buffer.from(hex, "hex");
}

function lastStep(path: string): string {
  if (path === "") return ".";
  const trimmed = path.replace(/\/+$/, "");
  return trimmed === "" ? "/" : trimmed.slice(trimmed.lastIndexOf("/") + 1);
}

/** Binary values have functions, but nothing in a bake file makes one. */
function noBytes(): never {
  throw fail("bake files have no binary values", "strlen() and substr() are for texts");
}

export const encodingFunctions: Readonly<Record<string, BakeFunction>> = {
  bcrypt: {
    params: [str],
    variadic: param("cost", NUMBER),
    call: (args, host, spend) => {
      if (args.length > 2) throw fail("takes a text and a cost, nothing else");
      const cost = args.length > 1 ? intOf(args, 1) : DEFAULT_COST;
      return stringValue(bcryptHash(textOf(args, 0), cost, host.randomBytes(), spend));
    },
  },
  byteslen: { params: [param("bytes")], call: noBytes },
  bytesslice: { params: [param("bytes"), param("offset", NUMBER), param("length", NUMBER)], call: noBytes },
  base64encode: { params: [str], call: args => stringValue(Buffer.from(textOf(args, 0)).toString("base64")) },
  base64decode: {
    params: [str],
    call: args => {
      const text = textOf(args, 0);
      const plain = text.replace(/[\r\n]/g, "");
      if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(plain))
        throw fail("the text is not base64");
      try {
        return stringValue(
          new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(plain, "base64")),
        );
      } catch {
        throw fail("the decoded bytes are not UTF-8");
      }
    },
  },
  md5: digest("md5"),
  sha1: digest("sha1"),
  sha256: digest("sha256"),
  sha512: digest("sha512"),
  jsonencode: {
    params: [param("val", undefined, true)],
    call: args => stringValue(valueToJson(argument(args, 0))),
  },
  jsondecode: {
    params: [str],
    call: args => {
      try {
        return valueFromJson(textOf(args, 0));
      } catch (thrown) {
        // The position is one in the text, not in the bake file.
        if (thrown instanceof BakeError) throw fail(thrown.message);
        throw thrown;
      }
    },
  },
  csvdecode: {
    params: [str],
    call: args => {
      const [header = [], ...rows] = parseCsvRecords(textOf(args, 0));
      if (header.length === 0) throw fail("the text has no header line");
      const twice = header.find((name, i) => header.indexOf(name) !== i);
      if (twice !== undefined) throw fail(`the column "${twice}" is named twice`);
      const type = {
        kind: "object",
        attributes: new Map([...header].sort().map(name => [name, STRING] as const)),
      } as const;
      return listValue(
        type,
        rows.map((row, line) => {
          if (row.length !== header.length)
            throw fail(`row ${line + 1} has ${row.length} values for ${header.length} columns`);
          return objectValue(header.map((name, i) => [name, stringValue(row[i] ?? "")] as const));
        }),
      );
    },
  },
  uuidv4: { params: [], call: (_, host) => stringValue(uuidText(stamp(host.randomBytes(), 4))) },
  uuidv5: {
    params: [param("namespace", STRING), param("name", STRING)],
    call: args => {
      const hash = createHash("sha1")
        .update(namespaceBytes(textOf(args, 0)))
        .update(textOf(args, 1))
        .digest();
      return stringValue(uuidText(stamp(hash, 5)));
    },
  },
  rsadecrypt: {
    params: [param("ciphertext", STRING), param("privatekey", STRING)],
    call: args => {
      try {
        const data = Buffer.from(textOf(args, 0), "base64");
        return stringValue(
          privateDecrypt({ key: textOf(args, 1), padding: constants.RSA_PKCS1_PADDING }, data).toString(),
        );
      } catch {
        throw fail("the text cannot be decrypted with this key");
      }
    },
  },
  basename: { params: [param("path", STRING)], call: args => stringValue(lastStep(textOf(args, 0))) },
  dirname: {
    params: [param("path", STRING)],
    call: args => {
      const path = textOf(args, 0);
      return stringValue(cleanPath(path.slice(0, path.lastIndexOf("/") + 1)));
    },
  },
  homedir: {
    params: [],
    call: (_, host) => {
      if (host.homeDirectory === undefined || host.homeDirectory === "")
        throw fail("the home directory is not known");
      return stringValue(host.homeDirectory);
    },
  },
};
