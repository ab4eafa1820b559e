import { WisemergeError } from '../errors.js';
import {
  type BitMatrix,
  bitCount,
  type DistinctColumns,
  distinctColumns,
  multipleCounts,
} from '../statistics/bits.js';
import { Clusters } from '../statistics/clusters.js';
import { partitioner } from '../statistics/folds.js';
import type { Steps } from '../statistics/turns.js';
import { evidenceOf, type SetEvidence } from './criteria.js';
import { curvesOf, nearestAlpha, type OutcomeSet, type Outcomes } from './curves.js';
import { formatRule, type Rule } from './rule.js';
import { decide, type Selection, scoreOf, select } from './rules.js';

export interface CrossValidationOptions {
  /** Number of folds. Default 5. */
  readonly folds?: number;
  /** Independent partitions. Default 1. */
  readonly repeats?: number;
  readonly seed: number;
}

/** Accuracies on samples that had no part in choosing alpha. */
export interface HeldOutScore {
  /** Null where each fold has its own. */
  readonly alpha: number | null;
  /** Per set, the share of held-out samples that are correct, over all folds and repeats. */
  readonly accuracy: readonly number[];
  /** What the rule scores, of `accuracy`: for `max-worst` that of the worst set, for `max-id` the mean of the ID sets. */
  readonly score: number;
  /** The mean of `accuracy` over the sets. */
  readonly mean: number;
  /** Standard deviation, over folds and repeats, of a fold's mean accuracy over the sets. */
  readonly spread: number;
}

export interface CrossValidation {
  readonly rule: string;
  /** What `score` is, for people: "accuracy on val". */
  readonly objective: string;
  readonly folds: number;
  readonly repeats: number;
  /** Names of the sets of role `select`, the order of all accuracies below. */
  readonly sets: readonly string[];
  /** What the other folds chose, and what came of it in this one. */
  readonly choices: readonly {
    readonly repeat: number;
    readonly fold: number;
    readonly alpha: number;
    readonly accuracy: readonly number[];
  }[];
  /** The rule, alpha chosen without the samples it is scored on. */
  readonly chosen: HeldOutScore;
  /** On the same folds: the evaluated alphas nearest 0.5, 0 and 1. */
  readonly fixed: HeldOutScore;
  readonly zeroshot: HeldOutScore;
  readonly finetuned: HeldOutScore;
  /** The rule on all folds: the alpha to use. */
  readonly refit: Selection;
}

/**
 * K-fold cross-validation of a selection rule: alpha is chosen on K - 1 folds of every select set and scored on
 * the last. Folds are stratified by `labels` and keep `groups` together. Sets kept for reporting have no part
 * in it. Throws as `select`, be it for a training part (`undefinedFold` tells beforehand), and as `stratifiedFolds`.
 */
export function* crossValidate(
  outcomes: Outcomes,
  rule: Rule,
  options: CrossValidationOptions,
): Steps<CrossValidation> {
  const { folds = 5, repeats = 1, seed } = options;
  const curves = curvesOf(outcomes);
  const refit = select(curves, rule);
  const { alphas } = outcomes;
  const sets = outcomes.sets.filter(({ role }) => role === 'select');
  if (sets.length === 0)
    throw new WisemergeError('ERR_USAGE', 'cross-validation needs a set to choose alpha on', {
      hint: 'Add a set of role "select".',
    });
  const split = sets.map((set, s) => splitSet(set, folds, repeats, seed, s));

  const scored = (accuracy: Float64Array): number =>
    scoreOf(
      rule,
      sets.map(({ name, role, kind, correct }, s) => ({
        ...{ name, role, kind, samples: correct.columns },
        accuracy: accuracy.subarray(s, s + 1),
      })),
    ).value[0]!;
  const tallies = { chosen: new Tally(split, scored), fixed: new Tally(split, scored) };
  const ends = { zeroshot: new Tally(split, scored), finetuned: new Tally(split, scored) };
  const [half, zero, one] = [0.5, 0, 1].map((alpha) => nearestAlpha(alphas, alpha)) as [
    number,
    number,
    number,
  ];
  const choices: CrossValidation['choices'][number][] = [];
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (let fold = 0; fold < folds; fold++) {
      const training = split.map((set) => set.training(repeat, fold));
      const { index } = decide(rule, alphas, training);
      const accuracy = tallies.chosen.add(repeat, fold, index);
      tallies.fixed.add(repeat, fold, half);
      ends.zeroshot.add(repeat, fold, zero);
      ends.finetuned.add(repeat, fold, one);
      choices.push({ repeat, fold, alpha: alphas[index]!, accuracy: [...accuracy] });
      yield;
    }
  }
  return {
    rule: formatRule(rule),
    objective: scoreOf(rule, curves.sets.map(evidenceOf)).name,
    folds,
    repeats,
    sets: sets.map(({ name }) => name),
    choices,
    chosen: tallies.chosen.score(null),
    fixed: tallies.fixed.score(alphas[half]!),
    zeroshot: ends.zeroshot.score(alphas[zero]!),
    finetuned: ends.finetuned.score(alphas[one]!),
    refit,
  };
}

/** Whether what the rule scores is the plain mean of all its sets. */
export function scoresMean({ chosen, fixed, zeroshot, finetuned }: CrossValidation): boolean {
  return [chosen, fixed, zeroshot, finetuned].every(({ score, mean }) => Math.abs(score - mean) < 1e-12);
}

/** A set in folds; fastest where one repeat is asked for after the other. */
export interface SplitSet {
  /** What may be known without a fold. */
  training(repeat: number, fold: number): SetEvidence;
  /** `[correct, samples]` of a fold at an alpha. */
  heldOut(repeat: number, fold: number, alpha: number): readonly [number, number];
}

