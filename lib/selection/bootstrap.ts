import { WisemergeError } from '../errors.js';
import { multinomial } from '../statistics/binomial.js';
import { type BitMatrix, distinctColumns, multipleCounts } from '../statistics/bits.js';
import { checkConfidence, type Interval } from '../statistics/intervals.js';
import { maxReplicates } from '../statistics/limits.js';
import { Random } from '../statistics/random.js';
import type { Steps } from '../statistics/turns.js';
import { evidenceOf, type SetEvidence } from './criteria.js';
import { type Curves, curvesOf, type Outcomes } from './curves.js';
import { hasPart, oneGroup } from './group-counts.js';
import type { Rule } from './rule.js';
import { decide } from './rules.js';

/** Accuracies of resampled sets. */
export interface Resamples {
  readonly replicates: number;
  readonly sets: number;
  readonly alphas: number;
  /** `[replicate][set][alpha]`, row-major, each in [0, 1]. */
  readonly values: Float64Array;
}

/**
 * Paired bootstrap (Efron and Tibshirani, 1993, chapter 6): each replicate draws as many samples of each set as
 * it has, with replacement, the same ones for every alpha. `clusters` has a group per sample for sets whose
 * groups are drawn as a whole, as many groups as there are; accuracy is then over the samples drawn. The draws
 * for a set depend on the seed and its place in the list only. Throws ERR_USAGE, ERR_DATA or
 * ERR_DATA_MISMATCH.
 */
export function* resample(
  sets: readonly BitMatrix[],
  replicates: number,
  seed: number,
  clusters: readonly (ArrayLike<number> | undefined)[] = [],
): Steps<Resamples> {
  if (!(Number.isSafeInteger(replicates) && replicates >= 1 && replicates <= maxReplicates))
    throw new WisemergeError(
      'ERR_USAGE',
      `replicates: ${replicates} is not a whole number from 1 to ${maxReplicates}`,
    );
  const alphas = sets[0]?.rows ?? 0;
  const values = new Float64Array(replicates * sets.length * alphas);
  for (const [s, set] of sets.entries()) {
    if (set.rows !== alphas)
      throw new WisemergeError('ERR_DATA_MISMATCH', `sets with results at ${alphas} and ${set.rows} alphas`);
    if (set.columns === 0) throw new WisemergeError('ERR_DATA', 'a set without samples cannot be resampled');
    const distinct = distinctColumns(set);
    const counts = new Uint32Array(distinct.matrix.columns);
    const draw = drawer(distinct.of, counts.length, new Random(seed, s), clusters[s]);
    for (let r = 0; r < replicates; r++) {
      const row = values.subarray((r * sets.length + s) * alphas, (r * sets.length + s + 1) * alphas);
      counts.fill(0);
      const drawn = draw(counts);
      multipleCounts(distinct.matrix, counts, row);
      for (let k = 0; k < alphas; k++) row[k]! /= drawn;
      yield;
    }
  }
  return { replicates, sets: sets.length, alphas, values };
}

/** Draws a resample into counts of distinct columns; returns its size. */
function drawer(
  of: Uint32Array,
  columns: number,
  random: Random,
  groups: ArrayLike<number> | undefined,
): (counts: Uint32Array) => number {
  const samples = of.length;
  if (!groups) return sampleDrawer(of, columns, random);
  if (groups.length !== samples)
    throw new WisemergeError('ERR_DATA_MISMATCH', `${groups.length} groups for ${samples} samples`);
  const members = new Map<number, number[]>();
  for (let i = 0; i < samples; i++) {
    const list = members.get(groups[i]!);
    if (list) list.push(of[i]!);
    else members.set(groups[i]!, [of[i]!]);
  }
  const lists = [...members.values()];
  return (counts) => {
    let drawn = 0;
    for (let g = 0; g < lists.length; g++) {
      const list = lists[random.below(lists.length)]!;
      for (const column of list) counts[column]!++;
      drawn += list.length;
    }
    return drawn;
  };
}

/** Columns of fewer samples than this are drawn sample by sample: a binomial for each would cost more. */
const rare = 10;

/** Draws as many samples as there are, in one multinomial over the columns, all rare ones being one class of it. */
function sampleDrawer(of: Uint32Array, columns: number, random: Random): (counts: Uint32Array) => number {
  const members = new Uint32Array(columns);
  for (let i = 0; i < of.length; i++) members[of[i]!]!++;
  const common = [...members.keys()].filter((column) => members[column]! >= rare);
  const rest = of.filter((column) => members[column]! < rare);
  const sizes = Uint32Array.from([...common.map((column) => members[column]!), rest.length]);
  const drawn = new Uint32Array(sizes.length);
  return (counts) => {
    drawn.fill(0);
    multinomial(random, of.length, sizes, drawn);
    for (let i = 0; i < common.length; i++) counts[common[i]!] = drawn[i]!;
    for (let left = drawn[common.length]!; left > 0; left--) counts[rest[random.below(rest.length)]!]!++;
    return of.length;
  };
}

