import { isCorrectAt } from '../eval/correct-intervals.js';
import type { SetKind, SetRole } from '../eval/data/evaluation-set.js';
import { BitMatrix } from './bits.js';
import { type Resamples, replicateCurves, resampleOutcomes, simultaneousBand } from './bootstrap.js';
import { type ChordTest, chordTest } from './chord.js';
import { type CrossValidation, crossValidate } from './cross-validation.js';
import { curvesOf, nearestAlpha, type Outcomes } from './curves.js';
import { accuracyPath } from './exact-path.js';
import { type HeldOutShift, leaveOneShiftOut } from './leave-one-shift-out.js';
import { type Flips, flips, type McNemar, mcnemarRows } from './mcnemar.js';
import type { SetOutcome } from './outcome-file.js';
import { formatRule, type MaxRule, type Rule } from './rule.js';
import { type Selection, select } from './rules.js';
import {
  type AlphaInterval,
  maximum,
  maximumSubject,
  minimum,
  plateau,
  representative,
  type StepFunction,
  weightedMean,
} from './step-function.js';
import { judge, type Verdict } from './verdict.js';

export interface AnalysedSet extends SetOutcome {
  readonly name: string;
  readonly role: SetRole;
  readonly kind: SetKind;
}

export interface AnalysisOptions {
  readonly rule: Rule;
  /** Folds of the cross-validation; default 5. */
  readonly folds?: number;
  /** Partitions of the cross-validation; default 1. */
  readonly repeats?: number;
  /** Bootstrap replicates; default 1000. */
  readonly replicates?: number;
  readonly seed: number;
}

/** An optimum over all alphas of the domain, not only those evaluated. */
export interface ExactOptimum {
  /** The alpha to use: inside the widest optimal interval. */
  readonly alpha: number;
  /** Accuracy there, 0 to 1. */
  readonly value: number;
  /** Everywhere that it is reached. */
  readonly intervals: readonly AlphaInterval[];
  /**
   * Where accuracy is at most 0.1 percentage points lower, whatever the rule's constraint says there: optimal
   * windows are narrow, this is not.
   */
  readonly plateau: readonly AlphaInterval[];
}

export interface SetAnalysis {
  readonly name: string;
  /** The best alpha for this set alone; an oracle where its role is `report`. */
  readonly best: ExactOptimum;
  /** Simultaneous 95 % band of the curve over the evaluated alphas. */
  readonly band: { readonly lower: Float64Array; readonly upper: Float64Array; readonly critical: number };
  /** The chosen alpha against the ends, by sample. */
  readonly flips: Flips;
  readonly mcnemar: { readonly zeroshot: McNemar; readonly finetuned: McNemar };
}

/** Everything that follows from the outcomes of a sweep, without evaluating anything. */
export interface Analysis {
  readonly rule: string;
  readonly alphas: Float64Array;
  readonly selection: Selection;
  /** What the rule chooses among all alphas of the domain; null for rules that have no exact form. */
  readonly exact: ExactOptimum | null;
  readonly verdict: Verdict;
  readonly crossValidation: CrossValidation;
  /** Null with fewer than two shifts of role `select`. */
  readonly leaveOneShiftOut: readonly HeldOutShift[] | null;
  /** Over all sets, whatever their role. */
  readonly chord: ChordTest;
  readonly sets: readonly SetAnalysis[];
}

/**
 * Chooses alpha by a rule and says how firm the choice is. Sets of role `report` have no part in the choice.
 * Throws as `select`.
 */
export function analyse(
  alphas: readonly number[],
  sets: readonly AnalysedSet[],
  options: AnalysisOptions,
): Analysis {
  const { rule, folds = 5, repeats = 1, replicates = 1000, seed } = options;
  const grid = Float64Array.from(alphas);
  const outcomes: Outcomes = {
    alphas: grid,
    sets: sets.map(({ name, role, kind, intervals, labels, groups }) => ({
      name,
      role,
      kind,
      labels,
      correct: bitsAt(intervals, alphas),
      ...(groups && { groups: groups.ids }),
    })),
  };
  const selection = select(curvesOf(outcomes), rule);
  const paths = sets.map(({ intervals }) => accuracyPath(intervals));
  const resamples = resampleOutcomes(outcomes, replicates, seed);
  const shifts = sets.filter(({ role, kind }) => role === 'select' && kind === 'shift');
  return {
    rule: formatRule(rule),
    alphas: grid,
    selection,
    exact: exactChoice(rule, sets, paths),
    verdict: judge(outcomes, rule, resamples),
    crossValidation: crossValidate(outcomes, rule, { folds, repeats, seed }),
    leaveOneShiftOut: shifts.length < 2 || !canLeaveOut(rule, sets) ? null : leaveOneShiftOut(outcomes, rule),
    chord: chordTest(
      grid,
      outcomes.sets.map(({ correct }) => correct),
      { seed, resamples },
    ),
    sets: sets.map((set, s) => analyseSet(set.name, s, outcomes, paths[s]!, resamples, selection.index)),
  };
}

