import { type CorrectIntervals, correctBits } from './correct-intervals.js';
import type { Groups } from './data/groups.js';

/** Columns of the sums that native code gives per alpha (native/include/wisemerge/head.h). */
export const metricColumns = 52;
const bins = 15;
const column = { top5: 1, nll: 2, nllSquares: 3, brier: 4, zeroshot: 5, finetuned: 6, bins: 7 } as const;

export interface GroupAccuracy {
  readonly name: string;
  readonly samples: number;
  /** Top-1, 0 to 1. */
  readonly top1: number;
}

/** What follows from which samples are right. Shares are 0 to 1. */
export interface AccuracyMetrics {
  readonly samples: number;
  /** Share of samples whose label is the argmax; the lowest class wins a tie. */
  readonly top1: number;
  /** Mean over the classes that occur of the share of their samples classified correctly (balanced accuracy). */
  readonly meanPerClass: number;
  /** Where the set has groups. */
  readonly groups?: readonly GroupAccuracy[];
  /** The lowest accuracy of a group. */
  readonly worstGroup?: GroupAccuracy;
}

/** What one candidate scores on one set. Shares are 0 to 1, logarithms natural. */
export interface Metrics extends AccuracyMetrics {
  /** Share of samples with fewer than 5 classes above the label. */
  readonly top5: number;
  /** Mean over the classes that occur of the F1 score, as WILDS takes it; one that is only ever predicted counts in no mean. */
  readonly macroF1: number;
  /** Mean negative log-likelihood, in nats. */
  readonly nll: number;
  /** Of text: e^nll. */
  readonly perplexity?: number;
  /** Its standard error over samples, too small where they are in groups: only sums over all are kept. 0 for a single sample. */
  readonly nllStandardError: number;
  /** Expected calibration error in 15 bins of equal width (Guo et al., 2017). */
  readonly ece: number;
  /** Mean squared distance of the probabilities to the one-hot label, 0 to 2. */
  readonly brier: number;
  /** Share of samples predicted otherwise than by the ends. */
  readonly disagreement: { readonly zeroshot: number; readonly finetuned: number };
}

/** The samples of a set by class and group, which are the same at every alpha. */
export interface Population {
  readonly labels: Int32Array;
  /** Samples by class. */
  readonly support: Uint32Array;
  readonly groups?: {
    readonly names: readonly string[];
    readonly ids: ArrayLike<number>;
    readonly samples: Uint32Array;
  };
}

export function populationOf(labels: Int32Array, classes: number, groups?: Groups): Population {
  const support = new Uint32Array(classes);
  for (let i = 0; i < labels.length; i++) support[labels[i]!]! += 1;
  if (!groups) return { labels, support };
  const samples = new Uint32Array(groups.names.length);
  for (let i = 0; i < labels.length; i++) samples[groups.ids[i]!]! += 1;
  return { labels, support, groups: { ...groups, samples } };
}

interface Hits {
  readonly correct: number;
  /** Correct samples by class. */
  readonly hits: Uint32Array;
  readonly groups?: ReturnType<typeof groupMetrics>;
}

function hitsAt(alpha: number, intervals: CorrectIntervals, { labels, support, groups }: Population): Hits {
  const bits = new Uint32Array(Math.ceil(labels.length / 32));
  correctBits(intervals, alpha, bits);
  const hits = new Uint32Array(support.length);
  const groupHits = new Uint32Array(groups?.names.length ?? 0);
  let correct = 0;
  for (let i = 0; i < bits.length; i++) {
    for (let word = bits[i]!; word !== 0; word &= word - 1) {
      const sample = 32 * i + 31 - Math.clz32(word & -word);
      correct++;
      hits[labels[sample]!]! += 1;
      if (groups) groupHits[groups.ids[sample]!]! += 1;
    }
  }
  return { correct, hits, ...(groups && { groups: groupMetrics(groups.names, groups.samples, groupHits) }) };
}

function meanRecall(support: Uint32Array, hits: Uint32Array): number {
  let recalls = 0;
  let occurring = 0;
  for (let c = 0; c < support.length; c++) {
    if (support[c]! === 0) continue;
    recalls += hits[c]! / support[c]!;
    occurring++;
  }
  return recalls / occurring;
}

/** Metrics that the exact curve alone gives. */
export function accuracyOf(
  alpha: number,
  intervals: CorrectIntervals,
  population: Population,
): AccuracyMetrics {
  const all = hitsAt(alpha, intervals, population);
  const samples = population.labels.length;
  return {
    samples,
    top1: all.correct / samples,
    meanPerClass: meanRecall(population.support, all.hits),
    ...all.groups,
  };
}

/**
 * Metrics from what a pass over a set has summed.
 *
 * @param sums `metricColumns` numbers of this alpha
 * @param predicted how often each class was predicted
 */
export function metricsOf(
  alpha: number,
  sums: Float64Array,
  predicted: Uint32Array,
  intervals: CorrectIntervals,
  population: Population,
): Metrics {
  const { labels, support } = population;
  const samples = labels.length;
  const classes = predicted.length;
  const all = hitsAt(alpha, intervals, population);
  const { hits } = all;
  let f1 = 0;
  let occurring = 0;
  for (let c = 0; c < classes; c++) {
    if (support[c]! === 0) continue;
    f1 += (2 * hits[c]!) / (support[c]! + predicted[c]!);
    occurring++;
  }
  const nll = sums[column.nll]! / samples;
  const variance = Math.max(0, sums[column.nllSquares]! / samples - nll * nll);
  return {
    samples,
    top1: all.correct / samples,
    top5: sums[column.top5]! / samples,
    meanPerClass: meanRecall(support, hits),
    macroF1: f1 / occurring,
    nll,
    nllStandardError: samples > 1 ? Math.sqrt(variance / (samples - 1)) : 0,
    ece: calibrationError(sums) / samples,
    brier: sums[column.brier]! / samples,
    disagreement: {
      zeroshot: sums[column.zeroshot]! / samples,
      finetuned: sums[column.finetuned]! / samples,
    },
    ...all.groups,
  };
}

function calibrationError(sums: Float64Array): number {
  let total = 0;
  for (let bin = 0; bin < bins; bin++) {
    total += Math.abs(sums[column.bins + bins + bin]! - sums[column.bins + 2 * bins + bin]!);
  }
  return total;
}

function groupMetrics(names: readonly string[], samples: Uint32Array, hits: Uint32Array) {
  const groups = names
    .map((name, g) => ({ name, samples: samples[g]!, top1: hits[g]! / samples[g]! }))
    .filter((group) => group.samples > 0);
  const worstGroup = groups.reduce((worst, group) => (group.top1 < worst.top1 ? group : worst));
  return { groups, worstGroup };
}
