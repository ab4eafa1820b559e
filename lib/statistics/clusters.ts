import { WisemergeError } from '../errors.js';
import type { BitMatrix } from './bits.js';

/** Samples of a set that belong together (video, patient, site): their results are not independent. */
export class Clusters {
  /** Samples of each group. */
  readonly sizes: Uint32Array;
  /** Per sample, its group: 0, 1, … in order of first appearance. */
  readonly of: Uint32Array;
  readonly #correct: BitMatrix;
  /** By row, once it is asked for. */
  readonly #counts = new Map<number, Uint32Array>();

  /** Throws ERR_DATA_MISMATCH where there is not one group per sample. */
  constructor(correct: BitMatrix, groups: ArrayLike<number>) {
    if (groups.length !== correct.columns)
      throw new WisemergeError('ERR_DATA_MISMATCH', `${groups.length} groups for ${correct.columns} samples`);
    const known = new Map<number, number>();
    this.of = Uint32Array.from({ length: groups.length }, (_, i) => {
      const code = known.get(groups[i]!) ?? known.size;
      known.set(groups[i]!, code);
      return code;
    });
    this.sizes = new Uint32Array(known.size);
    for (const group of this.of) this.sizes[group]!++;
    this.#correct = correct;
  }

  /** Samples of each group that are correct at an alpha, given by row. */
  correct(row: number): Uint32Array {
    const found = this.#counts.get(row);
    if (found) return found;
    const counts = new Uint32Array(this.sizes.length);
    for (const [at, bits] of this.#correct.row(row).entries()) {
      for (let word = bits; word !== 0; word &= word - 1)
        counts[this.of[32 * at + 31 - Math.clz32(word & -word)]!]!++;
    }
    this.#counts.set(row, counts);
    return counts;
  }

  /** Per group, how many more of its samples are correct at the second alpha than at the first. */
  differences(first: number, second: number): Int32Array {
    const [a, b] = [this.correct(first), this.correct(second)];
    return Int32Array.from(a, (count, group) => b[group]! - count);
  }

  /**
   * `clusterVariance` of `weights[0]` times being correct at the first alpha less `weights[1]` times at the second,
   * over the groups that are `used`, or all.
   */
  variance(
    first: number,
    second: number,
    weights: readonly [number, number],
    used?: readonly number[],
  ): number {
    const [a, b] = [this.correct(first), this.correct(second)];
    const groups = used ?? [...this.sizes.keys()];
    return clusterVariance({
      sums: groups.map((group) => weights[0] * a[group]! - weights[1] * b[group]!),
      sizes: groups.map((group) => this.sizes[group]!),
    });
  }
}

/** Per group, the sum of a value over its samples, and how many samples it has. */
export interface GroupSums {
  readonly sums: ArrayLike<number>;
  readonly sizes: ArrayLike<number>;
}

/**
 * Variance of the mean of a value over samples in G groups: G / (G - 1) times the sum over groups of
 * (sum of the group - its samples * mean)^2, over n^2. The cluster-robust ("sandwich") variance of Liang and Zeger
 * (Biometrika 73, 1986, section 2) for a mean, with the usual correction for few groups (Cameron and Miller, J. Human
 * Resources 50, 2015, section II.B). Infinite for one group, which says nothing of how groups differ.
 */
export function clusterVariance({ sums, sizes }: GroupSums): number {
  const groups = sums.length;
  if (groups < 2) return Number.POSITIVE_INFINITY;
  let [total, samples] = [0, 0];
  for (let g = 0; g < groups; g++) {
    total += sums[g]!;
    samples += sizes[g]!;
  }
  const mean = total / samples;
  let squares = 0;
  for (let g = 0; g < groups; g++) squares += (sums[g]! - sizes[g]! * mean) ** 2;
  return ((groups / (groups - 1)) * squares) / samples ** 2;
}
