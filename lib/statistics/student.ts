import { WisemergeError } from '../errors.js';
import { checkConfidence, type Interval } from './intervals.js';
import { inverseIncompleteBeta } from './special.js';

/** The t that a Student variable with `freedom` degrees of freedom exceeds in absolute value with probability `tail`. */
export function studentTwoSided(tail: number, freedom: number): number {
  // P(|T| > t) = I_x(freedom / 2, 1 / 2) with x = freedom / (freedom + t^2) (Abramowitz and Stegun 26.7.1).
  const x = inverseIncompleteBeta(tail, freedom / 2, 0.5);
  return Math.sqrt((freedom * (1 - x)) / x);
}

/**
 * The mean of independent measurements and its confidence interval, Student's (Biometrika 6, 1908). Throws
 * ERR_USAGE for fewer than two: one measurement says nothing about its own scatter.
 */
export function meanInterval(
  values: readonly number[],
  confidence = 0.95,
): Interval & { readonly mean: number } {
  checkConfidence(confidence);
  const count = values.length;
  if (count < 2) throw new WisemergeError('ERR_USAGE', `an interval of the mean of ${count} values`);
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const half = studentTwoSided(1 - confidence, count - 1) * Math.sqrt(squares / (count - 1) / count);
  return { mean, lower: mean - half, upper: mean + half };
}
