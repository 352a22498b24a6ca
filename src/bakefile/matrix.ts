// The matrix of a target: an object of lists, and the rows that it makes (bake reference, "target.matrix").
import type { Range } from "../diagnostic/source.ts";
import { describe } from "./hcl/convert.ts";
import { unwrapItems, type Value } from "./hcl/value.ts";
import { schemaError } from "./problems.ts";

/** More targets than this nobody means to make of one. */
const MAX_ROWS = 10_000;

/**
 * One row of values by key for each combination; the first key varies slowest.
 * @throws BakeError "bake-schema" at `range` for what is no matrix
 */
export function matrixRows(matrix: Value, range: Range): readonly ReadonlyMap<string, Value>[] {
  if (!("entries" in matrix)) {
    throw schemaError(`a matrix must be an object of lists, found ${describe(matrix)}`, range);
  }
  let rows: ReadonlyMap<string, Value>[] = [new Map()];
  for (const [key, dimension] of matrix.entries) {
    const items =
      unwrapItems(dimension) ?? ("entries" in dimension ? [...dimension.entries.values()] : undefined);
    if (items === undefined) {
      throw schemaError(
        `the values of a matrix must be lists, found ${describe(dimension)} for "${key}"`,
        range,
      );
    }
    if (rows.length * items.length > MAX_ROWS)
      throw schemaError(`the matrix has more than ${MAX_ROWS} combinations`, range);
    rows = rows.flatMap(row => items.map(item => new Map([...row, [key, item] as const])));
  }
  return rows;
}
