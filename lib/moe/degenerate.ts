import { formatRanges } from '../merge/config/output-tensors.js';
import type { GateVectors } from './gates.js';

/** Condition number of a layer's rows from which mergekit, too, calls them degenerate. */
const threshold = 5;

/**
 * Names the layers whose routers give some experts nearly what others together give, so that these go unused; undefined
 * if there are none. `gates`: of the experts that are chosen from.
 */
export function degenerateGates(gates: readonly GateVectors[]): string | undefined {
  const layers = gates[0]?.length ?? 0;
  const found: { layer: number; condition: number; pair: Pair }[] = [];
  for (let layer = 0; layer < layers && gates.length > 1; layer++) {
    const products = innerProducts(gates.map((vectors) => vectors[layer]!));
    const condition = conditionNumber(products);
    if (condition > threshold) found.push({ layer, condition, pair: closest(products) });
  }
  if (found.length === 0) return undefined;
  const worst = found.reduce((one, other) => (other.condition > one.condition ? other : one));
  const names = found.length === layers ? 'all layers' : formatRanges(found.map(({ layer }) => layer));
  const { experts, cosine } = worst.pair;
  const condition = Number.isFinite(worst.condition)
    ? `condition number ${Number(worst.condition.toPrecision(3))}`
    : 'infinite condition number';
  return (
    `the routers of ${names} hardly tell their experts apart (${condition} in layer ${worst.layer}, where ` +
    `experts ${experts.join(' and ')} have a cosine of ${cosine.toFixed(4)}): some will go unused; give prompts that differ more`
  );
}

interface Pair {
  readonly experts: readonly [number, number];
  readonly cosine: number;
}

/** Of vectors of length 1: cosines. */
function innerProducts(rows: readonly Float64Array[]): number[][] {
  return rows.map((x) => rows.map((y) => x.reduce((sum, value, j) => sum + value * y[j]!, 0)));
}

/** The two rows that are most alike, up to their sign. */
function closest(cosines: readonly (readonly number[])[]): Pair {
  let best: Pair = { experts: [0, 1], cosine: cosines[0]![1]! };
  for (const [i, row] of cosines.entries()) {
    for (let j = i + 1; j < row.length; j++) {
      if (Math.abs(row[j]!) > Math.abs(best.cosine)) best = { experts: [i, j], cosine: row[j]! };
    }
  }
  return best;
}

/** Of rows by their inner products: largest over smallest singular value, infinite where the smallest is none in f64. */
function conditionNumber(products: readonly (readonly number[])[]): number {
  const values = eigenvalues(products);
  const [largest, smallest] = [Math.max(...values), Math.min(...values)];
  return smallest > largest * values.length * Number.EPSILON
    ? Math.sqrt(largest / smallest)
    : Number.POSITIVE_INFINITY;
}

/** Of a symmetric matrix, by Jacobi's rotations. */
function eigenvalues(matrix: readonly (readonly number[])[]): number[] {
  const a = matrix.map((row) => [...row]);
  const n = a.length;
  // They converge quadratically: no size needs as many sweeps.
  for (let sweep = 0; sweep < 30; sweep++) {
    let rotated = false;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (Math.abs(a[p]![q]!) <= Number.EPSILON / 16) continue;
        rotated = true;
        rotate(a, p, q);
      }
    }
    if (!rotated) break;
  }
  return a.map((row, i) => row[i]!);
}

/** Turns the plane of two axes so that their off-diagonal element is 0. */
function rotate(a: number[][], p: number, q: number): void {
  const theta = (a[q]![q]! - a[p]![p]!) / (2 * a[p]![q]!);
  const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
  const c = 1 / Math.sqrt(t * t + 1);
  const s = t * c;
  for (let k = 0; k < a.length; k++) {
    const [x, y] = [a[k]![p]!, a[k]![q]!];
    a[k]![p] = c * x - s * y;
    a[k]![q] = s * x + c * y;
  }
  for (let k = 0; k < a.length; k++) {
    const [x, y] = [a[p]![k]!, a[q]![k]!];
    a[p]![k] = c * x - s * y;
    a[q]![k] = s * x + c * y;
  }
  // What rounding leaves of it would be turned again and again.
  a[p]![q] = 0;
  a[q]![p] = 0;
}
