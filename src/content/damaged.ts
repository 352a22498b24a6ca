// Going on in spite of a damaged blob: whoever reads one removes it, so trying again fetches or makes it anew.
import { BakeError } from "../diagnostic/error.ts";

/** Runs `work`, and once more when it met content that is not what it is called. */
export async function despiteDamage<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (!(thrown instanceof BakeError && thrown.code === "content-corrupt")) throw thrown;
    return await work();
  }
}
