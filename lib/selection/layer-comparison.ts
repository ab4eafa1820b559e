import type { SetKind, SetRole } from '../eval/data/evaluation-set.js';
import type { BitMatrix } from '../statistics/bits.js';
import { Clusters, clusterVariance, type GroupSums } from '../statistics/clusters.js';
import { type Addend, halfWidth, quantilesOf, uncertaintyOf } from '../statistics/few-units.js';
import { foldsOf, stratifiedFolds } from '../statistics/folds.js';
import type { SetEvidence } from './criteria.js';
import { splitSet } from './cross-validation.js';
import type { OutcomeSet } from './curves.js';
import { percent, points, pointsInterval } from './figures.js';
import type { Rule } from './rule.js';
import { decide } from './rules.js';

/** Two models on the same samples: accuracies from 0 to 1. */
export interface PairedScores {
  readonly single: number;
  readonly layered: number;
  /** layered - single. */
  readonly difference: number;
  /**
   * 95 %, Student's (`halfWidth`, `uncertaintyOf`), paired by sample or, where samples are in groups, by group; null for scores alone and one group.
   */
  readonly interval: { readonly lower: number; readonly upper: number } | null;
}

/** What alphas by layer gain over the best single one, where they had no part in the choice. */
export interface LayerComparison extends PairedScores {
  /**
   * `report`: means over the sets of that role. `folds`: over the select sets, each sample scored by what the rule
   * chooses on the other folds; the points were found on all samples, which flatters those by layer.
   */
  readonly on: 'report' | 'folds';
  readonly sets: readonly string[];
  /** The interval holds 0; null without one. */
  readonly withinNoise: boolean | null;
}

/** Of samples: right at one of the two alone. */
interface Discordant {
  readonly samples: number;
  readonly single: number;
  readonly onlySingle: number;
  readonly onlyLayered: number;
  /** Both are one model, which cannot differ from itself on any sample. */
  readonly oneModel?: boolean;
  /** Of samples in groups, by group: layered less single. */
  readonly groups?: GroupSums;
}

const confidence = 0.95;

/** Rows of one set against each other; a row against itself is one model. */
export function compareRows(
  correct: BitMatrix,
  single: number,
  layered: number,
  groups?: ArrayLike<number>,
): PairedScores {
  return pairedScores([discordantRows(correct, single, layered, groups)]);
}

/** The mean of accuracies over sets of independent samples. */
export function pairedScores(sets: readonly Discordant[]): PairedScores {
  const mean = (of: (set: Discordant) => number) =>
    sets.reduce((sum, set) => sum + of(set) / set.samples, 0) / sets.length;
  const single = mean((set) => set.single);
  const difference = mean(({ onlyLayered, onlySingle }) => onlyLayered - onlySingle);
  const scores = { single, layered: single + difference, difference };
  if (sets.some(({ groups }) => groups?.sums.length === 1)) return { ...scores, interval: null };
  const addends = sets.map((set) => addendOf(set, 1 / sets.length));
  const { variances, above, below } = uncertaintyOf(addends, confidence);
  const half = halfWidth(variances, quantilesOf(addends, 1 - confidence));
  const lower = Math.max(-1, difference - half - above);
  return { ...scores, interval: { lower, upper: Math.min(1, difference + half + below) } };
}

/** The mean of n values of -1, 0 and 1, with a weight. */
function addendOf(
  { samples: n, onlySingle, onlyLayered, groups, oneModel }: Discordant,
  weight: number,
): Addend {
  const d = (onlyLayered - onlySingle) / n;
  const most = oneModel ? 0 : weight;
  const bySample = n > 1 ? ((onlyLayered + onlySingle) / n - d * d) / (n - 1) : 0;
  const variance = weight ** 2 * Math.max(0, groups ? clusterVariance(groups) : bySample);
  return { value: weight * d, least: -most, most, variance, units: groups?.sums.length ?? n };
}

/** With `interval` alone where all sets have results of samples; a row against itself is one model. */
export function compareOnReport(
  sets: readonly {
    readonly name: string;
    readonly role: SetRole;
    readonly correct?: BitMatrix;
    readonly groups?: ArrayLike<number>;
    readonly accuracy: Float64Array;
  }[],
  single: number,
  layered: number,
): LayerComparison | undefined {
  const report = sets.filter(({ role }) => role === 'report');
  if (report.length === 0) return undefined;
  const names = report.map(({ name }) => name);
  const known = report.flatMap(({ correct, groups }) =>
    correct ? [discordantRows(correct, single, layered, groups)] : [],
  );
  if (known.length === report.length) return noted('report', names, pairedScores(known));
  const mean = (k: number) => report.reduce((sum, { accuracy }) => sum + accuracy[k]!, 0) / report.length;
  const scores = { single: mean(single), layered: mean(layered) };
  const difference = scores.layered - scores.single;
  return noted('report', names, { ...scores, difference, interval: null });
}

