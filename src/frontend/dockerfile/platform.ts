// Platforms as FROM --platform and the build arguments spell them.
import { formatPlatform, parsePlatform, type Platform } from "../../oci/platform.ts";

/**
 * A platform as it was written, before normalising: `linux/arm64/v8` keeps its variant and `linux/arm` gains none.
 * Sources carry this form, commands the normalised one. @throws BakeError "platform-invalid"
 */
export function readPlatform(text: string, host: Platform): Platform {
  const platform = parsePlatform(text, host);
  const parts = text.split("/").length;
  if (parts === 3 && platform.architecture === "arm64" && platform.variant === undefined)
    return { ...platform, variant: "v8" };
  if (parts === 2 && platform.architecture === "arm" && platform.variant === "v7") {
    const { variant: _, ...rest } = platform;
    return rest;
  }
  return platform;
}

/** `os(version)/arch/variant`. */
export function formatFullPlatform(platform: Platform): string {
  const text = formatPlatform(platform);
  return platform.osVersion === undefined
    ? text
    : text.replace(platform.os, `${platform.os}(${platform.osVersion})`);
}
