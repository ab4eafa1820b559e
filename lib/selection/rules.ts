import { WisemergeError } from '../errors.js';
import type { Groups } from '../eval/data/groups.js';
import { tieTolerance } from '../statistics/step-function.js';
import {
  evidenceOf,
  kneeHeights,
  meanOf,
  type Objective,
  objectiveOf,
  pairedStandardError,
  requireSets,
  type SetEvidence,
} from './criteria.js';
import { type CurveSet, type Curves, checkCurves } from './curves.js';
import { percent, points } from './figures.js';
import { hasPart, oneGroup } from './group-counts.js';
import { formatRule, type MaxRule, type Rule } from './rule.js';

/** An alpha chosen by a rule, and how close the choice was. */
export interface Selection {
  readonly alpha: number;
  /** Of `alpha` in the grid. */
  readonly index: number;
  /** What the rule maximises, at `alpha`: an accuracy in [0, 1]; for `knee`, the height above the chord. */
  readonly objective: number;
  /**
   * The accuracy in [0, 1] that stands for the rule, at `alpha`: `objective`, but for `knee` the mean of ID and shift. A
   * height is relative to the frontier of one sweep; this can be compared between sweeps on the same sets.
   */
  readonly score: number;
  /** All alphas whose objective equals the best within 1e-12, ascending, the chosen one included. */
  readonly ties: readonly number[];
  /**
   * The best alpha that is not tied; `difference` is the chosen objective less its own (negative for `one-se`,
   * which passes over the best). Null for `fixed`, and where no other alpha is eligible.
   */
  readonly runnerUp: {
    readonly alpha: number;
    readonly objective: number;
    readonly difference: number;
  } | null;
  /** As `parseRule` reads it. */
  readonly rule: string;
  /** One sentence with the figures. */
  readonly explanation: string;
}

/** A rule's choice on a grid, in indices. */
export interface Decision {
  readonly index: number;
  readonly ties: readonly number[];
  /** What the rule maximises, per alpha; -Infinity where an alpha is not eligible. */
  readonly criterion: Float64Array;
  /** The accuracy that stands for the rule: `criterion` without its constraint, for `knee` the mean of ID and shift. */
  readonly score: Objective;
}

/**
 * Chooses alpha from accuracy curves. Only sets of role `select` are used. Among ties the alpha nearest the
 * zero-shot model is chosen. Throws ERR_REPORT_SET where the rule asks for a set kept for reporting, ERR_USAGE
 * where it needs a set, an alpha, per-sample results or a second group that are not there, and as `checkCurves`.
 */
export function select(curves: Curves, rule: Rule): Selection {
  checkCurves(curves);
  const { alphas, sets } = curves;
  const decision = decide(rule, alphas, sets.map(evidenceOf));
  const { index, ties, criterion } = decision;
  const runnerUp = rule.kind === 'fixed' ? undefined : bestOf(alphas, criterion, ties);
  const selection = {
    alpha: alphas[index]!,
    index,
    objective: criterion[index]!,
    score: decision.score.value[index]!,
    ties: ties.map((k) => alphas[k]!).sort((a, b) => a - b),
    runnerUp:
      runnerUp === undefined
        ? null
        : {
            alpha: alphas[runnerUp]!,
            objective: criterion[runnerUp]!,
            difference: criterion[index]! - criterion[runnerUp]!,
          },
    rule: formatRule(rule),
  };
  return { ...selection, explanation: explain(rule, selection, decision.score.name) };
}

/**
 * Throws what `select` would for want of a set, an alpha or a standard error, before anything is evaluated.
 */
export function checkRule(
  rule: Rule,
  alphas: readonly number[],
  sets: readonly (Pick<CurveSet, 'name' | 'role' | 'kind'> & { readonly groups?: Groups })[],
): void {
  const accuracy = new Float64Array(alphas.length);
  const evidence = sets.map(
    ({ name, role, kind, groups }): SetEvidence => ({
      ...{ name, role, kind, accuracy, samples: 2 },
      oneGroup: oneGroup({ groups: groups?.ids }),
      joint: () => [0, 0, 0],
    }),
  );
  decide(rule, Float64Array.from(alphas), evidence);
}

/** The rule's choice on any evidence: all samples, some folds, a resample. Throws as `select`. */
export function decide(rule: Rule, alphas: Float64Array, sets: readonly SetEvidence[]): Decision {
  switch (rule.kind) {
    case 'fixed':
      return decideFixed(rule.alpha, alphas, sets);
    case 'knee': {
      const id = meanOf(sets, requireSets(sets, rule, 'id'));
      const shift = meanOf(sets, requireSets(sets, rule, 'shift'));
      return best(alphas, kneeHeights(id.value, shift.value), scoreOf(rule, sets));
    }
    case 'one-se':
      return decideOneSe(rule.of, alphas, sets);
    default: {
      const score = scoreOf(rule, sets);
      return best(alphas, feasible(rule, score, sets), score);
    }
  }
}

