import { halfWidth, quantilesOf, type Uncertainty } from '../statistics/few-units.js';
import type { Interval } from '../statistics/intervals.js';
import { inverseErfc } from '../statistics/special.js';
import type { Steps } from '../statistics/turns.js';
import { type Combination, type Contribution, combine, rescaling, uncertainties } from './band.js';
import { basicInterval, quantile } from './bootstrap.js';

/** The best point strictly between the ends of a curve against the better end. */
export interface InteriorGain {
  readonly top: number;
  readonly end: number;
  /** Accuracy at `top` less that at `end`. */
  readonly value: number;
}

/** Of a curve of three points or more. */
export function interiorGain(curve: Float64Array): InteriorGain {
  const last = curve.length - 1;
  const end = curve[0]! >= curve[last]! ? 0 : last;
  let top = 1;
  for (let k = 2; k < last; k++) if (curve[k]! > curve[top]!) top = k;
  return { top, end, value: curve[top]! - curve[end]! };
}

/**
 * The basic interval of the gain: noise pushes a maximum up, and pushes replicates up once more, which the reflection at
 * the estimate takes back. For few units it is stretched about its middle, as Student's quantiles exceed the normal one;
 * what is added where no unit differs is that of `top` against `end`. `parts` gives the sets' contributions to
 * a curve, `points` those of the curve itself.
 */
export function* gainInterval(
  curve: Float64Array,
  parts: (points: readonly Combination[]) => Steps<readonly Contribution[]>,
  points: readonly Combination[],
  confidence: number,
): Steps<Interval> {
  const { top, end, value } = interiorGain(curve);
  const against = [...points[end]!].map(([alpha, weight]) => [alpha, -weight] as const);
  const contrast = yield* parts([combine(...points[top]!, ...against)]);
  const [{ variances, above, below }] = (yield* uncertainties(contrast, confidence)) as [Uncertainty];
  const sets = yield* parts(points);
  const scales = sets.map(rescaling);
  const gains = new Float64Array(sets[0]!.replicates.length);
  for (let r = 0; r < gains.length; r++) {
    const drawn = curve.map((estimate, k) =>
      sets.reduce((sum, set, s) => sum + scales[s]! * (set.replicates[r]![k]! - set.value[k]!), estimate),
    );
    gains[r] = interiorGain(drawn).value;
    yield;
  }
  const { lower, upper } = basicInterval(value, gains, confidence);
  const middle = 2 * value - quantile(Float64Array.from(gains).sort(), 0.5);
  const tail = 1 - confidence;
  const normal = contrast.map(() => Math.SQRT2 * inverseErfc(tail));
  const stretch = halfWidth(variances, quantilesOf(contrast, tail)) / halfWidth(variances, normal) || 1;
  return {
    lower: Math.max(-1, middle - stretch * (middle - lower) - above),
    upper: Math.min(1, middle + stretch * (upper - middle) + below),
  };
}