function analyseSet(
  name: string,
  s: number,
  { alphas, sets }: Outcomes,
  path: StepFunction,
  resamples: Resamples,
  chosen: number,
): SetAnalysis {
  const { correct } = sets[s]!;
  const accuracy = alphas.map((_, k) => correct.count(k) / correct.columns);
  const replicates = Array.from(
    { length: resamples.replicates },
    (_, r) => replicateCurves(resamples, r)[s]!,
  );
  const { lower, upper, critical } = simultaneousBand(accuracy, replicates);
  const [zero, one] = [nearestAlpha(alphas, 0), nearestAlpha(alphas, 1)];
  return {
    name,
    best: optimum(path, maximum(path)),
    band: { lower, upper, critical },
    flips: flips(correct, zero, one, chosen),
    mcnemar: {
      zeroshot: mcnemarRows(correct, zero, chosen),
      finetuned: mcnemarRows(correct, one, chosen),
    },
  };
}

/** Which samples are correct at each alpha. */
export function bitsAt(intervals: SetOutcome['intervals'], alphas: readonly number[]): BitMatrix {
  const samples = intervals.lo.length;
  const bits = new BitMatrix(alphas.length, samples);
  for (const [k, alpha] of alphas.entries()) {
    const row = bits.row(k);
    for (let i = 0; i < samples; i++) {
      if (isCorrectAt(intervals, i, alpha)) row[i >>> 5]! |= 1 << (i & 31);
    }
  }
  return bits;
}

function exactChoice(
  rule: Rule,
  sets: readonly AnalysedSet[],
  paths: readonly StepFunction[],
): ExactOptimum | null {
  const of = (kind?: SetKind) =>
    paths.filter((_, s) => sets[s]!.role === 'select' && (kind === undefined || sets[s]!.kind === kind));
  const mean = (some: readonly StepFunction[]) =>
    weightedMean(
      some,
      some.map(() => 1),
    );
  switch (rule.kind) {
    case 'max-id':
      return unconstrained(mean(of('id')));
    case 'max-worst':
      return unconstrained(minimum(of()));
    case 'max-mean':
      return unconstrained(meanPath(rule, sets, paths) ?? mean(of()));
    case 'max-shift': {
      const shift = mean(of('shift'));
      if (rule.idWithin === undefined) return unconstrained(shift);
      const id = mean(of('id'));
      return optimum(shift, maximumSubject(shift, id, maximum(id).value - rule.idWithin));
    }
    default:
      return null;
  }
}

function meanPath(
  rule: MaxRule & { kind: 'max-mean' },
  sets: readonly AnalysedSet[],
  paths: readonly StepFunction[],
): StepFunction | undefined {
  if (!rule.weights) return undefined;
  const chosen = rule.weights.map(({ set }) => paths[sets.findIndex(({ name }) => name === set)]!);
  return weightedMean(
    chosen,
    rule.weights.map(({ weight }) => weight),
  );
}

function unconstrained(path: StepFunction): ExactOptimum {
  return optimum(path, maximum(path));
}

const nearlyOptimal = 0.001;

function optimum(
  path: StepFunction,
  best: { readonly value: number; readonly intervals: readonly AlphaInterval[] },
): ExactOptimum {
  return {
    alpha: representative(best.intervals),
    value: best.value,
    intervals: best.intervals,
    plateau: plateau(path, maximum(path).value - best.value + nearlyOptimal),
  };
}

/** A rule needs the sets it names, and an ID or a shift set, without the shift that is held out as well. */
function canLeaveOut(rule: Rule, sets: readonly AnalysedSet[]): boolean {
  const inner = rule.kind === 'one-se' ? rule.of : rule;
  const needsId = inner.kind === 'max-id' || inner.kind === 'knee';
  return !needsId || sets.some(({ role, kind }) => role === 'select' && kind === 'id');
}
