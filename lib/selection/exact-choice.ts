import type { SetKind, SetRole } from '../eval/data/evaluation-set.js';
import {
  type AlphaInterval,
  maximum,
  minimum,
  plateau,
  representative,
  type StepFunction,
  subjectTo,
  weightedMean,
} from '../statistics/step-function.js';
import { formatIntervals, percent } from './figures.js';
import type { MaxRule, Rule } from './rule.js';

/** An optimum over all alphas of the domain, not only those evaluated. */
export interface ExactOptimum {
  /** The alpha to use: inside the widest optimal interval. */
  readonly alpha: number;
  /** Accuracy there, 0 to 1. */
  readonly value: number;
  /** Everywhere that it is reached. */
  readonly intervals: readonly AlphaInterval[];
  /**
   * Where the rule's constraint holds and accuracy is at most 0.1 percentage points lower: optimal windows are narrow,
   * this is not.
   */
  readonly plateau: readonly AlphaInterval[];
}

/** What a set is called and what a rule may do with it. */
interface PathSet {
  readonly name: string;
  readonly role: SetRole;
  readonly kind: SetKind;
}

/** What a rule chooses among all alphas; null for rules that have no exact form. */
export function exactChoice(
  rule: Rule,
  sets: readonly PathSet[],
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
      return optimum(mean(of('id')));
    case 'max-worst':
      return optimum(minimum(of()));
    case 'max-mean':
      return optimum(meanPath(rule, sets, paths) ?? mean(of()));
    case 'max-shift': {
      const shift = mean(of('shift'));
      if (rule.idWithin === undefined) return optimum(shift);
      const id = mean(of('id'));
      return optimum(subjectTo(shift, id, maximum(id).value - rule.idWithin));
    }
    default:
      return null;
  }
}

function meanPath(
  rule: MaxRule & { kind: 'max-mean' },
  sets: readonly PathSet[],
  paths: readonly StepFunction[],
): StepFunction | undefined {
  if (!rule.weights) return undefined;
  const chosen = rule.weights.map(({ set }) => paths[sets.findIndex(({ name }) => name === set)]!);
  return weightedMean(
    chosen,
    rule.weights.map(({ weight }) => weight),
  );
}

const nearlyOptimal = 0.001;

/** The optimum of a path, -Infinity where a constraint does not hold. */
export function optimum(path: StepFunction): ExactOptimum {
  const { value, intervals } = maximum(path);
  return { alpha: representative(intervals), value, intervals, plateau: plateau(path, nearlyOptimal) };
}

/** For people, without a full stop. */
export function describeOptimum({ value, intervals, plateau }: ExactOptimum): string {
  return `${percent(value)} on ${formatIntervals(intervals)}; at most 0.1 points less on ${formatIntervals(plateau)}`;
}
