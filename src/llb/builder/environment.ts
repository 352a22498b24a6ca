// The variables of a state. Each change makes a new state, so a map that is copied whole each time would make long
// lists of variables quadratic; beyond a size, changes are kept as a layer over a map that many states share.

/** Names a layer has at most: what is copied for each change. */
const MAX_LAYER = 256;

/** The variables with others set; a name that is set again moves to the end. */
export function withEnv(
  env: ReadonlyMap<string, string>,
  added: Readonly<Record<string, string>>,
): ReadonlyMap<string, string> {
  const isLayered = env instanceof LayeredMap || env.size > MAX_LAYER;
  const [base, layer] =
    env instanceof LayeredMap ? [env.base, env.layer] : isLayered ? [env, []] : [undefined, env];
  const next = new Map(layer);
  for (const [name, value] of Object.entries(added)) {
    next.delete(name);
    next.set(name, value);
  }
  if (base === undefined) return next;
  const layered = new LayeredMap(base, next);
  return next.size > MAX_LAYER ? new Map(layered) : layered;
}

class LayeredMap implements ReadonlyMap<string, string> {
  readonly base: ReadonlyMap<string, string>;
  readonly layer: ReadonlyMap<string, string>;
  #flat: ReadonlyMap<string, string> | undefined;

  constructor(base: ReadonlyMap<string, string>, layer: ReadonlyMap<string, string>) {
    this.base = base;
    this.layer = layer;
  }

  get(name: string): string | undefined {
    return this.layer.get(name) ?? this.base.get(name);
  }

  has(name: string): boolean {
    return this.layer.has(name) || this.base.has(name);
  }

  get size(): number {
    return this.#all().size;
  }

  entries(): MapIterator<[string, string]> {
    return this.#all().entries();
  }

  keys(): MapIterator<string> {
    return this.#all().keys();
  }

  values(): MapIterator<string> {
    return this.#all().values();
  }

  forEach(visit: (value: string, name: string, map: ReadonlyMap<string, string>) => void): void {
    this.#all().forEach((value, name) => {
      visit(value, name, this);
    });
  }

  [Symbol.iterator](): MapIterator<[string, string]> {
    return this.entries();
  }

  /** Made when it is first asked for: most states are never listed. */
  #all(): ReadonlyMap<string, string> {
    this.#flat ??= new Map([...[...this.base].filter(([name]) => !this.layer.has(name)), ...this.layer]);
    return this.#flat;
  }
}
