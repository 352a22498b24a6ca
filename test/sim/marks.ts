// Rare branches; a series of simulations that never reached one proves nothing about it.

export const MARKS = [
  "content key hit",
  "merged by definition",
  "merged by content",
  "result lost",
  "cache unreadable",
  "corrupt record",
  "forced",
  "read anew",
  "input changed while used",
  "canceled while running",
  "started again after cancel",
  "joined late",
  "left early, others went on",
  "ahead of time in vain",
  "failed",
  "hung until aborted",
  "kept going past a failure",
  "two processes",
  "killed",
  "went on after a kill",
  "fully cached",
  "critical path",
  "queued for a slot",
  "saved by another first",
  "solved within a step",
  "canceled within a step",
  "not kept for what it solved within",
  "an optimisation off",
] as const;

export type Mark = (typeof MARKS)[number];
