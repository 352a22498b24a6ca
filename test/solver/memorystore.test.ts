import { cacheStoreContract } from "./cachestore.contract.ts";
import { createMemoryStore } from "./memorystore.ts";

interface Text {
  text: string | undefined;
}

cacheStoreContract<Text>("the store in memory", () => {
  const copy = ({ text }: Text): Text => ({ text });
  const store = createMemoryStore<Text>({ keep: copy, give: copy });
  return Promise.resolve({
    store,
    makeResult: text => Promise.resolve({ text }),
    readResult({ text }) {
      if (text === undefined) throw new Error("read after release");
      return Promise.resolve(text);
    },
    release(result) {
      result.text = undefined;
      return Promise.resolve();
    },
    reopen: () => Promise.resolve(store),
    evict: record => Promise.resolve(store.evict(record.id)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});
