import { WisemergeError } from '../errors.js';
import type { BitMatrix } from './bits.js';
import { basicInterval, mapReplicates, percentileInterval, type Resamples, resample } from './bootstrap.js';
import { accuracies } from './curves.js';
import type { Interval } from './intervals.js';

export interface ChordOptions {
  /** Bootstrap replicates. Default 1000. */
  readonly replicates?: number;
  readonly seed: number;
  /** Of the intervals. Default 0.95. */
  readonly confidence?: number;
  /** Barrier, as a difference of accuracies, up to which two models count as connected. Default 0.02. */
  readonly tolerance?: number;
  /** Group per sample, for each set whose groups are drawn as a whole. */
  readonly clusters?: readonly (ArrayLike<number> | undefined)[];
  /** Of these sets at these alphas, instead of new ones. */
  readonly resamples?: Resamples;
}

/** An extremum over alphas with its bootstrap interval. */
export interface Extremum {
  readonly alpha: number;
  readonly value: number;
  readonly interval: Interval;
}

/** How accuracy between two models compares with a straight line between their accuracies. */
export interface ChordTest {
  /** The evaluated alphas in [0, 1]. */
  readonly alphas: Float64Array;
  /** accuracy(alpha) - ((1 - alpha) accuracy(0) + alpha accuracy(1)), per alpha; 0 at both ends. */
  readonly gap: Float64Array;
  /** The smallest gap, ends included, hence at most 0. Its negative is the barrier. */
  readonly minimum: Extremum;
  /** Observation 1 (Wortsman et al., 2022, appendix E): no gap is negative. */
  readonly aboveChord: boolean;
  /**
   * Observation 2: the best accuracy strictly between the ends less that of the better end. Null where no
   * alpha lies between the ends.
   */
  readonly interiorGain: Extremum | null;
  /**
   * Whether even the lower end of the interval of `minimum` is at least -tolerance: data that could hide a
   * larger barrier do not count as connected. Frankle et al. (2020) call 2 points of error no barrier.
   */
  readonly linearlyConnected: boolean;
}

/**
 * The chord test on the mean accuracy of sets, rows at `alphas` (ascending, with 0 and 1 among them). Intervals
 * are of the extremum itself, paired by sample: the percentile interval for `minimum`, which noise pushes down
 * (no barrier is overlooked), the basic one for `interiorGain`, which noise pushes up.
 * Throws ERR_USAGE where an end was not evaluated, and as `resample`.
 */
export function chordTest(
  alphas: Float64Array,
  sets: readonly BitMatrix[],
  options: ChordOptions,
): ChordTest {
  const { replicates = 1000, seed, confidence = 0.95, tolerance = 0.02, clusters } = options;
  const [zero, one] = [alphas.indexOf(0), alphas.indexOf(1)];
  if (zero < 0 || one < 0)
    throw new WisemergeError('ERR_USAGE', `the chord test needs alpha ${zero < 0 ? 0 : 1}`, {
      hint: 'Sweep alphas from 0 to 1, both included.',
    });
  if (sets.length === 0)
    throw new WisemergeError('ERR_USAGE', 'the chord test needs an evaluation set', {
      hint: 'Add a set to the sweep.',
    });
  for (const { rows } of sets) {
    if (rows !== alphas.length)
      throw new WisemergeError('ERR_DATA_MISMATCH', `results at ${rows} alphas, for ${alphas.length}`);
  }
  const mean = (curves: readonly Float64Array[], out: Float64Array): void => {
    for (let k = 0; k < out.length; k++) {
      let sum = 0;
      for (const curve of curves) sum += curve[zero + k]!;
      out[k] = sum / curves.length;
    }
  };
  const range = alphas.slice(zero, one + 1);
  const curve = new Float64Array(range.length);
  mean(sets.map(accuracies), curve);
  const gap = chordGap(range, curve);
  const resamples = options.resamples ?? resample(sets, replicates, seed, clusters);
  const curves = mapReplicates(resamples, range.length, mean);

  const lowest = extreme(gap, (a, b) => a < b);
  const heights = new Float64Array(range.length);
  const lowestOf = (values: Float64Array): number => values.reduce((a, b) => Math.min(a, b));
  const minimum: Extremum = {
    alpha: range[lowest]!,
    value: gap[lowest]!,
    // Not reflected: at a smallest gap of 0 that would put the lower end at 0, however few the samples.
    interval: percentileInterval(
      curves.map((values) => lowestOf(chordGap(range, values, heights))),
      confidence,
    ),
  };
  return {
    alphas: range,
    gap,
    minimum,
    aboveChord: minimum.value >= 0,
    interiorGain: range.length < 3 ? null : interiorGain(range, curve, curves, confidence),
    linearlyConnected: minimum.interval.lower >= -tolerance,
  };
}

/** The height of a curve above its chord, into `out`; `alphas` run from 0 to 1. */
export function chordGap(
  alphas: Float64Array,
  accuracy: Float64Array,
  out: Float64Array = new Float64Array(alphas.length),
): Float64Array {
  const first = accuracy[0]!;
  const last = accuracy[accuracy.length - 1]!;
  for (let k = 0; k < out.length; k++) {
    const difference = accuracy[k]! - ((1 - alphas[k]!) * first + alphas[k]! * last);
    // On the chord but for rounding is on the chord.
    out[k] = Math.abs(difference) < 1e-12 ? 0 : difference;
  }
  return out;
}

function interiorGain(
  alphas: Float64Array,
  curve: Float64Array,
  replicates: readonly Float64Array[],
  confidence: number,
): Extremum {
  const gain = (values: Float64Array): number =>
    values.subarray(1, -1).reduce((a, b) => Math.max(a, b)) - Math.max(values[0]!, values.at(-1)!);
  const value = gain(curve);
  return {
    alpha: alphas[1 + extreme(curve.subarray(1, -1), (a, b) => a > b)]!,
    value,
    interval: basicInterval(value, replicates.map(gain), confidence),
  };
}

function extreme(values: Float64Array, better: (a: number, b: number) => boolean): number {
  return values.reduce((found, value, k) => (better(value, values[found]!) ? k : found), 0);
}
