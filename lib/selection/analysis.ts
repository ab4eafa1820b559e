import { type CorrectIntervals, correctBits } from '../eval/correct-intervals.js';
import type { SetKind, SetRole } from '../eval/data/evaluation-set.js';
import { BitMatrix } from '../statistics/bits.js';
import { type FoldCount, foldNote, foldsOf } from '../statistics/folds.js';
import { type Flips, flips, type McNemar, mcnemarRows } from '../statistics/mcnemar.js';
import type { Steps } from '../statistics/turns.js';
import { combine, contribution, simultaneousBand } from './band.js';
import { type Resamples, resampleOutcomes } from './bootstrap.js';
import { type ChordTest, chordTest } from './chord.js';
import { type CrossValidation, crossValidate } from './cross-validation.js';
import { accuracies, type CurveSet, nearestAlpha, type OutcomeSet, type Outcomes } from './curves.js';
import { type ExactOptimum, exactChoice, optimum } from './exact-choice.js';
import { accuracyPath } from './exact-path.js';
import { groupWarnings, oneGroup } from './group-counts.js';
import { type HeldOutShift, leaveOneShiftOut, type NotLeftOut } from './leave-one-shift-out.js';
import { formatRule, type Rule } from './rule.js';
import { type Selection, select } from './rules.js';
import { describeTwins, sameSamples } from './same-samples.js';
import type { SetOutcome } from './set-outcome.js';
import { undefinedFold } from './training-groups.js';
import { judge, type Verdict } from './verdict.js';

/** A set with what was found per sample, or else its scores alone. */
export type AnalysedSet = {
  readonly name: string;
  readonly role: SetRole;
  readonly kind: SetKind;
} & (SetOutcome | { readonly scores: Float64Array; readonly samples: number });

export interface AnalysisOptions {
  readonly rule: Rule;
  /** Folds of the cross-validation; default as `foldsOf`. */
  readonly folds?: number;
  /** Partitions of the cross-validation; default 1. */
  readonly repeats?: number;
  /** Bootstrap replicates; default 1000. */
  readonly replicates?: number;
  readonly seed: number;
}

export interface SetAnalysis {
  readonly name: string;
  /**
   * The best alpha for this set alone, among all where the path is known exactly, else among those evaluated;
   * an oracle where its role is `report`.
   */
  readonly best: Pick<ExactOptimum, 'alpha' | 'value'> & Partial<ExactOptimum>;
  readonly samples: SampleAnalysis | null;
}

/** What only the results of single samples tell of a set. */
export interface SampleAnalysis {
  /** Simultaneous 95 % band of the curve over the evaluated alphas; null for a set of one group. */
  readonly band: {
    readonly lower: readonly number[];
    readonly upper: readonly number[];
    readonly critical: number;
  } | null;
  /** The chosen alpha against the ends, by sample. */
  readonly flips: Flips;
  /** Whether alpha was chosen on these samples, by this name or another, so that p-values of `mcnemar` are too small. */
  readonly afterSelection: boolean;
  readonly mcnemar: { readonly zeroshot: McNemar; readonly finetuned: McNemar };
}

/** Everything that follows from the outcomes of a sweep, without evaluating anything. */
export interface Analysis {
  readonly rule: string;
  readonly alphas: readonly number[];
  readonly selection: Selection;
  /**
   * What the rule chooses among all alphas of the domain; null for rules that have no exact form, and where
   * paths are not known exactly.
   */
  readonly exact: ExactOptimum | null;
  /** How firm the choice is, by the sets with results of samples. Null where a select set has scores alone. */
  readonly firmness: Firmness | null;
  /** A sentence that names the sets with scores alone and what is said without them; null where there are none. */
  readonly firmnessNote: string | null;
  /** Null with fewer than two shifts of role `select`. */
  readonly leaveOneShiftOut: readonly HeldOutShift[] | null;
  /** Shifts of role `select` that are not in `leaveOneShiftOut`, for want of others to choose on. */
  readonly shiftsNotLeftOut: readonly NotLeftOut[];
  readonly sets: readonly SetAnalysis[];
}

