import type { CorrectIntervals } from '../eval/correct-intervals.js';
import type { Groups } from '../eval/data/groups.js';
import type { BitMatrix } from '../statistics/bits.js';

/**
 * What was found per sample: where on the path each is right, or which are right at each evaluated alpha.
 * Enough to choose alpha anew without evaluating again.
 */
export type SetOutcome = (
  | { readonly intervals: CorrectIntervals; readonly correct?: never }
  | { readonly correct: BitMatrix; readonly intervals?: never }
) & {
  readonly labels?: Int32Array;
  readonly groups?: Groups;
};
