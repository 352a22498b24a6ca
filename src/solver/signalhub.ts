// Abort signals shared by many listeners: one listener per signal, since Node warns users about more than ten.

export interface SignalHub {
  /** Calls `onAbort` once when one of the signals aborts; returns how to stop listening. */
  listen(signals: readonly AbortSignal[], onAbort: (signal: AbortSignal) => void): () => void;
}

export function createSignalHub(): SignalHub {
  const hub = new Map<
    AbortSignal,
    { readonly members: Set<(signal: AbortSignal) => void>; readonly stop: () => void }
  >();

  function join(signal: AbortSignal, onAbort: (signal: AbortSignal) => void): () => void {
    let entry = hub.get(signal);
    if (entry === undefined) {
      const members = new Set<(signal: AbortSignal) => void>();
      const tell = (): void => {
        for (const member of [...members]) member(signal);
      };
      signal.addEventListener("abort", tell, { once: true });
      entry = { members, stop: () => signal.removeEventListener("abort", tell) };
      hub.set(signal, entry);
    }
    const { members, stop } = entry;
    members.add(onAbort);
    return () => {
      members.delete(onAbort);
      if (members.size > 0) return;
      stop();
      hub.delete(signal);
    };
  }

  return {
    listen(signals, onAbort) {
      const leave = [...new Set(signals)].map(signal => join(signal, onAbort));
      return () => {
        for (const one of leave) one();
      };
    },
  };
}
