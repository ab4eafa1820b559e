import type { OutcomeSet } from './curves.js';
import type { Rule } from './rule.js';

interface Grouped {
  /** Group per sample; undefined for independent samples. */
  readonly groups?: ArrayLike<number> | undefined;
}

/** How many groups there are. */
export function groupCount(groups: ArrayLike<number>): number {
  return new Set(Array.from(groups)).size;
}

/**
 * Whether all samples are of one group: no statistic then tells how groups differ, and drawing the one group again and
 * again would look like certainty.
 */
export function oneGroup({ groups }: Grouped): boolean {
  if (!groups) return false;
  for (let i = 1; i < groups.length; i++) if (groups[i] !== groups[0]) return false;
  return true;
}

/** Whether a set has a part in what a rule chooses, be it only by its constraint; for `fixed`, in what it shows. */
export function hasPart<Named extends Pick<OutcomeSet, 'name' | 'role' | 'kind'>>(
  rule: Rule,
  { name, role, kind }: Named,
  all: readonly Pick<OutcomeSet, 'role'>[],
): boolean {
  const selects = role === 'select';
  switch (rule.kind) {
    case 'fixed':
      return selects || !all.some((set) => set.role === 'select');
    case 'one-se':
      return hasPart(rule.of, { name, role, kind }, all);
    case 'max-id':
      return selects && kind === 'id';
    case 'max-shift':
      return selects && (kind === 'shift' || rule.idWithin !== undefined);
    case 'max-mean':
      return selects && (rule.weights?.some(({ set, weight }) => set === name && weight > 0) ?? true);
    default:
      return selects;
  }
}

/** With fewer the interval of the chosen alpha, which is of replicates alone, is noticeably too narrow. */
const fewGroups = 10;

/** For people: what too few groups take from the results. */
export function groupWarnings(sets: readonly (Grouped & Pick<OutcomeSet, 'name'>)[]): string[] {
  return sets.flatMap(({ name, groups }) => {
    const count = groups ? groupCount(groups) : fewGroups;
    if (count >= fewGroups) return [];
    return count === 1
      ? `Set ${name} has one group, which says nothing about how groups differ: there are no intervals where it takes part. Give it samples of several groups, or leave its groups out if its samples are independent.`
      : `Set ${name} has ${count} groups, too few to know well how groups differ: its intervals are wide, and the interval of alpha is too narrow. Use samples of ${fewGroups} groups or more.`;
  });
}
