/**
 * Chebyshev points of the second kind on [0, 1], ascending, both ends included. Those of 5 are among those of 9, to the
 * bit, and the middle one is 0.5, so that an alpha that was evaluated is known again: the sine
 * is 0 in the middle, where a cosine is not.
 */
export function chebyshevPoints(count: number): number[] {
  return Array.from(
    { length: count },
    (_, j) => (1 + Math.sin((Math.PI * (2 * j - (count - 1))) / (2 * (count - 1)))) / 2,
  );
}

/**
 * Weights by which the values at `chebyshevPoints(count)` give that of the interpolating polynomial at `x`
 * (barycentric formula: Berrut and Trefethen, 2004, section 5).
 */
export function chebyshevWeights(count: number, x: number): Float64Array {
  const points = chebyshevPoints(count);
  const at = points.findIndex((point) => Math.abs(point - x) < 1e-14);
  if (at >= 0) return Float64Array.from(points, (_, j) => Number(j === at));
  const terms = points.map((point, j) => {
    const end = j === 0 || j === count - 1 ? 0.5 : 1;
    return (j % 2 === 0 ? end : -end) / (x - point);
  });
  const sum = terms.reduce((a, b) => a + b, 0);
  return Float64Array.from(terms, (term) => term / sum);
}
