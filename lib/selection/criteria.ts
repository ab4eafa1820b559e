import { WisemergeError } from '../errors.js';
import type { SetKind } from '../eval/data/evaluation-set.js';
import { Clusters } from '../statistics/clusters.js';
import { tieTolerance } from '../statistics/step-function.js';
import type { CurveSet } from './curves.js';
import { oneGroup } from './group-counts.js';
import { formatRule, type MaxRule, type Rule } from './rule.js';

/** Correct at the first alpha, at the second, at both. */
export type JointShares = readonly [first: number, second: number, both: number];

/** What a rule may know of a set: of all its samples, of those in some folds, or of a resample. */
export interface SetEvidence extends Pick<CurveSet, 'name' | 'role' | 'kind' | 'samples' | 'accuracy'> {
  /**
   * Shares of the samples that are correct at the first alpha, at the second and at both; alphas by index. For
   * standard errors only; for a resample, those of the data it was drawn from.
   */
  readonly joint?: ((first: number, second: number) => JointShares) | undefined;
  /** Of samples in groups, in place of `joint`: the variance of the mean of the weighted difference. */
  readonly clustered?: ClusteredVariance | undefined;
  /** Of samples in groups: there is but one, and `clustered` is infinite. */
  readonly oneGroup?: boolean | undefined;
}

/** As `Clusters.variance`. */
export type ClusteredVariance = (first: number, second: number, weights: readonly [number, number]) => number;

/** An accuracy per alpha: at alpha k the sum over sets of `weights(k)[set] * accuracy[set][k]`. */
export interface Objective {
  readonly value: Float64Array;
  readonly weights: (alpha: number) => Float64Array;
  /** For people: "mean accuracy of id, sketch". */
  readonly name: string;
}

/** The evidence of a set with all its samples. */
export function evidenceOf({ correct, groups, ...set }: CurveSet): SetEvidence {
  const { accuracy } = set;
  let clusters: Clusters | undefined;
  // Resamples ask for the same ones again and again.
  const variances = new Map<string, number>();
  return {
    ...set,
    ...(correct &&
      groups && {
        oneGroup: oneGroup({ groups }),
        clustered: (j, k, weights) => {
          clusters ??= new Clusters(correct, groups);
          const key = [j, k, ...weights].join();
          const variance = variances.get(key) ?? clusters.variance(j, k, weights);
          variances.set(key, variance);
          return variance;
        },
      }),
    joint: correct && ((j, k) => [accuracy[j]!, accuracy[k]!, correct.countAnd(j, k) / correct.columns]),
  };
}

/** The accuracy that a rule maximises, without its constraint. Throws ERR_USAGE or ERR_REPORT_SET. */
export function objectiveOf(rule: MaxRule, sets: readonly SetEvidence[]): Objective {
  switch (rule.kind) {
    case 'max-id':
      return meanOf(sets, requireSets(sets, rule, 'id'));
    case 'max-shift':
      return meanOf(sets, requireSets(sets, rule, 'shift'));
    case 'max-mean':
      return meanOf(sets, rule.weights ? namedWeights(sets, rule) : requireSets(sets, rule));
    case 'max-worst':
      return worstOf(sets, requireSets(sets, rule));
  }
}

/**
 * Weights, one per set, 1 for those that a rule may choose on, all or of one kind. Throws ERR_REPORT_SET where
 * such sets are there but kept for reporting, ERR_USAGE where there is none.
 */
export function requireSets(sets: readonly SetEvidence[], rule: Rule, kind?: SetKind): Float64Array {
  const ofKind = sets.filter((set) => kind === undefined || set.kind === kind);
  const weights = Float64Array.from(sets, (set) => (ofKind.includes(set) && set.role === 'select' ? 1 : 0));
  if (weights.includes(1)) return weights;
  const what = kind === undefined ? 'an evaluation set' : kind === 'id' ? 'an ID set' : 'a shift set';
  if (ofKind.length > 0) throw reportSets(rule, ofKind);
  throw new WisemergeError('ERR_USAGE', `rule ${formatRule(rule)} needs ${what}, and there is none`, {
    hint: `Add a set of role "select"${kind ? ` and kind "${kind}"` : ''}, or use another rule.`,
  });
}

function reportSets(rule: Rule, sets: readonly SetEvidence[]): WisemergeError {
  const names = sets.map(({ name }) => name);
  const plural = names.length > 1;
  return new WisemergeError(
    'ERR_REPORT_SET',
    `rule ${formatRule(rule)} would choose alpha on ${names.join(', ')}, which ${plural ? 'are' : 'is'} kept for reporting`,
    {
      hint: 'A figure on the data that alpha was chosen on is too good. Choose on other samples, of role "select".',
      details: { sets: names },
    },
  );
}

