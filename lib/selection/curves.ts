import { WisemergeError } from '../errors.js';
import type { SetKind, SetRole } from '../eval/data/evaluation-set.js';
import type { BitMatrix } from '../statistics/bits.js';

/** What a sweep found on one evaluation set. */
export interface CurveSet {
  readonly name: string;
  readonly role: SetRole;
  readonly kind: SetKind;
  /** Top-1 accuracy per alpha, in [0, 1]. */
  readonly accuracy: Float64Array;
  readonly samples: number;
  /** Which samples are correct at each alpha. Needed for standard errors and resampling. */
  readonly correct?: BitMatrix;
  /** Group per sample (video, patient, site), kept together when samples are drawn or split. */
  readonly groups?: ArrayLike<number>;
}

/** Accuracy curves over one grid of alphas. */
export interface Curves {
  /** Ascending. */
  readonly alphas: Float64Array;
  readonly sets: readonly CurveSet[];
}

/** Per-sample results on one evaluation set. */
export interface OutcomeSet extends Omit<CurveSet, 'accuracy' | 'samples' | 'correct'> {
  readonly correct: BitMatrix;
  /** Class per sample, to stratify folds. */
  readonly labels?: ArrayLike<number>;
}

/** Per-sample results over one grid of alphas: all that the statistics of a sweep start from. */
export interface Outcomes {
  /** Ascending; row k of every set's `correct` belongs to alpha k. */
  readonly alphas: Float64Array;
  readonly sets: readonly OutcomeSet[];
}

/** The accuracy of each alpha. Throws ERR_DATA for a set without samples. */
export function accuracies(correct: BitMatrix): Float64Array {
  if (correct.columns === 0) throw new WisemergeError('ERR_DATA', 'accuracy of no samples');
  return Float64Array.from({ length: correct.rows }, (_, k) => correct.count(k) / correct.columns);
}

/** The curves of per-sample results. Throws as `checkCurves`, and ERR_DATA for a set without samples. */
export function curvesOf({ alphas, sets }: Outcomes): Curves {
  const curves: Curves = {
    alphas,
    sets: sets.map(({ name, role, kind, correct, groups }) => {
      if (correct.columns === 0) throw new WisemergeError('ERR_DATA', `set ${name} has no samples`);
      const grouped = groups && { groups };
      return {
        name,
        role,
        kind,
        correct,
        ...grouped,
        samples: correct.columns,
        accuracy: accuracies(correct),
      };
    }),
  };
  checkCurves(curves);
  return curves;
}

/**
 * Throws ERR_DATA_MISMATCH naming the set whose curve is not over the grid, ERR_DATA where an accuracy is not
 * in [0, 1], and ERR_USAGE where alphas do not ascend or a name occurs twice.
 */
export function checkCurves({ alphas, sets }: Curves): void {
  if (alphas.length === 0) throw new WisemergeError('ERR_USAGE', 'no alpha given');
  for (let k = 0; k < alphas.length; k++) {
    if (!Number.isFinite(alphas[k]!) || (k > 0 && !(alphas[k]! > alphas[k - 1]!)))
      throw new WisemergeError('ERR_USAGE', `alphas must ascend: ${alphas[k]} is at position ${k}`);
  }
  const names = new Set<string>();
  for (const { name, accuracy, samples, correct } of sets) {
    if (names.has(name)) throw new WisemergeError('ERR_USAGE', `two sets are named ${name}`);
    names.add(name);
    if (accuracy.length !== alphas.length)
      throw new WisemergeError(
        'ERR_DATA_MISMATCH',
        `set ${name} has ${accuracy.length} accuracies for ${alphas.length} alphas`,
      );
    const bad = accuracy.findIndex((value) => !(value >= 0 && value <= 1));
    if (bad >= 0)
      throw new WisemergeError(
        'ERR_DATA',
        `set ${name} has accuracy ${accuracy[bad]} at alpha ${alphas[bad]}`,
        {
          hint: 'Accuracies are fractions: write 83.5 % as 0.835.',
        },
      );
    if (correct && (correct.rows !== alphas.length || correct.columns !== samples))
      throw new WisemergeError(
        'ERR_DATA_MISMATCH',
        `set ${name} has results of ${correct.columns} samples at ${correct.rows} alphas, for ${samples} samples at ${alphas.length}`,
      );
  }
}

/** Index of the alpha closest to a value; the smaller of two equally close ones. */
export function nearestAlpha(alphas: Float64Array, value: number): number {
  let best = 0;
  for (let k = 1; k < alphas.length; k++)
    if (Math.abs(alphas[k]! - value) < Math.abs(alphas[best]! - value)) best = k;
  return best;
}
