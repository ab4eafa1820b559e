import { WisemergeError } from '../errors.js';
import { evidenceOf } from './criteria.js';
import type { Curves } from './curves.js';
import { formatRule, type Rule, type SetWeight } from './rule.js';
import { decide } from './rules.js';

/** One shift, with alpha chosen on the other sets. */
export interface HeldOutShift {
  readonly set: string;
  readonly alpha: number;
  readonly accuracy: number;
  /** The best alpha on this shift itself: not a procedure, but the limit of all procedures. */
  readonly oracle: { readonly alpha: number; readonly accuracy: number };
  /** The oracle's accuracy less the one reached. */
  readonly regret: number;
}

/** Every shift of role `select`, in one of the two. */
export interface LeftOut {
  readonly held: readonly HeldOutShift[];
  readonly notLeftOut: readonly NotLeftOut[];
}

/** A shift without which the rule has nothing to choose on. */
export interface NotLeftOut {
  readonly set: string;
  readonly reason: string;
}

/**
 * For each shift of role `select`, chooses alpha on all other select sets and scores it there: how the rule does
 * on a shift it has not seen. A weighted `max-mean` goes without the weight of that shift; one that carries all the
 * weight cannot be left out. Throws as `select`, and ERR_USAGE where there are fewer than two shifts.
 */
export function leaveOneShiftOut({ alphas, sets }: Curves, rule: Rule): LeftOut {
  const shifts = sets.filter(({ role, kind }) => role === 'select' && kind === 'shift');
  if (shifts.length < 2)
    throw new WisemergeError(
      'ERR_USAGE',
      `leaving one shift out needs two shifts; there are ${shifts.length}`,
      {
        hint: 'Add sets of role "select" and kind "shift".',
      },
    );
  const carriesAll = (name: string): boolean => {
    const weights = weightsOf(without(rule, name));
    return weights !== undefined && !weights.some(({ weight }) => weight > 0);
  };
  const held: HeldOutShift[] = [];
  const notLeftOut: NotLeftOut[] = [];
  for (const shift of shifts) {
    const { name, accuracy } = shift;
    if (carriesAll(name)) {
      const reason = `rule ${formatRule(rule)} gives no weight to any other set`;
      notLeftOut.push({ set: name, reason });
      continue;
    }
    const others = sets.filter((set) => set !== shift);
    const { index } = decide(without(rule, name), alphas, others.map(evidenceOf));
    const oracle = accuracy.reduce((best, value, k) => (value > accuracy[best]! ? k : best), 0);
    held.push({
      set: name,
      alpha: alphas[index]!,
      accuracy: accuracy[index]!,
      oracle: { alpha: alphas[oracle]!, accuracy: accuracy[oracle]! },
      regret: accuracy[oracle]! - accuracy[index]!,
    });
  }
  return { held, notLeftOut };
}

function weightsOf(rule: Rule): readonly SetWeight[] | undefined {
  if (rule.kind === 'one-se') return weightsOf(rule.of);
  return rule.kind === 'max-mean' ? rule.weights : undefined;
}

/** The rule without the weight of one set. */
function without(rule: Rule, name: string): Rule {
  if (rule.kind === 'one-se') return { ...rule, of: without(rule.of, name) as typeof rule.of };
  if (rule.kind !== 'max-mean' || !rule.weights) return rule;
  return { ...rule, weights: rule.weights.filter(({ set }) => set !== name) };
}
