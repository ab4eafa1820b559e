import { clopperPearson } from './intervals.js';
import { studentTwoSided } from './student.js';

/** What one set adds to a sum: the mean of a bounded value over independent units, which are samples, or groups of them. */
export interface Addend {
  readonly value: number;
  /** Least and most that one sample could add. */
  readonly least: number;
  readonly most: number;
  /** Of `value`, unbiased: with units - 1 where squares of deviations were summed. */
  readonly variance: number;
  readonly units: number;
}

/** How far a sum of independent addends may be from what it would be of all samples there are. */
export interface Uncertainty {
  /** By addend, 0 where its units do not differ. */
  readonly variances: readonly number[];
  /** What addends without spread may be too high, and too low, as a whole. */
  readonly above: number;
  readonly below: number;
}

/** Standard errors below this are of rounding alone. */
const noSpread = 1e-14;

/**
 * Units that all agree have no spread to estimate a variance from, but that is not variance 0: up to 1 - 0.025^(1/n) of
 * the population may be unlike them (the rule of three, two-sided: Clopper and Pearson, 1934), and then by as much as
 * samples can be.
 */
export function uncertaintyOf(addends: readonly Addend[], confidence: number): Uncertainty {
  let [above, below] = [0, 0];
  const variances = addends.map(({ value, least, most, variance, units }) => {
    if (Math.sqrt(variance) > noSpread) return variance;
    if (least < most) {
      const unseen = clopperPearson(0, units, confidence).upper;
      above += unseen * (value - least);
      below += unseen * (most - value);
    }
    return 0;
  });
  return { variances, above, below };
}

/**
 * Per addend, the quantile that a deviation in its estimated standard errors exceeds with probability `tail`: Student's
 * with units - 1 degrees of freedom (of groups: Cameron and Miller, J. Human Resources 50, 2015, section VI). 0 for one
 * unit, whose variance is 0.
 */
export function quantilesOf(addends: readonly Pick<Addend, 'units'>[], tail: number): number[] {
  return addends.map(({ units }) => (units > 1 ? studentTwoSided(tail, units - 1) : 0));
}

/**
 * Half width of the interval of a sum: the root of the sum of (quantile * standard error)^2, which covers at least as
 * often as its addends' own intervals do (Banerjee, Sankhya 22, 1960). Degrees of freedom estimated for the sum
 * (Satterthwaite, 1946) cover too rarely where one of them is small.
 */
export function halfWidth(variances: readonly number[], quantiles: readonly number[]): number {
  return Math.sqrt(
    variances.reduce((sum, variance, s) => (variance > 0 ? sum + quantiles[s]! ** 2 * variance : sum), 0),
  );
}
