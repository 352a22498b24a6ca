// Resources taken one by one and given back together, last first: mounts, active snapshots, locks.

export interface Held extends AsyncDisposable {
  /** Takes over a resource; returns it. */
  add<T extends AsyncDisposable>(resource: T): T;
  /** Passes everything on to a new holder; nothing is left here. */
  pass(): Held;
}

export function createHeld(resources: AsyncDisposable[] = []): Held {
  return {
    add(resource) {
      resources.push(resource);
      return resource;
    },
    pass: () => createHeld(resources.splice(0)),
    async [Symbol.asyncDispose]() {
      const failures: unknown[] = [];
      for (let resource = resources.pop(); resource !== undefined; resource = resources.pop()) {
        try {
          await resource[Symbol.asyncDispose]();
        } catch (error) {
          // Every resource is given back even when another cannot be.
          failures.push(error);
        }
      }
      if (failures.length > 0) throw failures[0];
    },
  };
}
