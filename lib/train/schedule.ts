/** The learning rates of a run. Steps are counted from 0 over all epochs. */
export interface Schedule {
  /** The largest rate. */
  readonly lr: number;
  /** Steps of the linear warm-up, below `steps`. */
  readonly warmup: number;
  /** Of the whole run. */
  readonly steps: number;
}

/**
 * Linear warm-up to `lr`, which step `warmup - 1` has, then half a cosine towards 0 (the schedule of the
 * WiSE-FT repository; Loshchilov and Hutter, "SGDR", 2017, without restarts).
 */
export function learningRate({ lr, warmup, steps }: Schedule, step: number): number {
  if (step < warmup) return (lr * (step + 1)) / warmup;
  return (lr * (1 + Math.cos((Math.PI * (step - warmup)) / (steps - warmup)))) / 2;
}

/** The rates of `count` steps from `first`. */
export function learningRates(schedule: Schedule, first: number, count: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => learningRate(schedule, first + i));
}
