// Archives that ADD extracts: tar, plain or compressed with gzip, zstd, bzip2 or xz. Where Node has no decoder (bzip2,
// xz, and zstd before Node 22.15), the program of that name is used.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, createReadStream, openSync, readSync } from "node:fs";
import { BakeError } from "../diagnostic/error.ts";
import { decompressStream, isZstdAvailable } from "./compression.ts";
import { readTar } from "./tar.ts";

const PROGRAMS = [
  { program: "bzip2", magic: Buffer.from("BZh") },
  { program: "xz", magic: Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]) },
  { program: "zstd", magic: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]) },
] as const;

/**
 * The uncompressed bytes of a tar file, or undefined when the file is none: it is then copied as it is.
 * @throws BakeError "not-supported" when a decompressor is missing
 */
export async function openArchive(
  file: string,
  signal: AbortSignal | undefined,
): Promise<AsyncIterable<Uint8Array> | undefined> {
  const head = readHead(file);
  const program = PROGRAMS.find(({ magic }) => head.subarray(0, magic.length).equals(magic))?.program;
  const isGzip = head[0] === 0x1f && head[1] === 0x8b;
  if (program === undefined && !isGzip)
    return isTarHeader(head) ? createReadStream(file, signal && { signal }) : undefined;
  const open = (): AsyncIterable<Uint8Array> =>
    program === undefined || (program === "zstd" && isZstdAvailable())
      ? decompressStream(createReadStream(file), signal === undefined ? {} : { signal })
      : decompressWith(program, file, signal);
  return (await holdsTar(open())) ? open() : undefined;
}

function readHead(file: string): Buffer {
  const fd = openSync(file, "r");
  try {
    const head = Buffer.alloc(512);
    return head.subarray(0, readSync(fd, head, 0, head.length, 0));
  } finally {
    closeSync(fd);
  }
}

/** A plain file is a tar when its first block has the right checksum. */
function isTarHeader(block: Buffer): boolean {
  if (block.length < 512) return false;
  let sum = 8 * 0x20;
  for (let i = 0; i < 512; i++) if (i < 148 || i >= 156) sum += block[i] ?? 0;
  const stored = /^\s*([0-7]+)[\s\0]*$/.exec(block.toString("latin1", 148, 156))?.[1];
  return stored !== undefined && Number.parseInt(stored, 8) === sum;
}

async function holdsTar(stream: AsyncIterable<Uint8Array>): Promise<boolean> {
  try {
    for await (const _entry of readTar(stream)) return true;
    return false;
  } catch (thrown) {
    if (thrown instanceof BakeError && thrown.code === "content-corrupt") return false;
    throw thrown;
  }
}

async function* decompressWith(
  program: string,
  file: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  const child = spawn(program, ["-dc", "--", file], { stdio: ["ignore", "pipe", "pipe"], signal });
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text.slice(0, 1000)));
  const ended = once(child, "close").then(
    ([code]: unknown[]) => ({ code, error: undefined }),
    (error: unknown) => ({ code: undefined, error }),
  );
  let finished = false;
  try {
    for await (const chunk of child.stdout) if (chunk instanceof Uint8Array) yield chunk;
    finished = true;
  } finally {
    if (!finished) child.kill();
    const { code, error } = await ended;
    if (finished) {
      signal?.throwIfAborted();
      if (error instanceof Error && "code" in error && error.code === "ENOENT") {
        throw new BakeError(
          "not-supported",
          `cannot extract a ${program} archive: the program "${program}" is not installed`,
          { hint: `install ${program}` },
        );
      }
      if (error !== undefined || code !== 0)
        throw new BakeError(
          "content-corrupt",
          `cannot decompress the ${program} archive: ${complaint.trim() || "it is damaged"}`,
          { cause: error },
        );
    }
  }
}
