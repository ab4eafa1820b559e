import { WisemergeError } from '../errors.js';
import { inverseIncompleteBeta, normalTwoSided } from './special.js';

/** A confidence interval. */
export interface Interval {
  readonly lower: number;
  readonly upper: number;
}

/**
 * Wilson's score interval of a proportion, `successes` of `trials` (Wilson, JASA 22, 1927). Coverage is close
 * to `confidence` on average. Throws ERR_DATA or ERR_USAGE.
 */
export function wilson(successes: number, trials: number, confidence = 0.95): Interval {
  check(successes, trials, confidence);
  const p = successes / trials;
  const z2 = normalTwoSided(1 - confidence) ** 2;
  const centre = (p + z2 / (2 * trials)) / (1 + z2 / trials);
  const half = Math.sqrt(z2 * ((p * (1 - p)) / trials + z2 / (4 * trials * trials))) / (1 + z2 / trials);
  // At 0 and all successes an end is exactly 0 or 1, which rounding would miss.
  return {
    lower: successes === 0 ? 0 : centre - half,
    upper: successes === trials ? 1 : centre + half,
  };
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
