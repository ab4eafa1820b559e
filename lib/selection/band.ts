import { halfWidth, quantilesOf, type Uncertainty, uncertaintyOf } from '../statistics/few-units.js';
import { checkConfidence } from '../statistics/intervals.js';
import { erfc, inverseErfc } from '../statistics/special.js';
import type { Steps } from '../statistics/turns.js';
import { quantile, type Resamples } from './bootstrap.js';
import { groupCount } from './group-counts.js';

/** Weights of alphas, by index: what a set adds to one point of a curve is the weighted sum of its accuracies. */
export type Combination = ReadonlyMap<number, number>;

/** Weights of one alpha add up. */
export function combine(...weights: readonly (readonly [alpha: number, weight: number])[]): Combination {
  const sums = new Map<number, number>();
  for (const [alpha, weight] of weights) sums.set(alpha, (sums.get(alpha) ?? 0) + weight);
  return sums;
}

/** What one set adds to a curve, point by point, with its replicates. */
export interface Contribution {
  readonly value: Float64Array;
  readonly replicates: readonly Float64Array[];
  /** Least and most that a single sample could add. */
  readonly least: Float64Array;
  readonly most: Float64Array;
  /** What was drawn: groups, or else samples. */
  readonly units: number;
}

/** What a set of `resamples`, given by place, adds to a curve of one point per combination. */
export function contribution(
  resamples: Resamples,
  place: number,
  set: {
    readonly accuracy: Float64Array;
    readonly samples: number;
    readonly groups?: ArrayLike<number> | undefined;
  },
  points: readonly Combination[],
): Contribution {
  const weights = points.map((point) => [...point]);
  const at = (accuracy: Float64Array, out: Float64Array): Float64Array => {
    for (const [k, pairs] of weights.entries()) {
      let sum = 0;
      for (const [alpha, weight] of pairs) sum += weight * accuracy[alpha]!;
      out[k] = sum;
    }
    return out;
  };
  const { replicates, sets, alphas, values } = resamples;
  const extent = (bound: (a: number, b: number) => number): Float64Array =>
    Float64Array.from(weights, (pairs) => pairs.reduce((sum, [, weight]) => sum + bound(0, weight), 0));
  const drawn = new Float64Array(replicates * points.length);
  return {
    value: at(set.accuracy, new Float64Array(points.length)),
    replicates: Array.from({ length: replicates }, (_, r) => {
      const from = (r * sets + place) * alphas;
      const out = drawn.subarray(r * points.length, (r + 1) * points.length);
      return at(values.subarray(from, from + alphas), out);
    }),
    ...{ least: extent(Math.min), most: extent(Math.max) },
    units: set.groups ? groupCount(set.groups) : set.samples,
  };
}

/**
 * Replicates draw as many units as there are, and so deviate too little by this factor (Rao and Wu, JASA 83, 1988,
 * section 2).
 */
export function rescaling({ units }: Contribution): number {
  return units > 1 ? Math.sqrt(units / (units - 1)) : 1;
}

/** The uncertainty of the sum of contributions at each point. */
export function* uncertainties(parts: readonly Contribution[], confidence: number): Steps<Uncertainty[]> {
  const variances: Float64Array[] = [];
  for (const part of parts) {
    variances.push(variancesOf(part));
    yield;
  }
  return Array.from(parts[0]!.value, (_, k) =>
    uncertaintyOf(
      parts.map(({ value, least, most, units }, s) => ({
        ...{ value: value[k]!, least: least[k]!, most: most[k]!, units },
        variance: variances[s]![k]!,
      })),
      confidence,
    ),
  );
}

function variancesOf(part: Contribution): Float64Array {
  const { value, replicates } = part;
  return value.map((_, k) => {
    const mean = replicates.reduce((sum, curve) => sum + curve[k]!, 0) / replicates.length;
    const squares = replicates.reduce((sum, curve) => sum + (curve[k]! - mean) ** 2, 0);
    return (rescaling(part) ** 2 * squares) / Math.max(1, replicates.length - 1);
  });
}

/** A band that holds the whole curve with the confidence asked for. */
export interface Band {
  /** Half width in standard errors, were these known: Student's quantiles of the same probability take its place. */
  readonly critical: number;
  /** Bootstrap standard error per point. */
  readonly standardErrors: Float64Array;
  readonly lower: Float64Array;
  readonly upper: Float64Array;
}

/**
 * Simultaneous max-t band of a sum of contributions. The quantile over replicates of the largest |replicate - estimate|
 * / SE of any point (Westfall and Young, 1993) is one of normal deviations; neighbouring alphas are highly correlated, so
 * it is much narrower than Bonferroni's, but never below that of one point, which few units draw too rarely. Half
 * widths are `halfWidth` with quantiles that are exceeded as rarely; what is added where no unit differs is by
 * `uncertaintyOf`. No end is beyond what accuracies allow.
 */
export function* simultaneousBand(parts: readonly Contribution[], confidence = 0.95): Steps<Band> {
  checkConfidence(confidence);
  const at = yield* uncertainties(parts, confidence);
  const standardErrors = Float64Array.from(at, ({ variances }) =>
    Math.sqrt(variances.reduce((sum, variance) => sum + variance, 0)),
  );
  const scales = parts.map(rescaling);
  const sum = (of: (part: Contribution) => number): number => parts.reduce((all, part) => all + of(part), 0);
  const largest = new Float64Array(parts[0]!.replicates.length);
  for (let r = 0; r < largest.length; r++) {
    for (const [k, error] of standardErrors.entries()) {
      if (error === 0) continue;
      let deviation = 0;
      for (const [s, { value, replicates }] of parts.entries())
        deviation += scales[s]! * (replicates[r]![k]! - value[k]!);
      largest[r] = Math.max(largest[r]!, Math.abs(deviation) / error);
    }
    yield;
  }
  largest.sort();
  const critical = Math.max(quantile(largest, confidence), Math.SQRT2 * inverseErfc(1 - confidence));
  const tail = erfc(critical / Math.SQRT2);
  const quantiles = quantilesOf(parts, tail);
  const half = at.map(({ variances }) => halfWidth(variances, quantiles));
  const estimate = Float64Array.from(at, (_, k) => sum(({ value }) => value[k]!));
  return {
    critical,
    standardErrors,
    lower: estimate.map((value, k) =>
      Math.max(
        value - half[k]! - at[k]!.above,
        sum(({ least }) => least[k]!),
      ),
    ),
    upper: estimate.map((value, k) =>
      Math.min(
        value + half[k]! + at[k]!.below,
        sum(({ most }) => most[k]!),
      ),
    ),
  };
}
