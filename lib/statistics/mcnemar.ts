import { WisemergeError } from '../errors.js';
import { type BitMatrix, bitCount } from './bits.js';
import { Clusters } from './clusters.js';
import { erfc, incompleteBeta } from './special.js';

/** Discordant pairs up to which the p-value is exact. */
const exactLimit = 1000;

/** McNemar's test of whether two models differ in accuracy on the same samples. */
export interface McNemar {
  /** Samples that only the first model gets right. */
  readonly onlyFirst: number;
  /** Samples that only the second model gets right. */
  readonly onlySecond: number;
  /** Two-sided p-value, by `method`. */
  readonly pValue: number;
  /**
   * `exact`: binomial, conditional on the discordant pairs. `chi-square`: with continuity correction. The other two are
   * by `mcnemarGroups`, for samples in groups.
   */
  readonly method: 'exact' | 'chi-square' | 'exact-groups' | 'normal-groups';
  /**
   * The exact p-value less the probability of the observed table, or half of it where neither model is ahead: that table
   * is then in both tails. Less conservative. At any size; 1 without discordant samples.
   */
  readonly midP: number;
}

/**
 * Two-sided McNemar test from the discordant counts (McNemar, Psychometrika 12, 1947; Edwards' correction,
 * 1948; mid-p: Fagerland, Lydersen and Laake, BMC Med. Res. Methodol. 13:91, 2013). Exact up to 1000 discordant
 * samples, chi-square above. Throws ERR_DATA where the numbers are not counts.
 */
export function mcnemar(onlyFirst: number, onlySecond: number): McNemar {
  for (const count of [onlyFirst, onlySecond]) {
    if (!Number.isSafeInteger(count) || count < 0)
      throw new WisemergeError('ERR_DATA', `${count} is not a count of samples`);
  }
  const n = onlyFirst + onlySecond;
  const least = Math.min(onlyFirst, onlySecond);
  if (n === 0) return { onlyFirst, onlySecond, pValue: 1, method: 'exact', midP: 1 };
  // P(X <= k) = I_(1/2)(n - k, k + 1) for X of the binomial distribution with n trials of probability 1/2.
  const atMost = (k: number): number => (k < 0 ? 0 : k >= n ? 1 : incompleteBeta(0.5, n - k, k + 1));
  const tail = atMost(least);
  const before = atMost(least - 1);
  const midP = onlyFirst === onlySecond ? 1 - (tail - before) / 2 : tail + before;
  if (n <= exactLimit) return { onlyFirst, onlySecond, pValue: Math.min(1, 2 * tail), method: 'exact', midP };
  const chiSquare = Math.max(0, Math.abs(onlyFirst - onlySecond) - 1) ** 2 / n;
  return { onlyFirst, onlySecond, pValue: erfc(Math.sqrt(chiSquare / 2)), method: 'chi-square', midP };
}

/** Steps of counting up to which the p-value by group is exact: a tenth of a second or so. */
const groupLimit = 2e7;

/**
 * The test for samples in groups: were the models equal, each group's sum of differences (second less first) would be
 * as likely with the other sign, whatever the samples of a group have to do with one another. The p-value is the share
 * of all choices of signs whose total is as far from 0 as the one found (Fisher's randomisation test, "The Design of
 * Experiments", 1935, section 21); with one sample per group it is `mcnemar`'s. Exact by counting totals one group
 * after another, or by the normal distribution with variance the sum of squares where that would take more than
 * `limit` steps.
 */