export function splitSet(
  set: OutcomeSet,
  folds: number,
  repeats: number,
  seed: number,
  stream: number,
): SplitSet {
  const { name, role, kind, correct, labels, groups } = set;
  const { rows, columns } = correct;
  const partitionOf = partitioner(columns, {
    folds,
    repeats,
    seed,
    stream,
    ...(labels && { labels }),
    ...(groups && { groups }),
  });
  const totals = Uint32Array.from({ length: rows }, (_, k) => correct.count(k));
  const distinct = distinctColumns(correct);
  const clusters = groups && new Clusters(correct, groups);
  let last: (FoldTable & { readonly repeat: number; readonly partition: Uint8Array }) | undefined;
  const tableOf = (repeat: number) => {
    if (last?.repeat === repeat) return last;
    const partition = partitionOf(repeat);
    last = { repeat, partition, ...countByFold(distinct, partition, folds) };
    return last;
  };
  return {
    training(repeat, fold) {
      const { partition, sizes, counts } = tableOf(repeat);
      const samples = columns - sizes[fold]!;
      const accuracy = Float64Array.from(totals, (total, k) => (total - counts[k * folds + fold]!) / samples);
      const joint: SetEvidence['joint'] = (j, k) => {
        const both = countAndOutside(correct, j, k, partition, fold);
        return [accuracy[j]!, accuracy[k]!, both / samples];
      };
      if (!clusters) return { name, role, kind, samples, accuracy, joint };
      const outside = groupsOutside(clusters, partition, fold);
      const clustered: SetEvidence['clustered'] = (j, k, weights) =>
        clusters.variance(j, k, weights, outside);
      return { name, role, kind, samples, accuracy, joint, clustered, oneGroup: outside.length === 1 };
    },
    heldOut(repeat, fold, alpha) {
      const { sizes, counts } = tableOf(repeat);
      return [counts[alpha * folds + fold]!, sizes[fold]!];
    },
  };
}

/** Groups lie in one fold each. */
function groupsOutside({ of, sizes }: Clusters, partition: Uint8Array, fold: number): number[] {
  const folds = new Uint8Array(sizes.length);
  for (const [i, group] of of.entries()) folds[group] = partition[i]!;
  return [...sizes.keys()].filter((group) => folds[group] !== fold);
}

interface FoldTable {
  /** Samples of each fold. */
  readonly sizes: Uint32Array;
  /** Correct ones by `[alpha][fold]`. */
  readonly counts: Uint32Array;
}

function countByFold(distinct: DistinctColumns, partition: Uint8Array, folds: number): FoldTable {
  const { matrix, of } = distinct;
  const { rows, columns } = matrix;
  const sizes = new Uint32Array(folds);
  const members = Array.from({ length: folds }, () => new Uint32Array(columns));
  for (let i = 0; i < of.length; i++) {
    const fold = partition[i]!;
    sizes[fold]!++;
    members[fold]![of[i]!]!++;
  }
  const counts = new Uint32Array(rows * folds);
  for (const [fold, multiples] of members.entries()) {
    for (const [row, count] of multipleCounts(matrix, multiples).entries())
      counts[row * folds + fold] = count;
  }
  return { sizes, counts };
}

/** Samples outside a fold that are correct at both of two alphas. */
function countAndOutside(
  correct: BitMatrix,
  first: number,
  second: number,
  partition: Uint8Array,
  fold: number,
): number {
  const [a, b] = [correct.row(first), correct.row(second)];
  let total = 0;
  for (let i = 0; i < a.length; i++) {
    let word = a[i]! & b[i]!;
    total += bitCount(word);
    for (; word !== 0; word &= word - 1)
      if (partition[32 * i + 31 - Math.clz32(word & -word)] === fold) total--;
  }
  return total;
}

/** Held-out results as they come in, fold by fold. */
class Tally {
  readonly #sets: readonly SplitSet[];
  readonly #correct: Float64Array;
  readonly #samples: Float64Array;
  readonly #means: number[] = [];
  readonly #scored: (accuracy: Float64Array) => number;

  /** `scored` gives what the rule scores, of the accuracies of the sets. */
  constructor(sets: readonly SplitSet[], scored: (accuracy: Float64Array) => number) {
    this.#sets = sets;
    this.#scored = scored;
    this.#correct = new Float64Array(sets.length);
    this.#samples = new Float64Array(sets.length);
  }

  /** Scores an alpha on a fold; returns its accuracy per set. */
  add(repeat: number, fold: number, alpha: number): Float64Array {
    const accuracy = new Float64Array(this.#sets.length);
    for (const [s, set] of this.#sets.entries()) {
      const [correct, samples] = set.heldOut(repeat, fold, alpha);
      this.#correct[s]! += correct;
      this.#samples[s]! += samples;
      accuracy[s] = correct / samples;
    }
    this.#means.push(meanOfValues(accuracy));
    return accuracy;
  }

  score(alpha: number | null): HeldOutScore {
    const accuracy = this.#correct.map((correct, s) => correct / this.#samples[s]!);
    const centre = meanOfValues(this.#means);
    const squares = this.#means.reduce((sum, value) => sum + (value - centre) ** 2, 0);
    return {
      alpha,
      accuracy: [...accuracy],
      score: this.#scored(accuracy),
      mean: meanOfValues(accuracy),
      spread: Math.sqrt(squares / (this.#means.length - 1)),
    };
  }
}

function meanOfValues(values: ArrayLike<number>): number {
  return Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;
}