/** `resample` for the sets of a sweep, with their groups as clusters. */
export function resampleOutcomes({ sets }: Outcomes, replicates: number, seed: number): Steps<Resamples> {
  return resample(
    sets.map(({ correct }) => correct),
    replicates,
    seed,
    sets.map(({ groups }) => groups),
  );
}

/** The accuracy curves of one replicate, per set, not copied. */
export function replicateCurves({ sets, alphas, values }: Resamples, replicate: number): Float64Array[] {
  return Array.from({ length: sets }, (_, s) =>
    values.subarray((replicate * sets + s) * alphas, (replicate * sets + s + 1) * alphas),
  );
}

/** The p-quantile by linear interpolation between order statistics (definition 7 of Hyndman and Fan, 1996). */
export function quantile(sorted: Float64Array, p: number): number {
  const at = p * (sorted.length - 1);
  const below = Math.floor(at);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (at - below) * (high - low);
}

/** The percentile interval of a statistic from its replicates. */
export function percentileInterval(replicates: ArrayLike<number>, confidence = 0.95): Interval {
  checkConfidence(confidence);
  const sorted = Float64Array.from(replicates).sort();
  return { lower: quantile(sorted, (1 - confidence) / 2), upper: quantile(sorted, (1 + confidence) / 2) };
}

/**
 * The basic interval, the percentile one reflected at the estimate. For a maximum over alphas: noise pushes
 * it up, and pushes replicates up once more, which the reflection takes back.
 */
export function basicInterval(estimate: number, replicates: ArrayLike<number>, confidence = 0.95): Interval {
  const { lower, upper } = percentileInterval(replicates, confidence);
  return { lower: 2 * estimate - upper, upper: 2 * estimate - lower };
}

/** How a rule's choice would vary with the samples. */
export interface SelectionBootstrap {
  /** Percentile interval of the chosen alpha; this and what else follows from replicates is null for a set of one group. */
  readonly alpha: Interval | null;
  /** Share of replicates that choose each alpha. */
  readonly frequencies: readonly number[] | null;
  /** The accuracy that stands for the rule (`Decision.score`), at the chosen alpha. */
  readonly score: number;
  /** By how much that accuracy is too good because alpha was chosen on the same samples. */
  readonly optimism: number | null;
}

/**
 * Applies a rule to every replicate of `resamples`, one per set of `outcomes`. Optimism is the mean, over
 * replicates, of the replicate's own score at its choice less the score of the data there (Efron, JASA 78,
 * 1983). Standard errors of `one-se` are those of the data. Throws as `select`.
 */
export function* bootstrapSelection(
  outcomes: Outcomes,
  rule: Rule,
  resamples: Resamples,
  confidence = 0.95,
): Steps<SelectionBootstrap> {
  const { alphas, sets } = curvesOf(outcomes);
  checkResamples({ alphas, sets }, resamples);
  const evidence = sets.map(evidenceOf);
  const { index, score } = decide(rule, alphas, evidence);
  if (sets.some((set) => hasPart(rule, set, sets) && oneGroup(set)))
    return { alpha: null, frequencies: null, score: score.value[index]!, optimism: null };
  const frequencies = new Float64Array(alphas.length);
  const chosen = new Float64Array(resamples.replicates);
  let optimism = 0;
  for (let r = 0; r < resamples.replicates; r++) {
    const curves = replicateCurves(resamples, r);
    const drawn = evidence.map((set, s): SetEvidence => ({ ...set, accuracy: curves[s]! }));
    const decision = decide(rule, alphas, drawn);
    frequencies[decision.index]! += 1 / resamples.replicates;
    chosen[r] = alphas[decision.index]!;
    optimism += decision.score.value[decision.index]! - score.value[decision.index]!;
    yield;
  }
  return {
    alpha: percentileInterval(chosen, confidence),
    frequencies: [...frequencies],
    score: score.value[index]!,
    optimism: optimism / resamples.replicates,
  };
}

/** Throws ERR_DATA_MISMATCH where resamples are not of these sets and alphas. */
export function checkResamples({ alphas, sets }: Curves, resamples: Resamples): void {
  if (resamples.sets !== sets.length || resamples.alphas !== alphas.length)
    throw new WisemergeError(
      'ERR_DATA_MISMATCH',
      `resamples of ${resamples.sets} sets at ${resamples.alphas} alphas, for ${sets.length} sets at ${alphas.length}`,
    );
}
