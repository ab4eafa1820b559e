/**
 * For which alphas each sample is classified correctly at top-1, one entry per sample: exactly those in its
 * interval that lie in the domain. Logits that are affine in alpha (a linear head on frozen features) put each
 * class below the label on a half-line, and an intersection of half-lines is one interval.
 */
export interface CorrectIntervals {
  /** Lowest and highest alpha, both included. */
  readonly domain: readonly [number, number];
  /** Lower ends; -Infinity is allowed. */
  readonly lo: Float64Array;
  /** Upper ends; Infinity is allowed. Empty where lo > hi, where lo == hi with an open end, or at NaN. */
  readonly hi: Float64Array;
  /** Bit 0: lo itself is excluded; bit 1: hi itself is excluded. */
  readonly open: Uint8Array;
}

/** Whether sample `i` is classified correctly at `alpha`, which lies in the domain. */
export function isCorrectAt({ lo, hi, open }: CorrectIntervals, i: number, alpha: number): boolean {
  const above = alpha > lo[i]! || (alpha === lo[i] && (open[i]! & 1) === 0);
  const below = alpha < hi[i]! || (alpha === hi[i] && (open[i]! & 2) === 0);
  return above && below;
}
