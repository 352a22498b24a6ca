// What the solver does to be fast, each by itself to be switched off: results are the same without any of it, which
// tests check by running with each one off.

export const OPTIMIZATIONS = [
  /** Vertices with equal keys are worked on once. */
  "merge",
  /** Inputs are read when the definition key has missed. Off: a step keyed by content runs. */
  "content",
  /** A definition key that missed becomes another name of the record that content has found. */
  "link",
  /** What will most likely be needed is asked for ahead of time. */
  "ahead",
  /** The longest path to a root goes first. Off: first come, first served. */
  "priority",
] as const;

export type Optimization = (typeof OPTIMIZATIONS)[number];
