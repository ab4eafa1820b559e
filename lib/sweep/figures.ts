import type { Interval } from './intervals.js';

/** An accuracy as people read it: `83.50 %`. */
export function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(2)} %`;
}

/** A difference of accuracies in percentage points: `-0.35 pp`. */
export function points(difference: number): string {
  const text = (100 * difference).toFixed(2);
  return `${Number(text) === 0 ? '0.00' : text} pp`;
}

/** An interval of differences: `[-0.35, 0.10] pp`. */
export function pointsInterval({ lower, upper }: Interval): string {
  return `[${(100 * lower).toFixed(2)}, ${(100 * upper).toFixed(2)}] pp`;
}