function namedWeights(sets: readonly SetEvidence[], rule: MaxRule & { kind: 'max-mean' }): Float64Array {
  const weights = new Float64Array(sets.length);
  for (const { set: name, weight } of rule.weights ?? []) {
    const at = sets.findIndex((set) => set.name === name);
    if (at < 0)
      throw new WisemergeError('ERR_USAGE', `rule ${formatRule(rule)}: there is no set ${name}`, {
        hint: `Sets are ${sets.map((set) => set.name).join(', ')}.`,
      });
    if (sets[at]!.role === 'report') throw reportSets(rule, [sets[at]!]);
    weights[at] = weight;
  }
  if (!weights.some((weight) => weight > 0))
    throw new WisemergeError('ERR_USAGE', `rule ${formatRule(rule)}: every weight is 0`);
  return weights;
}

/** The mean accuracy over sets, with weights of any sum. */
export function meanOf(sets: readonly SetEvidence[], weights: Float64Array): Objective {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const share = weights.map((weight) => weight / total);
  const used = sets.filter((_, s) => weights[s]! > 0);
  const value = new Float64Array(sets[0]!.accuracy.length);
  for (const [s, { accuracy }] of sets.entries()) {
    if (share[s]! > 0) for (let k = 0; k < value.length; k++) value[k]! += share[s]! * accuracy[k]!;
  }
  const names = used.map(({ name }) => name).join(', ');
  const shares = share.filter((one) => one > 0);
  const equal = Math.max(...shares) - Math.min(...shares) < tieTolerance;
  return {
    value,
    weights: () => share,
    name: used.length > 1 ? `${equal ? '' : 'weighted '}mean accuracy of ${names}` : `accuracy on ${names}`,
  };
}

function worstOf(sets: readonly SetEvidence[], used: Float64Array): Objective {
  const length = sets[0]!.accuracy.length;
  const worst = new Uint32Array(length);
  const value = new Float64Array(length).fill(Number.POSITIVE_INFINITY);
  for (const [s, { accuracy }] of sets.entries()) {
    if (used[s] === 0) continue;
    for (let k = 0; k < length; k++) {
      if (accuracy[k]! >= value[k]!) continue;
      value[k] = accuracy[k]!;
      worst[k] = s;
    }
  }
  return {
    value,
    weights: (k) => Float64Array.from(sets, (_, s) => (s === worst[k] ? 1 : 0)),
    name: `accuracy on the worst of ${sets
      .filter((_, s) => used[s]! > 0)
      .map(({ name }) => name)
      .join(', ')}`,
  };
}

/**
 * Standard error of the difference of an objective between two alphas, paired by sample: sets are independent,
 * and within one the variance of w_j X_j - w_k X_k has the covariance of the two 0/1 outcomes; of samples in groups
 * it is `clusterVariance`, infinite for one group. Throws ERR_USAGE where per-sample results are missing.
 */
export function pairedStandardError(
  sets: readonly SetEvidence[],
  objective: Objective,
  first: number,
  second: number,
): number {
  const [wj, wk] = [objective.weights(first), objective.weights(second)];
  let variance = 0;
  for (const [s, set] of sets.entries()) {
    if (wj[s] === 0 && wk[s] === 0) continue;
    if (!set.joint)
      throw new WisemergeError(
        'ERR_USAGE',
        `the standard error needs per-sample results of set ${set.name}`,
        {
          hint: 'Use a rule without standard error, such as max-mean.',
        },
      );
    if (set.clustered) {
      variance += set.clustered(first, second, [wj[s]!, wk[s]!]);
      continue;
    }
    const [pj, pk, both] = set.joint(first, second);
    const covariance = both - pj * pk;
    const each = wj[s]! ** 2 * pj * (1 - pj) + wk[s]! ** 2 * pk * (1 - pk) - 2 * wj[s]! * wk[s]! * covariance;
    variance += each / set.samples;
  }
  return Math.sqrt(Math.max(0, variance));
}

/**
 * Height of each point above the chord of the Pareto frontier of two accuracies, -Infinity off the frontier.
 * The frontier's ranges are normalised to 1, so that its ends are (0, 1) and (1, 0) and the height of (x, y)
 * is (x + y - 1) / sqrt(2). A frontier of one point has height 0.
 */
export function kneeHeights(id: Float64Array, shift: Float64Array): Float64Array {
  const dominated = (k: number): boolean =>
    id.some(
      (_, j) =>
        id[j]! >= id[k]! - tieTolerance &&
        shift[j]! >= shift[k]! - tieTolerance &&
        (id[j]! > id[k]! + tieTolerance || shift[j]! > shift[k]! + tieTolerance),
    );
  const frontier = [...id.keys()].filter((k) => !dominated(k));
  const scale = (values: Float64Array): ((k: number) => number) => {
    const used = frontier.map((k) => values[k]!);
    const least = Math.min(...used);
    const range = Math.max(...used) - least;
    return (k) => (values[k]! - least) / range;
  };
  const [x, y] = [scale(id), scale(shift)];
  const heights = new Float64Array(id.length).fill(Number.NEGATIVE_INFINITY);
  for (const k of frontier) {
    const height = (x(k) + y(k) - 1) / Math.SQRT2;
    heights[k] = Number.isFinite(height) ? height : 0;
  }
  return heights;
}
