import { stratifiedFolds } from '../statistics/folds.js';
import type { CrossValidationOptions } from './cross-validation.js';
import type { OutcomeSet } from './curves.js';
import { hasPart, oneGroup } from './group-counts.js';
import { formatRule, type Rule } from './rule.js';

/**
 * Why a rule cannot be applied without every fold, as a sentence; undefined where it can. `one-se` needs two groups of
 * each set outside each fold. Leaving out the folds where it has one would score the rule on other samples than the
 * given alphas. Throws as `stratifiedFolds`.
 */
export function undefinedFold(
  outcomes: readonly OutcomeSet[],
  rule: Rule,
  { folds = 5, repeats = 1, seed }: CrossValidationOptions,
): string | undefined {
  // Of three folds or more, each with a group, two are always left.
  if (rule.kind !== 'one-se' || folds > 2) return undefined;
  const sets = outcomes.filter(({ role }) => role === 'select');
  for (const [stream, set] of sets.entries()) {
    const { name, correct, labels, groups } = set;
    if (!groups || !hasPart(rule, set, sets)) continue;
    const given = { groups, ...(labels && { labels }) };
    const partitions = stratifiedFolds(correct.columns, { folds, repeats, seed, stream, ...given });
    const alone = (partition: Uint8Array, fold: number): boolean =>
      oneGroup({ groups: Array.from(groups).filter((_, i) => partition[i] !== fold) });
    if (partitions.some((partition) => alone(partition, 0) || alone(partition, 1)))
      return `There is no cross-validation of ${formatRule(rule)}: without a fold set ${name} has one group, and no standard error.`;
  }
  return undefined;
}
