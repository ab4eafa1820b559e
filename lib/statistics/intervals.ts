import { WisemergeError } from '../errors.js';
import { inverseIncompleteBeta } from './special.js';

/** A confidence interval. */
export interface Interval {
  readonly lower: number;
  readonly upper: number;
}

/**
 * Clopper and Pearson's interval of a proportion (Biometrika 26, 1934): quantiles of beta distributions.
 * Coverage is at least `confidence`. Throws ERR_DATA or ERR_USAGE.
 */
export function clopperPearson(successes: number, trials: number, confidence = 0.95): Interval {
  check(successes, trials, confidence);
  const tail = (1 - confidence) / 2;
  const failures = trials - successes;
  return {
    lower: successes === 0 ? 0 : inverseIncompleteBeta(tail, successes, failures + 1),
    // The upper end is 1 minus the lower end for the failures, which keeps its digits near 1.
    upper: failures === 0 ? 1 : 1 - inverseIncompleteBeta(tail, failures, successes + 1),
  };
}

/** Throws ERR_USAGE unless `confidence` lies strictly between 0 and 1. */
export function checkConfidence(confidence: number): void {
  if (!(confidence > 0 && confidence < 1))
    throw new WisemergeError('ERR_USAGE', `confidence ${confidence} does not lie between 0 and 1`, {
      hint: 'Write 95 % as 0.95.',
    });
}

function check(successes: number, trials: number, confidence: number): void {
  checkConfidence(confidence);
  if (!(Number.isSafeInteger(successes) && Number.isSafeInteger(trials)))
    throw new WisemergeError('ERR_DATA', `${successes} of ${trials} are not counts`);
  if (trials < 1 || successes < 0 || successes > trials)
    throw new WisemergeError('ERR_DATA', `${successes} correct of ${trials} samples is no proportion`);
}
