// What turning a Dockerfile into LLB costs, in a running program: `node bench/lower.mjs [rounds]`. The floor hashes the
// ops that come out, which whoever makes content-addressed steps has to do. No disk, no network, no other process.
import { createHash } from "node:crypto";
import { register } from "tsx/esm/api";
import { compare, printRow } from "./measure.mjs";

const rounds = Number(process.argv[2] ?? 201);
const INSTRUCTIONS = 100;
/** Enough of each to lift a round over the resolution of the clock. */
const TIMES = 10;

register();
const { loadFrontend } = await import("../src/frontend/frontends.ts");
const frontend = await loadFrontend("dockerfile.v0");

/** FROM, then by turns a file of the context, a command that uses a variable, and a variable. */
const dockerfile = [
  "FROM alpine",
  "ENV VERSION=1",
  ...Array.from({ length: INSTRUCTIONS - 2 }, (_, index) => {
    const kinds = [
      `COPY src/part${index} /src/part${index}`,
      `RUN --mount=type=cache,target=/cache make part${index} VERSION=$VERSION`,
      `ENV VERSION${index}="$VERSION.${index}"`,
    ];
    return kinds[index % kinds.length];
  }),
].join("\n");

const bytes = Buffer.from(dockerfile);
const config = {
  architecture: "amd64",
  os: "linux",
  config: { Env: ["PATH=/bin"] },
  rootfs: { type: "layers", diff_ids: [`sha256:${"1".repeat(64)}`] },
};
const host = {
  resolveImageConfig: async () => ({ digest: `sha256:${"0".repeat(64)}`, config }),
  readLocal: async (_local, path) => (path === "Dockerfile" ? bytes : undefined),
  readSolved: async () => undefined,
  resolveSource: async () => ({}),
};
const request = {
  options: {},
  inputs: {},
  sessionId: "bench",
  buildPlatform: { os: "linux", architecture: "amd64" },
};
const lower = () => frontend.lower(request, host, globalThis.AbortSignal.timeout(60_000));

const { images } = await lower();
const ops = images[0].definition.def;
const hash = () => ops.forEach(op => createHash("sha256").update(op).digest("hex"));

const result = await compare(
  async () => {
    for (let i = 0; i < TIMES; i++) await lower();
  },
  async () => {
    for (let i = 0; i < TIMES; i++) hash();
  },
  { rounds, warmups: 20 },
);
const each = { ...result, subjectMs: result.subjectMs / TIMES, floorMs: result.floorMs / TIMES };
printRow(`lower ${INSTRUCTIONS} instructions`, each, `sha256 of ${ops.length} ops`);
console.log(`${((each.subjectMs * 1000) / INSTRUCTIONS).toFixed(1)} µs per instruction`);
