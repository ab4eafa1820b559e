/**
 * The rank from 0 of every value, ascending or descending, where equal values rank by index; NaN is above infinity.
 * From a sorted copy: how many values come before, and how many of the same were met before.
 */
export function ranks(values: Float64Array, order: 'ascending' | 'descending'): Uint32Array {
  // A typed array sorts by number, NaN last.
  const sorted = values.slice().sort();
  const above = (value: number, other: number): boolean =>
    Number.isNaN(other) ? false : Number.isNaN(value) || value > other;
  /** How many values are below `value`, or not above it. */
  const count = (value: number, equalToo: boolean): number => {
    let [from, to] = [0, sorted.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      const before = equalToo ? !above(sorted[middle]!, value) : above(value, sorted[middle]!);
      if (before) from = middle + 1;
      else to = middle;
    }
    return from;
  };
  const next = new Map<number, number>();
  return Uint32Array.from(values, (value) => {
    const first = order === 'ascending' ? count(value, false) : sorted.length - count(value, true);
    const rank = next.get(value) ?? first;
    next.set(value, rank + 1);
    return rank;
  });
}