export interface Firmness {
  readonly verdict: Verdict;
  /**
   * Null without a set to choose on, where these cannot be split into the folds asked for, or into two, and where the
   * rule has no standard error without some fold.
   */
  readonly crossValidation: CrossValidation | null;
  /** A sentence that says why there is no cross-validation, or why it has fewer folds than usual; else null. */
  readonly crossValidationNote: string | null;
  /** Over all sets that have results of samples, whatever their role. */
  readonly chord: ChordTest;
}

/**
 * Chooses alpha by a rule and says how firm the choice is. Sets of role `report` have no part in the choice.
 * Throws as `select`.
 */
export function* analyse(
  alphas: readonly number[],
  sets: readonly AnalysedSet[],
  options: AnalysisOptions,
): Steps<Analysis> {
  const { rule } = options;
  const grid = Float64Array.from(alphas);
  const found = sets.map((set) => outcomeOf(grid, set));
  const curves = { alphas: grid, sets: sets.map((set, s) => curveOf(set, found[s])) };
  const selection = select(curves, rule);
  const exact = sets.map((set) => ('intervals' in set && set.intervals ? accuracyPath(set.intervals) : null));
  const paths = exact.every((path) => path !== null) ? exact : undefined;
  const outcomes = outcomesOf(grid, sets, found);
  const twins =
    rule.kind === 'fixed'
      ? new Map<string, string>()
      : sameSamples(found.flatMap((set, s) => (set ? [{ ...set, intervals: intervalsOf(sets[s]!) }] : [])));
  const chosenOn = ({ name, role }: AnalysedSet): boolean =>
    rule.kind !== 'fixed' && (role === 'select' || twins.has(name));
  const firm = outcomes && (yield* firmness(outcomes, rule, options, describeTwins(twins)));
  const shifts = sets.filter(({ role, kind }) => role === 'select' && kind === 'shift');
  const leftOut = shifts.length < 2 ? undefined : leaveOneShiftOut(curves, rule);
  const samples: (SampleAnalysis | null)[] = [];
  for (const [s, set] of sets.entries()) {
    const of = found[s];
    samples.push(
      firm && of ? yield* analyseSamples(of, outcomes, firm.resamples, selection.index, chosenOn(set)) : null,
    );
  }
  return {
    rule: formatRule(rule),
    alphas,
    selection,
    exact: paths ? exactChoice(rule, sets, paths) : null,
    firmness: firm?.firmness ?? null,
    firmnessNote: scoresAloneNote(sets, firm !== undefined),
    leaveOneShiftOut: leftOut?.held ?? null,
    shiftsNotLeftOut: leftOut?.notLeftOut ?? [],
    sets: curves.sets.map(({ name, accuracy }, s) => ({
      name,
      best: exact[s] ? optimum(exact[s]) : bestEvaluated(grid, accuracy),
      samples: samples[s]!,
    })),
  };
}

function* firmness(
  outcomes: Outcomes,
  rule: Rule,
  options: AnalysisOptions,
  warnings: readonly string[],
): Steps<{ firmness: Firmness; resamples: Resamples }> {
  const { repeats = 1, replicates = 1000, seed } = options;
  const { folds, reason } = splitOf(outcomes, options.folds);
  const resamples = yield* resampleOutcomes(outcomes, replicates, seed);
  const verdict = yield* judge(outcomes, rule, resamples);
  const split = folds === null ? null : { folds, repeats, seed };
  const undefinedIn = split && undefinedFold(outcomes.sets, rule, split);
  const firmness: Firmness = {
    verdict: { ...verdict, warnings: [...warnings, ...groupWarnings(outcomes.sets), ...verdict.warnings] },
    crossValidation: !split || undefinedIn ? null : yield* crossValidate(outcomes, rule, split),
    crossValidationNote: undefinedIn || foldNote({ folds, reason }, options.folds),
    chord: yield* chordTest(
      outcomes.alphas,
      outcomes.sets.map(({ correct }) => correct),
      { seed, resamples, clusters: outcomes.sets.map(({ groups }) => groups) },
    ),
  };
  return { firmness, resamples };
}

