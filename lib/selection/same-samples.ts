import type { CorrectIntervals } from '../eval/correct-intervals.js';
import { type BitMatrix, distinctColumns } from '../statistics/bits.js';
import type { OutcomeSet } from './curves.js';

/** A set as far as its samples tell it from another. */
export type Recognised = Pick<OutcomeSet, 'name' | 'role' | 'correct' | 'labels'> & {
  readonly intervals?: CorrectIntervals | undefined;
};

/**
 * The report sets that are a select set under another name, with that set's: the same labels, and the same result of
 * every sample at every alpha, where that is no coincidence. Results that no alpha changes are no evidence, nor do they
 * mislead: they have no p-value.
 */
export function sameSamples(sets: readonly Recognised[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const set of sets.filter(({ role }) => role === 'report')) {
    const twin = sets.find((other) => other.role === 'select' && changes(set) && same(set, other));
    if (twin) found.set(set.name, twin.name);
  }
  return found;
}

/** For people. */
export function describeTwins(twins: ReadonlyMap<string, string>): string[] {
  return Array.from(
    twins,
    ([name, twin]) =>
      `Report set ${name} has the samples of ${twin}, on which alpha was chosen: its figures are too good, and its p-values too small. Report on others.`,
  );
}

function changes({ correct }: Recognised): boolean {
  return Array.from({ length: correct.rows }, (_, k) => correct.countXor(0, k)).some((count) => count > 0);
}

function same(a: Recognised, b: Recognised): boolean {
  if (a.correct.columns !== b.correct.columns || !equal(a.labels, b.labels)) return false;
  if (!equal(a.correct.words, b.correct.words)) return false;
  if (!equal(a.intervals?.lo, b.intervals?.lo) || !equal(a.intervals?.hi, b.intervals?.hi)) return false;
  // Where results change they do so at some alpha, which is equal to all its digits.
  return a.intervals !== undefined || chanceOf(a.correct) < coincidence;
}

/** Equal results of other samples that are less likely than this are not believed in. */
const coincidence = 1e-6;

/**
 * The probability that other samples, each of the kinds that are here and as often, have the same results in the same
 * order; a kind is where among the alphas a sample is right.
 */
function chanceOf(correct: BitMatrix): number {
  const members = new Map<number, number>();
  for (const kind of distinctColumns(correct).of) members.set(kind, (members.get(kind) ?? 0) + 1);
  let logarithm = 0;
  for (const count of members.values()) logarithm += count * Math.log(count / correct.columns);
  return Math.exp(logarithm);
}

function equal(a: ArrayLike<number> | undefined, b: ArrayLike<number> | undefined): boolean {
  if (a?.length !== b?.length) return false;
  for (let i = 0; i < (a?.length ?? 0); i++) if (!Object.is(a![i], b![i])) return false;
  return true;
}
