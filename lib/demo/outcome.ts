import type { SetKind } from '../eval/data/evaluation-set.js';
import type { EvaluatedSet, SetEvaluation } from '../eval/evaluator.js';
import { crossValidate } from '../selection/cross-validation.js';
import type { Outcomes } from '../selection/curves.js';
import { nearestAlpha } from '../selection/curves.js';
import type { Rule } from '../selection/rule.js';
import { BitMatrix } from '../statistics/bits.js';
import { finish } from '../statistics/turns.js';

/** Accuracies in [0, 1], on samples that had no part in the choice of alpha. */
export interface Accuracies {
  readonly zeroshot: number;
  readonly finetuned: number;
  readonly chosen: number;
  /** At alpha 0.5. */
  readonly middle: number;
}

export interface ReportedSet {
  readonly name: string;
  readonly kind: SetKind;
  readonly accuracy: Accuracies;
}

/** What interpolation between two models came to. */
export interface PairOutcome {
  /** Chosen on all of the select sets, and on nothing else. */
  readonly alpha: number;
  /** What the rule maximises (`demoRule`), on the samples that alpha was chosen on: too high for that. */
  readonly chosenOn: number;
  /** What the other folds chose for each fold of the cross-validation. */
  readonly foldAlphas: readonly number[];
  /** The same score, each fold at the alpha that the others chose: what the rule is worth, not one alpha. */
  readonly crossValidated: number;
  /** The report sets. */
  readonly sets: readonly ReportedSet[];
  readonly id: Accuracies;
  /** Mean over the shifts. */
  readonly shift: Accuracies;
  /** Shift accuracy at the chosen alpha less that of the better end; the better end is known only afterwards. */
  readonly gain: number;
}

/** The mean of ID accuracy and mean shift accuracy ("avg (ref, shifts)" of Wortsman et al., 2021). */
export function demoRule(sets: readonly EvaluatedSet[]): Rule {
  const chosen = sets.filter(({ role }) => role === 'select');
  const shifts = chosen.filter(({ kind }) => kind === 'shift').length;
  return {
    kind: 'max-mean',
    weights: chosen.map(({ name, kind }) => ({ set: name, weight: kind === 'id' ? shifts : 1 })),
  };
}

/**
 * Chooses alpha on the sets of role `select` and reports on the others. Cross-validation on the select sets has no part in
 * the choice; it scores the rule. `evaluations[k][s]` is alpha k on set s, and has the bits of every sample; alphas ascend
 * and include 0 and 1.
 */
export function judgePair(
  alphas: readonly number[],
  sets: readonly EvaluatedSet[],
  evaluations: readonly (readonly SetEvaluation[])[],
  seed: number,
): PairOutcome {
  const outcomes: Outcomes = {
    alphas: Float64Array.from(alphas),
    sets: sets.map(({ name, role, kind, samples, labels }, s) => {
      const correct = new BitMatrix(alphas.length, samples);
      for (const [k, evaluation] of evaluations.entries()) correct.row(k).set(evaluation[s]!.correct!);
      return { name, role, kind, correct, ...(labels && { labels }) };
    }),
  };
  const { refit, choices, chosen } = finish(crossValidate(outcomes, demoRule(sets), { seed }));
  const [zero, one, half] = [0, 1, 0.5].map((alpha) => nearestAlpha(outcomes.alphas, alpha)) as [
    number,
    number,
    number,
  ];
  const selected = sets.filter(({ role }) => role === 'select');
  const at = (s: number, k: number) => {
    const { correct } = outcomes.sets[s]!;
    return correct.count(k) / correct.columns;
  };
  const reported = sets.flatMap(({ name, role, kind }, s): ReportedSet[] => {
    if (role !== 'report') return [];
    const [zeroshot, finetuned] = [at(s, zero), at(s, one)];
    return [
      { name, kind, accuracy: { zeroshot, finetuned, chosen: at(s, refit.index), middle: at(s, half) } },
    ];
  });
  const [id, shift] = (['id', 'shift'] as const).map((kind) =>
    meanAccuracies(reported.filter((set) => set.kind === kind).map(({ accuracy }) => accuracy)),
  ) as [Accuracies, Accuracies];
  return {
    alpha: refit.alpha,
    foldAlphas: choices.map(({ alpha }) => alpha),
    chosenOn: refit.score,
    crossValidated: mean(
      (['id', 'shift'] as const).map((kind) =>
        mean([...chosen.accuracy].filter((_, s) => selected[s]!.kind === kind)),
      ),
    ),
    sets: reported,
    id,
    shift,
    gain: shift.chosen - Math.max(shift.zeroshot, shift.finetuned),
  };
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

export function meanAccuracies(all: readonly Accuracies[]): Accuracies {
  const of = (model: keyof Accuracies) => mean(all.map((one) => one[model]));
  return {
    zeroshot: of('zeroshot'),
    finetuned: of('finetuned'),
    chosen: of('chosen'),
    middle: of('middle'),
  };
}
