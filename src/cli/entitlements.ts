// `--allow`: what the user grants to targets beyond the default. The grants are read and checked; they are not yet
// enforced, since nothing that needs one is available without asking.
import { BakeError } from "../diagnostic/error.ts";
import { didYouMean } from "../diagnostic/suggest.ts";

const PLAIN = ["network.host", "security.insecure", "ssh", "buildx.local.delete", "device"];
const WITH_VALUE = ["device", "fs", "fs.read", "fs.write", "image", "image.push", "image.load"];

/** @throws BakeError "usage" for an unknown entitlement */
export function checkEntitlements(allow: readonly string[]): void {
  for (const entry of allow) {
    const equals = entry.indexOf("=");
    const key = equals < 0 ? entry : entry.slice(0, equals);
    if ((equals < 0 ? PLAIN : WITH_VALUE).includes(key)) continue;
    if (WITH_VALUE.includes(key))
      throw new BakeError("usage", `--allow ${key} needs a value`, {
        hint: `for example --allow ${key}=${key.startsWith("fs") ? "/path" : "name"}`,
      });
    const known = [...new Set([...PLAIN, ...WITH_VALUE])];
    throw new BakeError("usage", `unknown entitlement key "${key}"`, {
      hint: didYouMean(key, known) ?? `one of ${known.join(", ")}`,
    });
  }
}
