import { WisemergeError } from '../errors.js';
import type { BitMatrix } from '../statistics/bits.js';
import { clopperPearson, type Interval } from '../statistics/intervals.js';
import { basicInterval, mapReplicates, type Resamples, resample, simultaneousBand } from './bootstrap.js';
import { accuracies } from './curves.js';
import { oneGroup } from './group-counts.js';

export interface ChordOptions {
  /** Bootstrap replicates. Default 1000. */
  readonly replicates?: number;
  readonly seed: number;
  /** Of the intervals. Default 0.95. */
  readonly confidence?: number;
  /** Barrier, as a difference of accuracies, up to which two models count as connected. Default 0.02. */
  readonly tolerance?: number;
  /** Group per sample, for each set whose groups are drawn as a whole: as in `resamples`, where these are given. */
  readonly clusters?: readonly (ArrayLike<number> | undefined)[];
  /** Of these sets at these alphas, instead of new ones. */
  readonly resamples?: Resamples;
}

/** An extremum over alphas with its interval. */
export interface Extremum {
  readonly alpha: number;
  readonly value: number;
  /** Null where a set has one group. */
  readonly interval: Interval | null;
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
   * Where the interval of `minimum` lies: connected from -tolerance on, not connected below, undecided where it has
   * both, and without one. Frankle et al. (2020) call 2 points of error no barrier.
   */
  readonly linearConnectivity: LinearConnectivity;
  readonly tolerance: number;
}

export type LinearConnectivity = 'connected' | 'not-connected' | 'undecided';

/**
 * The chord test on the mean accuracy of sets, rows at `alphas` (ascending, with 0 and 1 among them). Intervals
 * are paired by sample. That of `minimum` comes from the simultaneous max-t band of all gaps: where the band holds
 * every gap, the smallest one is between the smallest of its lower and of its upper ends; an interval of the smallest
 * gap found would be pushed down by the noise of every alpha. Samples that all have the same gap have no spread to draw from,
 * but up to 1 - 0.025^(1/n) of their population may have another (the rule of three, two-sided: Clopper and Pearson,
 * 1934), by 1 at most where theirs is 0. The interval of `interiorGain`, which noise pushes up, is the basic one.
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
  const gaps = mapReplicates(resamples, range.length, (drawn, out) => {
    mean(drawn, out);
    chordGap(range, out, out);
  });
  const band = simultaneousBand(gap, gaps, confidence);
  const unseen = unseenDifferences(sets, range, zero, confidence, clusters);
  const least = (values: Float64Array): number => values.reduce((a, b) => Math.min(a, b));
  const unknown = sets.some((_, s) => oneGroup({ groups: clusters?.[s] }));
  const minimum: Extremum = {
    alpha: range[lowest]!,
    value: gap[lowest]!,
    interval: unknown
      ? null
      : {
          lower: least(band.lower.map((value, k) => value - unseen[k]!)),
          upper: least(band.upper.map((value, k) => value + unseen[k]!)),
        },
  };
  return {
    alphas: range,
    gap,
    minimum,
    aboveChord: minimum.value >= 0,
    interiorGain: range.length < 3 ? null : interiorGain(range, curve, unknown ? null : curves, confidence),
    linearConnectivity: connectivityOf(minimum.interval, tolerance),
    tolerance,
  };
}

function connectivityOf(interval: Interval | null, tolerance: number): LinearConnectivity {
  if (!interval) return 'undecided';
  const { lower, upper } = interval;
  if (lower >= -tolerance) return 'connected';
  return upper < -tolerance ? 'not-connected' : 'undecided';
}

/**
 * By how much the mean gap may differ for samples unlike all of a set of which no two differ in what they add to it: no
 * sample does anything at an alpha that it does not at both ends, or all do the same. One sample is always such a set.
 */
function unseenDifferences(
  sets: readonly BitMatrix[],
  range: Float64Array,
  zero: number,
  confidence: number,
  clusters: ChordOptions['clusters'],
): Float64Array {
  const unseen = new Float64Array(range.length);
  const one = zero + range.length - 1;
  for (const [s, set] of sets.entries()) {
    const ends = [zero, one].map((row) => commonValue(set, row));
    const groups = clusters?.[s];
    // The samples of a group may differ together, or not at all.
    const units = groups ? new Set(Array.from(groups)).size : set.columns;
    const share = clopperPearson(0, units, confidence).upper / sets.length;
    for (let k = 1; k < unseen.length - 1; k++) {
      if (set.countXor(zero, one) === 0 && set.countXor(zero, zero + k) === 0) {
        unseen[k]! += share;
        continue;
      }
      const [first, at, last] = [ends[0], commonValue(set, zero + k), ends[1]];
      if (first === undefined || at === undefined || last === undefined) continue;
      // Gaps of single samples are from -1 to 1.
      unseen[k]! += share * (1 + Math.abs(at - (1 - range[k]!) * first - range[k]! * last));
    }
  }
  return unseen;
}

/** 1 where all samples are right, 0 where all are wrong. */
function commonValue(set: BitMatrix, row: number): number | undefined {
  const count = set.count(row);
  return count === 0 || count === set.columns ? Number(count > 0) : undefined;
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
  replicates: readonly Float64Array[] | null,
  confidence: number,
): Extremum {
  const gain = (values: Float64Array): number =>
    values.subarray(1, -1).reduce((a, b) => Math.max(a, b)) - Math.max(values[0]!, values.at(-1)!);
  const value = gain(curve);
  return {
    alpha: alphas[1 + extreme(curve.subarray(1, -1), (a, b) => a > b)]!,
    value,
    interval: replicates && basicInterval(value, replicates.map(gain), confidence),
  };
}

function extreme(values: Float64Array, better: (a: number, b: number) => boolean): number {
  return values.reduce((found, value, k) => (better(value, values[found]!) ? k : found), 0);
}

/** For people, without a full stop. */
export function describeConnectivity({ linearConnectivity, tolerance }: ChordTest): string {
  const within = `within ${Number((100 * tolerance).toFixed(4))} points of accuracy`;
  switch (linearConnectivity) {
    case 'connected':
      return `The models are linearly connected, ${within}`;
    case 'not-connected':
      return `The models are not linearly connected, ${within}`;
    case 'undecided':
      return `These samples do not tell whether the models are linearly connected, ${within}`;
  }
}
