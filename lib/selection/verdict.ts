import type { Interval } from '../statistics/intervals.js';
import type { Steps } from '../statistics/turns.js';
import { type Contribution, combine, contribution, simultaneousBand } from './band.js';
import { bootstrapSelection, checkResamples, type Resamples, type SelectionBootstrap } from './bootstrap.js';
import { evidenceOf } from './criteria.js';
import { curvesOf, nearestAlpha, type Outcomes } from './curves.js';
import { percent, points, pointsInterval } from './figures.js';
import { hasPart, oneGroup } from './group-counts.js';
import type { Rule } from './rule.js';
import { decide, select } from './rules.js';

/** The chosen alpha against another one, on the accuracy that stands for the rule. */
export interface Comparison {
  readonly against: 'runner-up' | 'zero-shot' | 'fine-tuned';
  readonly alpha: number;
  /** Chosen less other. */
  readonly difference: number;
  /** Paired, and simultaneous over all alphas: alpha was chosen on these samples, and by the largest difference. */
  readonly interval: Interval | null;
  /** The interval contains 0; null, as it is, where the rule uses a set of one group. */
  readonly insideNoise: boolean | null;
}

/** How firm a choice of alpha is. */
export interface Verdict {
  readonly alpha: number;
  readonly comparisons: readonly Comparison[];
  /**
   * Alphas that the data do not tell from the chosen one: 0 lies in the simultaneous band of the paired
   * differences to all alphas. Null without a band.
   */
  readonly indistinguishable: readonly number[] | null;
  readonly selection: SelectionBootstrap;
  /** Whole sentences with the figures; empty where nothing speaks against the choice. */
  readonly warnings: readonly string[];
}

/**
 * Is the choice of alpha inside the noise? Compares it, paired by sample, with the runner-up, both ends and all
 * alphas at once, and looks at how the choice varies over `resamples` (one per set of `outcomes`). Throws as
 * `select`.
 */
export function* judge(
  outcomes: Outcomes,
  rule: Rule,
  resamples: Resamples,
  confidence = 0.95,
): Steps<Verdict> {
  const curves = curvesOf(outcomes);
  checkResamples(curves, resamples);
  const { alphas } = curves;
  const choice = select(curves, rule);
  const { index, alpha } = choice;
  const { score } = decide(rule, alphas, curves.sets.map(evidenceOf));

  // The sets' weights at the chosen alpha and at each other one are those of the data, as for standard errors.
  const weights = [...alphas.keys()].map((k) => score.weights(k));
  const leads = (s: number) => weights.map((at, k) => combine([index, weights[index]![s]!], [k, -at[s]!]));
  const parts: Contribution[] = [];
  for (const [s, set] of curves.sets.entries()) {
    if (!weights.some((at) => at[s] !== 0)) continue;
    parts.push(contribution(resamples, s, set, leads(s)));
    yield;
  }
  const difference = score.value.map((value) => score.value[index]! - value);
  const unknown = curves.sets.some((set) => hasPart(rule, set, curves.sets) && oneGroup(set));
  const band = unknown ? null : yield* simultaneousBand(parts, confidence);

  const others: [Comparison['against'], number][] = [
    ['zero-shot', nearestAlpha(alphas, 0)],
    ['fine-tuned', nearestAlpha(alphas, 1)],
  ];
  if (choice.runnerUp) others.unshift(['runner-up', alphas.indexOf(choice.runnerUp.alpha)]);
  const comparisons = others
    .filter(([, k]) => k !== index)
    .map(([against, k]): Comparison => {
      const interval = band && { lower: band.lower[k]!, upper: band.upper[k]! };
      const insideNoise = interval && interval.lower <= 0 && interval.upper >= 0;
      return { against, alpha: alphas[k]!, difference: difference[k]!, interval, insideNoise };
    });
  const indistinguishable = band && [...alphas].filter((_, k) => band.lower[k]! <= 0 && band.upper[k]! >= 0);
  const selection = yield* bootstrapSelection(outcomes, rule, resamples, confidence);
  return {
    alpha,
    comparisons,
    indistinguishable,
    selection,
    warnings: [
      ...comparisons.flatMap((comparison) => compare(alpha, comparison, confidence)),
      ...spread(alpha, indistinguishable),
      ...variation(rule, alpha, alphas, selection, confidence),
    ],
  };
}

function compare(alpha: number, comparison: Comparison, confidence: number): string[] {
  const { against, difference, interval, insideNoise } = comparison;
  if (!interval) return [];
  const figures = `${points(difference)}, simultaneous ${100 * confidence} % interval ${pointsInterval(interval)}`;
  const other = `the ${against}${against === 'runner-up' ? '' : ' end'} (alpha ${comparison.alpha})`;
  if (insideNoise) return [`The lead of alpha ${alpha} over ${other} is inside the noise: ${figures}.`];
  // A rule that trades accuracy for robustness may be below an end, and that should not go unsaid.
  return difference < 0 ? [`Alpha ${alpha} is below ${other}: ${figures}.`] : [];
}

function spread(alpha: number, indistinguishable: readonly number[] | null): string[] {
  if (!indistinguishable) return [];
  const others = indistinguishable.filter((other) => other !== alpha);
  if (others.length === 0) return [];
  const several = `${others.length} other alpha${others.length === 1 ? '' : 's'}`;
  return [
    `These samples cannot tell alpha ${alpha} from ${several} (${indistinguishable[0]} to ${indistinguishable.at(-1)}); more samples might.`,
  ];
}

function variation(
  rule: Rule,
  alpha: number,
  alphas: Float64Array,
  { alpha: interval, score, optimism }: SelectionBootstrap,
  confidence: number,
): string[] {
  if (rule.kind === 'fixed') return [];
  const warnings: string[] = [];
  if (interval && interval.lower < interval.upper)
    warnings.push(
      `With other samples the rule would choose alpha from ${interval.lower} to ${interval.upper} (${100 * confidence} % interval).`,
    );
  if (optimism !== null && optimism > 0.0005)
    warnings.push(
      `${percent(score)} is about ${points(optimism)} too high, because alpha was chosen on the same samples; report figures on others.`,
    );
  const end = alpha === alphas[0] ? 'lowest' : alpha === alphas.at(-1) ? 'highest' : undefined;
  if (end && alphas.length > 1)
    warnings.push(
      `Alpha ${alpha} is the ${end} that was evaluated: the best may lie beyond, or there is no gain.`,
    );
  return warnings;
}
