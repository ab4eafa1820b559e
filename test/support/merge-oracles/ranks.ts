/** The rank from 0 of every value, ascending or descending; equal values rank by index, and NaN above infinity. */
export function ranks(values: Float64Array, order: 'ascending' | 'descending'): Uint32Array {
  const sign = order === 'ascending' ? 1 : -1;
  const keys = values.map((value) => {
    if (Number.isNaN(value)) return sign * Number.POSITIVE_INFINITY;
    return sign * Math.min(value, Number.MAX_VALUE);
  });
  const byKey = (a: number, b: number): number => {
    const [x, y] = [keys[a]!, keys[b]!];
    return x < y ? -1 : x > y ? 1 : a - b;
  };
  const rank = new Uint32Array(values.length);
  for (const [r, e] of Uint32Array.from(values.keys()).sort(byKey).entries()) rank[e] = r;
  return rank;
}
