// Image configs as they come from registries: enough is checked that the rest of the program can trust the type.
import * as z from "zod/mini";
import { BakeError } from "../diagnostic/error.ts";
import { isDigest, type Digest } from "../oci/digest.ts";
import type { ImageConfig } from "../oci/imageconfig.ts";

// Many images in the world have null where the specification wants a list or a map left out.
const text = z.nullish(z.string());
const texts = z.nullish(z.array(z.string()));
const keys = z.nullish(z.record(z.string(), z.unknown()));

const form = z.looseObject({
  architecture: z.string(),
  os: z.string(),
  created: text,
  author: text,
  config: z.nullish(
    z.looseObject({
      User: text,
      ExposedPorts: keys,
      Env: texts,
      Entrypoint: texts,
      Cmd: texts,
      Volumes: keys,
      WorkingDir: text,
      Labels: z.nullish(z.record(z.string(), z.string())),
      StopSignal: text,
      OnBuild: texts,
      Shell: texts,
    }),
  ),
  rootfs: z.looseObject({
    type: z.string(),
    diff_ids: z.nullish(z.array(z.custom<Digest>(value => typeof value === "string" && isDigest(value)))),
  }),
  history: z.nullish(
    z.array(
      z.looseObject({
        created: text,
        created_by: text,
        author: text,
        comment: text,
        empty_layer: z.nullish(z.boolean()),
      }),
    ),
  ),
});

/** Reads an image config; nulls count as absent. @throws BakeError "content-corrupt" when it has another form */
export function parseImageConfig(bytes: Uint8Array, name: string): ImageConfig {
  let value: unknown;
  try {
    value = withoutNulls(JSON.parse(new TextDecoder().decode(bytes)));
  } catch (cause) {
    throw new BakeError("content-corrupt", `cannot read the config of image "${name}": it is not JSON`, {
      cause,
    });
  }
  const parsed = form.safeParse(value);
  if (!parsed.success) {
    const where = parsed.error.issues[0]?.path.join(".") ?? "";
    throw new BakeError(
      "content-corrupt",
      `cannot read the config of image "${name}": it is malformed at "${where}"`,
      {
        cause: parsed.error,
      },
    );
  }
  const config = parsed.data as ImageConfig;
  return { ...config, rootfs: { type: "layers", diff_ids: parsed.data.rootfs.diff_ids ?? [] } };
}

function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) => (item === null ? [] : [[key, withoutNulls(item)]])),
  );
}