/** The accuracy that stands for a rule, whatever it chooses. Throws as `select`. */
export function scoreOf(rule: Rule, sets: readonly SetEvidence[]): Objective {
  switch (rule.kind) {
    case 'fixed': {
      if (sets.length === 0)
        throw new WisemergeError('ERR_USAGE', 'there is no evaluation set', {
          hint: 'Add one to the sweep.',
        });
      // Nothing is chosen by this mean, so sets kept for reporting may stand in.
      const shown = sets.some(({ role }) => role === 'select') ? 'select' : 'report';
      return meanOf(
        sets,
        Float64Array.from(sets, ({ role }) => (role === shown ? 1 : 0)),
      );
    }
    case 'knee': {
      const [id, shift] = (['id', 'shift'] as const).map((kind) =>
        meanOf(sets, requireSets(sets, rule, kind)).weights(0),
      ) as [Float64Array, Float64Array];
      return meanOf(
        sets,
        id.map((weight, s) => weight + shift[s]!),
      );
    }
    case 'one-se':
      return scoreOf(rule.of, sets);
    default:
      return objectiveOf(rule, sets);
  }
}

/** The objective, -Infinity where the rule's constraint on ID accuracy does not hold. */
function feasible(rule: MaxRule, objective: Objective, sets: readonly SetEvidence[]): Float64Array {
  if (rule.kind !== 'max-shift' || rule.idWithin === undefined) return objective.value;
  const id = meanOf(sets, requireSets(sets, rule, 'id')).value;
  const least = id.reduce((a, b) => Math.max(a, b)) - rule.idWithin - tieTolerance;
  return objective.value.map((value, k) => (id[k]! >= least ? value : Number.NEGATIVE_INFINITY));
}

function decideFixed(alpha: number, alphas: Float64Array, sets: readonly SetEvidence[]): Decision {
  const index = alphas.findIndex((value) => Math.abs(value - alpha) <= 1e-9);
  if (index < 0)
    throw new WisemergeError('ERR_USAGE', `rule fixed:${alpha}: alpha ${alpha} was not evaluated`, {
      hint: `Add it to the alphas of the sweep, or choose one of ${alphas.join(', ')}.`,
    });
  const score = scoreOf({ kind: 'fixed', alpha }, sets);
  return { index, ties: [index], criterion: score.value, score };
}

function decideOneSe(of: MaxRule, alphas: Float64Array, sets: readonly SetEvidence[]): Decision {
  const inner = decide(of, alphas, sets);
  const lone = sets.find((set) => set.oneGroup && hasPart(of, set, sets));
  // Every loss is within an infinite standard error.
  if (lone)
    throw new WisemergeError(
      'ERR_USAGE',
      `rule one-se:${formatRule(of)}: set ${lone.name} has one group, and so no standard error`,
      {
        hint: 'Give it samples of several groups, leave its groups out if its samples are independent, or use a rule without standard error, such as max-mean.',
        details: { set: lone.name },
      },
    );
  const { criterion, score } = inner;
  const top = inner.index;
  for (const k of zeroshotFirst(alphas)) {
    const loss = criterion[top]! - criterion[k]!;
    if (loss === Number.POSITIVE_INFINITY) continue;
    if (loss <= pairedStandardError(sets, score, top, k) + tieTolerance)
      return { ...inner, index: k, ties: [k] };
  }
  return inner;
}

function best(alphas: Float64Array, criterion: Float64Array, score: Objective): Decision {
  const index = bestOf(alphas, criterion, [])!;
  const ties = [...alphas.keys()].filter((k) => criterion[k]! >= criterion[index]! - tieTolerance);
  // bestOf returns the largest value; a tie within rounding may lie nearer the zero-shot model.
  const nearest = zeroshotFirst(alphas).find((k) => ties.includes(k))!;
  return { index: nearest, ties, criterion, score };
}

/** Index of the largest finite value, nearest the zero-shot model among equal ones. */
function bestOf(
  alphas: Float64Array,
  criterion: Float64Array,
  without: readonly number[],
): number | undefined {
  let found: number | undefined;
  for (const k of zeroshotFirst(alphas)) {
    if (without.includes(k) || criterion[k] === Number.NEGATIVE_INFINITY) continue;
    if (found === undefined || criterion[k]! > criterion[found]!) found = k;
  }
  return found;
}

/** Indices by distance from alpha 0. */
function zeroshotFirst(alphas: Float64Array): number[] {
  return [...alphas.keys()].sort((j, k) => Math.abs(alphas[j]!) - Math.abs(alphas[k]!) || j - k);
}

function explain(rule: Rule, selection: Omit<Selection, 'explanation'>, score: string): string {
  const { alpha, objective, ties, runnerUp } = selection;
  const others = ties.filter((tie) => tie !== alpha);
  const tied = others.length > 0 ? `, tied with ${others.join(', ')}; the nearest to zero-shot is used` : '';
  if (rule.kind === 'fixed') return `alpha ${alpha} was given; ${score} is ${percent(objective)} there.`;
  if (rule.kind === 'knee')
    return `The Pareto frontier of ID and shift accuracy lies farthest from its chord at alpha ${alpha}${tied}.`;
  if (rule.kind === 'one-se') {
    const lost =
      runnerUp && runnerUp.difference < 0
        ? `${points(-runnerUp.difference)} below the best, at ${runnerUp.alpha}, and within one paired standard error of it`
        : 'the best itself';
    return `alpha ${alpha} is the nearest to zero-shot whose ${score} (${percent(objective)}) is ${lost}.`;
  }
  const limit =
    rule.kind === 'max-shift' && rule.idWithin !== undefined
      ? ` where ID accuracy is within ${points(rule.idWithin)} of its best`
      : '';
  const next = runnerUp ? ` Next is alpha ${runnerUp.alpha}, ${points(runnerUp.difference)} lower.` : '';
  return `The ${score} is highest at alpha ${alpha} (${percent(objective)})${limit}${tied}.${next}`;
}