export function mcnemarGroups(
  onlyFirst: number,
  onlySecond: number,
  sums: ArrayLike<number>,
  limit = groupLimit,
): McNemar {
  const counts = { onlyFirst, onlySecond };
  const sizes = Array.from(sums, Math.abs).filter((size) => size > 0);
  const total = Math.abs(Array.from(sums).reduce((sum, d) => sum + d, 0));
  const most = sizes.reduce((sum, size) => sum + size, 0);
  if (sizes.length * most > limit) {
    const deviation = Math.sqrt(sizes.reduce((sum, size) => sum + size * size, 0));
    const pValue = erfc(total / deviation / Math.SQRT2);
    return { ...counts, pValue, method: 'normal-groups', midP: pValue };
  }
  if (sizes.length === 0) return { ...counts, pValue: 1, method: 'exact-groups', midP: 1 };
  // Entry `most + t` is the probability of a total t, of the groups so far.
  let chances = new Float64Array(2 * most + 1);
  chances[most] = 1;
  let reach = 0;
  for (const size of sizes) {
    const next = new Float64Array(chances.length);
    for (let t = most - reach; t <= most + reach; t++) {
      next[t - size]! += chances[t]! / 2;
      next[t + size]! += chances[t]! / 2;
    }
    reach += size;
    chances = next;
  }
  if (total === 0) return { ...counts, pValue: 1, method: 'exact-groups', midP: 1 - chances[most]! / 2 };
  let beyond = 0;
  for (let t = most + total + 1; t < chances.length; t++) beyond += 2 * chances[t]!;
  const here = 2 * chances[most + total]!;
  return { ...counts, pValue: Math.min(1, beyond + here), method: 'exact-groups', midP: beyond + here / 2 };
}

/** McNemar's test between two alphas, given by row; by group where samples are in groups. */
export function mcnemarRows(
  correct: BitMatrix,
  first: number,
  second: number,
  groups?: ArrayLike<number>,
): McNemar {
  const both = correct.countAnd(first, second);
  const [onlyFirst, onlySecond] = [correct.count(first) - both, correct.count(second) - both];
  if (!groups) return mcnemar(onlyFirst, onlySecond);
  return mcnemarGroups(onlyFirst, onlySecond, new Clusters(correct, groups).differences(first, second));
}

/** What a merged model does with the samples that its ends get right or wrong. */
export interface Flips {
  /**
   * Samples by correctness (0 wrong, 1 right) of the zero-shot, the fine-tuned and the merged model:
   * entry `4 * zeroshot + 2 * finetuned + merged`. Eight counts that add up to `samples`.
   */
  readonly table: readonly number[];
  readonly samples: number;
  /** Both ends wrong, the merged model right. */
  readonly bothWrongToRight: number;
  /** Both ends right, the merged model wrong. */
  readonly bothRightToWrong: number;
  /** Exactly one end right, and the merged model with the fine-tuned one in being right or wrong. */
  readonly zeroshotOverridden: number;
  /** Exactly one end right, and the merged model with the zero-shot one in being right or wrong. */
  readonly finetunedOverridden: number;
  /** Prediction diversity (PD; Wortsman et al., 2022, appendix E): share of samples with exactly one end right. */
  readonly predictionDiversity: number;
}

/** Counts flips between three alphas, given by row. Throws ERR_DATA for a set without samples. */
export function flips(correct: BitMatrix, zeroshot: number, finetuned: number, merged: number): Flips {
  const samples = correct.columns;
  if (samples === 0) throw new WisemergeError('ERR_DATA', 'flips of no samples');
  const [z, f, m] = [correct.row(zeroshot), correct.row(finetuned), correct.row(merged)];
  const table = new Array<number>(8).fill(0);
  for (let cell = 1; cell < 8; cell++) {
    const [a, b, c] = [cell & 4 ? 0 : -1, cell & 2 ? 0 : -1, cell & 1 ? 0 : -1];
    // Bits beyond the last sample are zero in all rows, so only the cell that is left out would count them.
    for (let i = 0; i < z.length; i++) table[cell]! += bitCount((z[i]! ^ a) & (f[i]! ^ b) & (m[i]! ^ c));
  }
  table[0] = samples - table.reduce((sum, count) => sum + count, 0);
  const [, wrongWrongRight, wrongRightWrong, wrongRightRight, rightWrongWrong, rightWrongRight, lost] =
    table as [number, number, number, number, number, number, number, number];
  return {
    table,
    samples,
    bothWrongToRight: wrongWrongRight,
    bothRightToWrong: lost,
    zeroshotOverridden: wrongRightRight + rightWrongWrong,
    finetunedOverridden: wrongRightWrong + rightWrongRight,
    predictionDiversity: (wrongRightWrong + wrongRightRight + rightWrongWrong + rightWrongRight) / samples,
  };
}
