import { WisemergeError } from '../errors.js';
import type { BitMatrix } from '../statistics/bits.js';
import type { Interval } from '../statistics/intervals.js';
import type { Steps } from '../statistics/turns.js';
import { type Combination, type Contribution, combine, contribution, simultaneousBand } from './band.js';
import { type Resamples, resample } from './bootstrap.js';
import { accuracies } from './curves.js';
import { oneGroup } from './group-counts.js';
import { gainInterval, interiorGain } from './interior-gain.js';

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
  readonly alphas: readonly number[];
  /** accuracy(alpha) - ((1 - alpha) accuracy(0) + alpha accuracy(1)), per alpha; 0 at both ends. */
  readonly gap: readonly number[];
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
 * gap found would be pushed down by the noise of every alpha. That of `interiorGain` is by `gainInterval`.
 * Throws ERR_USAGE where an end was not evaluated, and as `resample`.
 */
export function* chordTest(
  alphas: Float64Array,
  sets: readonly BitMatrix[],
  options: ChordOptions,
): Steps<ChordTest> {
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
  const range = alphas.slice(zero, one + 1);
  const share = 1 / sets.length;
  const shown = sets.map((correct, s) => ({
    ...{ accuracy: accuracies(correct), samples: correct.columns, groups: clusters?.[s] },
  }));
  const curve = range.map((_, k) =>
    shown.reduce((sum, { accuracy }) => sum + share * accuracy[zero + k]!, 0),
  );
  const gap = chordGap(range, curve);
  const resamples = options.resamples ?? (yield* resample(sets, replicates, seed, clusters));
  const unknown = shown.some(oneGroup);
  const parts = function* (points: readonly Combination[]): Steps<readonly Contribution[]> {
    const found: Contribution[] = [];
    for (const [s, set] of shown.entries()) {
      found.push(contribution(resamples, s, set, points));
      yield;
    }
    return found;
  };

  const gaps = [...range].map((alpha, k) =>
    combine([zero + k, share], [zero, share * (alpha - 1)], [one, -share * alpha]),
  );
  const band = unknown ? null : yield* simultaneousBand(yield* parts(gaps), confidence);
  const least = (values: Float64Array): number => values.reduce((a, b) => Math.min(a, b));
  const lowest = extreme(gap, (a, b) => a < b);
  const minimum: Extremum = {
    alpha: range[lowest]!,
    value: gap[lowest]!,
    interval: band && { lower: least(band.lower), upper: least(band.upper) },
  };
  let gain: Extremum | null = null;
  if (range.length > 2) {
    const { top, value } = interiorGain(curve);
    const points = [...range.keys()].map((k) => combine([zero + k, share]));
    const interval = unknown ? null : yield* gainInterval(curve, parts, points, confidence);
    gain = { alpha: range[top]!, value, interval };
  }
  return {
    alphas: [...range],
    gap: [...gap],
    minimum,
    aboveChord: minimum.value >= 0,
    interiorGain: gain,
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
      return `These samples cannot tell whether the models are linearly connected, ${within}`;
  }
}