/** Diagnostics come after hours of evaluation, so what cannot be split is no error here. */
function splitOf({ sets }: Outcomes, asked: number | undefined): FoldCount {
  const select = sets.filter(({ role }) => role === 'select');
  if (select.length === 0) return { folds: null, reason: 'no set has role "select"' };
  return foldsOf(
    select.map((set) => ({ ...set, samples: set.correct.columns })),
    asked,
  );
}

function* analyseSamples(
  outcome: OutcomeSet,
  { alphas, sets }: Outcomes,
  resamples: Resamples,
  chosen: number,
  afterSelection: boolean,
): Steps<SampleAnalysis> {
  const { correct, groups } = outcome;
  const place = sets.indexOf(outcome);
  const set = { accuracy: accuracies(correct), samples: correct.columns, groups };
  const points = [...alphas.keys()].map((k) => combine([k, 1]));
  const band = oneGroup(set) ? null : yield* simultaneousBand([contribution(resamples, place, set, points)]);
  const [zero, one] = [nearestAlpha(alphas, 0), nearestAlpha(alphas, 1)];
  return {
    band: band && { lower: [...band.lower], upper: [...band.upper], critical: band.critical },
    flips: flips(correct, zero, one, chosen),
    afterSelection,
    mcnemar: {
      zeroshot: mcnemarRows(correct, zero, chosen, groups),
      finetuned: mcnemarRows(correct, one, chosen, groups),
    },
  };
}

function intervalsOf(set: AnalysedSet): CorrectIntervals | undefined {
  return 'intervals' in set ? set.intervals : undefined;
}

/** The results of single samples, where there are any. */
function outcomeOf(alphas: Float64Array, set: AnalysedSet): OutcomeSet | undefined {
  if ('scores' in set) return undefined;
  const { name, role, kind, labels, groups } = set;
  const correct = set.correct ?? bitsAt(set.intervals, [...alphas]);
  return { name, role, kind, correct, ...(labels && { labels }), ...(groups && { groups: groups.ids }) };
}

/** What resampling is done with: the sets that have samples, where alpha was chosen on no other. */
function outcomesOf(
  alphas: Float64Array,
  sets: readonly AnalysedSet[],
  found: readonly (OutcomeSet | undefined)[],
): Outcomes | undefined {
  const known = found.filter((set) => set !== undefined);
  const choosing = sets.some(({ role }) => role === 'select') ? 'select' : 'report';
  const complete = sets.every(({ role }, s) => role !== choosing || found[s]);
  return complete && known.length > 0 ? { alphas, sets: known } : undefined;
}

function scoresAloneNote(sets: readonly AnalysedSet[], firm: boolean): string | null {
  const alone = sets.filter((set) => 'scores' in set && (firm || set.role === 'select'));
  const named = alone.length > 0 ? alone : sets.filter((set) => 'scores' in set);
  if (named.length === 0) return null;
  const names = named.map(({ name }) => name).join(', ');
  const why = named.length > 1 ? `sets ${names} have scores alone` : `set ${names} has a score alone`;
  return firm
    ? `Intervals and the chord test are without ${names}: ${why}, no results of single samples.`
    : `There is no interval, no cross-validation and no chord test: ${why}, no results of single samples.`;
}

/** The curve of a set, whether it has scores or results of samples. */
function curveOf(set: AnalysedSet, found: OutcomeSet | undefined): CurveSet {
  const { name, role, kind } = set;
  if ('scores' in set) return { name, role, kind, accuracy: set.scores, samples: set.samples };
  const { correct, groups } = found!;
  const more = { accuracy: accuracies(correct), samples: correct.columns, ...(groups && { groups }) };
  return { name, role, kind, correct, ...more };
}

function bestEvaluated(alphas: Float64Array, accuracy: Float64Array): { alpha: number; value: number } {
  const k = accuracy.reduce((best, value, i) => (value > accuracy[best]! ? i : best), 0);
  return { alpha: alphas[k]!, value: accuracy[k]! };
}

/** Which samples are correct at each alpha. */
export function bitsAt(intervals: CorrectIntervals, alphas: readonly number[]): BitMatrix {
  const bits = new BitMatrix(alphas.length, intervals.lo.length);
  for (const [k, alpha] of alphas.entries()) correctBits(intervals, alpha, bits.row(k));
  return bits;
}
