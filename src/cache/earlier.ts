// Which step of an earlier run a changed step continues, so that its reason can name what changed: a vertex has another
// digest as soon as its definition, or that of anything below it, is another.
import type { StepVerdict } from "../solver/verdict.ts";

/** The step that another continues: the same one, else the same instruction of the stage, else the one at its place. */
export function findEarlier(
  steps: readonly StepVerdict[],
  { id, name }: Pick<StepVerdict, "id" | "name">,
): StepVerdict | undefined {
  const same = steps.find(step => step.id === id) ?? steps.find(step => step.name === name);
  if (same !== undefined) return same;
  const place = placeOf(name);
  if (place === undefined) return undefined;
  const places = steps.map(step => ({ step, place: placeOf(step.name) }));
  const inStage = places.filter(other => other.place?.stage === place.stage);
  const moved = inStage.find(other => other.place?.text === place.text);
  const changed = inStage.find(
    ({ place: other }) => other?.number === place.number && other.word === place.word,
  );
  return (moved ?? changed)?.step;
}

/** `[build 2/4] RUN make` as stage `build`, number 2, text `RUN make`, word `RUN`. */
function placeOf(name: string): { stage: string; number: string; text: string; word: string } | undefined {
  const [, stage, number, text] = /^\[(.*?) ?(\d+)\/\d+\] ([^]*)$/.exec(name) ?? [];
  if (stage === undefined || number === undefined || text === undefined) return undefined;
  return { stage, number, text, word: text.split(" ", 1)[0] ?? "" };
}
