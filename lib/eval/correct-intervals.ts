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

/** Which samples are correct at `alpha`, sample i in bit i % 32 of `words[floor(i / 32)]`. */
export function correctBits(intervals: CorrectIntervals, alpha: number, words: Uint32Array): void {
  const { lo, hi } = intervals;
  for (let i = 0; i < words.length; i++) {
    const end = Math.min(32 * i + 32, lo.length);
    let word = 0;
    for (let j = 32 * i; j < end; j++) {
      const atEnd = alpha === lo[j] || alpha === hi[j];
      // No branch on the comparisons: which samples are correct follows no pattern that could be predicted.
      const inside = Number(alpha > lo[j]!) & Number(alpha < hi[j]!);
      word |= (atEnd ? Number(isCorrectAt(intervals, j, alpha)) : inside) << (j & 31);
    }
    words[i] = word;
  }
}
