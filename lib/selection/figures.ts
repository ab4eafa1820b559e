import type { Interval } from '../statistics/intervals.js';
import type { AlphaInterval } from '../statistics/step-function.js';

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

/** The first three intervals in the notation of mathematics, and how many more there are. */
export function formatIntervals(intervals: readonly AlphaInterval[]): string {
  const short = (alpha: number) => String(Number(alpha.toFixed(4)));
  const shown = intervals.slice(0, 3).map(({ from, to, fromIncluded, toIncluded }) => {
    if (from === to) return short(from);
    return `${fromIncluded ? '[' : '('}${short(from)}, ${short(to)}${toIncluded ? ']' : ')'}`;
  });
  const more = intervals.length - shown.length;
  return shown.join(', ') + (more > 0 ? ` and ${more} more` : '');
}