export interface FoldOptions {
  readonly folds?: number;
  readonly seed: number;
}

/**
 * Chooses among the first `line` models, and among all, on all folds but one, and scores both choices on that one.
 * `alphas` break ties as in `decide`. Undefined without select sets.
 */
export function compareOnFolds(
  outcomes: readonly OutcomeSet[],
  alphas: Float64Array,
  line: number,
  rule: Rule,
  { folds: asked, seed }: FoldOptions,
): LayerComparison | undefined {
  const sets = outcomes.filter(({ role }) => role === 'select');
  if (sets.length === 0) return undefined;
  const { folds } = foldsOf(
    sets.map((set) => ({ ...set, samples: set.correct.columns })),
    asked,
  );
  if (folds === null) return undefined;
  const split = sets.map((set, s) => splitSet(set, folds, 1, seed, s));
  const partitions = sets.map(({ correct, labels, groups }, s) => {
    const given = { ...(labels && { labels }), ...(groups && { groups }) };
    return stratifiedFolds(correct.columns, { folds, seed, stream: s, ...given })[0]!;
  });
  const sums = sets.map(({ correct, groups }) => {
    const clusters = groups && new Clusters(correct, groups);
    return {
      ...{ samples: correct.columns, single: 0, onlySingle: 0, onlyLayered: 0, oneModel: true },
      ...(clusters && {
        of: clusters.of,
        groups: { sums: new Float64Array(clusters.sizes.length), sizes: clusters.sizes },
      }),
    };
  });
  for (let fold = 0; fold < folds; fold++) {
    const training = split.map((set) => set.training(0, fold));
    const onLine = training.map((set): SetEvidence => ({ ...set, accuracy: set.accuracy.subarray(0, line) }));
    const single = decide(rule, alphas.subarray(0, line), onLine).index;
    const layered = decide(rule, alphas, training).index;
    for (const sum of sums) sum.oneModel &&= single === layered;
    for (const [s, { correct }] of sets.entries()) {
      const [a, b, sum] = [correct.row(single), correct.row(layered), sums[s]!];
      for (const [i, of] of partitions[s]!.entries()) {
        if (of !== fold) continue;
        const [x, y] = [(a[i >>> 5]! >>> (i & 31)) & 1, (b[i >>> 5]! >>> (i & 31)) & 1];
        sum.single += x;
        sum.onlySingle += x & (1 - y);
        sum.onlyLayered += y & (1 - x);
        if (sum.groups) sum.groups.sums[sum.of![i]!]! += y - x;
      }
    }
  }
  return noted(
    'folds',
    sets.map(({ name }) => name),
    pairedScores(sums),
  );
}

function noted(
  on: LayerComparison['on'],
  sets: readonly string[],
  { interval, ...scores }: PairedScores,
): LayerComparison {
  const withinNoise = interval && interval.lower <= 0 && interval.upper >= 0;
  return { on, sets, ...scores, interval, withinNoise };
}

function discordantRows(
  correct: BitMatrix,
  single: number,
  layered: number,
  groups?: ArrayLike<number>,
): Discordant {
  const clusters = groups && new Clusters(correct, groups);
  const both = correct.countAnd(single, layered);
  const [a, b] = [correct.count(single), correct.count(layered)];
  return {
    ...{ samples: correct.columns, single: a, onlySingle: a - both, onlyLayered: b - both },
    oneModel: single === layered,
    ...(clusters && { groups: { sums: clusters.differences(single, layered), sizes: clusters.sizes } }),
  };
}

/** For people: what alphas by layer are worth, and how firm that is. */
export function explainLayers({
  on,
  sets,
  single,
  layered,
  difference,
  interval,
  withinNoise,
}: LayerComparison): string {
  const where = on === 'report' ? `on ${sets.join(', ')}` : `on held-out folds of ${sets.join(', ')}`;
  const scores = `${where}: ${percent(layered)} by layer, ${percent(single)} with a single alpha`;
  const flatters =
    on === 'folds'
      ? ' All samples had a part in finding the points: a set of role report would tell more.'
      : '';
  if (!interval)
    return `${scores}; without results of samples, or with those of one group, there is no interval.${flatters}`;
  const verdict = withinNoise
    ? 'within the noise, so the single alpha is as good'
    : difference > 0
      ? 'more than the noise'
      : 'worse by more than the noise: use the single alpha';
  return `${scores}, a difference of ${points(difference)}, 95 % interval ${pointsInterval(interval)}: ${verdict}.${flatters}`;
}

/** A set as the search by layer reports it. */
export interface LayeredSet extends PairedScores {
  readonly name: string;
  readonly role: SetRole;
  readonly kind: SetKind;
  readonly samples: number;
}
