import { chebyshevPoints, chebyshevWeights } from './chebyshev.js';

/** Logits [rows, classes] of a batch at each alpha. */
export type Forward = (alphas: readonly number[]) => Promise<readonly Float32Array[]>;

/** How far interpolated logits can be trusted. Shares are of samples, 0 to 1. */
export interface Approximation {
  /** Models that were run for a batch, those for checking included: the mean over samples. */
  readonly forwards: number;
  /** Mean over alphas of the samples whose two best logits are no further apart than twice the error found. */
  readonly inDoubt: number;
  /** Samples that were evaluated at every alpha after all. */
  readonly direct: number;
}

export interface LogitsAlong extends Approximation {
  /** In the order of the alphas. */
  readonly logits: readonly Float32Array[];
}

/** Points of interpolation; each set holds the one before. */
const levels = [5, 9, 17] as const;

/**
 * Logits at many alphas from few evaluations: along the line between two models they are smooth in alpha, so a
 * polynomial through Chebyshev points stands for them. Two points that it has not seen check it: where a sample's
 * class is another there, points are added, and in the end every alpha is evaluated. Alphas outside [0, 1] always
 * are, and so is everything where interpolation would not be less than one model per alpha.
 */
export async function logitsAlong(
  forward: Forward,
  alphas: readonly number[],
  classes: number,
): Promise<LogitsAlong> {
  const known = new Map<number, Float32Array>();
  const evaluate = async (wanted: readonly number[]) => {
    const missing = wanted.filter((alpha) => !known.has(alpha));
    if (missing.length === 0) return;
    for (const [k, logits] of (await forward(missing)).entries()) known.set(missing[k]!, logits);
  };
  const inside = alphas.filter((alpha) => alpha >= 0 && alpha <= 1);
  await evaluate(alphas.filter((alpha) => !inside.includes(alpha)));
  for (const count of levels) {
    const points = chebyshevPoints(count);
    const checks = checkPoints(count);
    const wanted = [...points, ...checks].filter((alpha) => !known.has(alpha));
    // Models that were run in vain count: all of them together are to be fewer than the alphas.
    if (known.size + wanted.length >= alphas.length) break;
    await evaluate([...points, ...checks]);
    const at = points.map((point) => known.get(point)!);
    const errors = new Float64Array(at[0]!.length / classes);
    let other = 0;
    for (const check of checks) {
      const guess = interpolate(at, chebyshevWeights(count, check));
      other = Math.max(other, compare(guess, known.get(check)!, classes, errors));
    }
    if (other > 0) continue;
    const logits = alphas.map((alpha) => known.get(alpha) ?? interpolate(at, chebyshevWeights(count, alpha)));
    const guessed = alphas.flatMap((alpha, k) => (known.has(alpha) ? [] : [logits[k]!]));
    const doubts = guessed.map((one) => shareInDoubt(one, classes, errors));
    const inDoubt = doubts.reduce((sum, share) => sum + share, 0) / Math.max(1, alphas.length);
    return { logits, forwards: known.size, inDoubt, direct: 0 };
  }
  await evaluate(alphas);
  return {
    logits: alphas.map((alpha) => known.get(alpha)!),
    ...{ forwards: known.size, inDoubt: 0, direct: 1 },
  };
}

/** Two points of the next level that lie between those of this one, near the middle of each half. */
function checkPoints(count: number): [number, number] {
  const next = chebyshevPoints(2 * count - 1);
  const odd = next.filter((_, j) => j % 2 === 1);
  return [odd[Math.floor(odd.length / 4)]!, odd[Math.floor((3 * odd.length) / 4)]!];
}

function interpolate(at: readonly Float32Array[], weights: Float64Array): Float32Array {
  const sum = new Float64Array(at[0]!.length);
  for (const [j, logits] of at.entries()) {
    const weight = weights[j]!;
    for (let i = 0; i < sum.length; i++) sum[i]! += weight * logits[i]!;
  }
  return Float32Array.from(sum);
}

/** Raises each sample's largest error; gives the number of samples whose largest logit is another, or any not finite. */
function compare(guess: Float32Array, logits: Float32Array, classes: number, errors: Float64Array): number {
  let other = 0;
  for (let i = 0; i < errors.length; i++) {
    let [guessed, actual] = [i * classes, i * classes];
    for (let at = i * classes; at < (i + 1) * classes; at++) {
      errors[i] = Math.max(errors[i]!, Math.abs(guess[at]! - logits[at]!));
      if (guess[at]! > guess[guessed]!) guessed = at;
      if (logits[at]! > logits[actual]!) actual = at;
    }
    // Through a point that is not finite goes no polynomial.
    other += Number(guessed !== actual || !Number.isFinite(errors[i]!));
  }
  return other;
}

function shareInDoubt(logits: Float32Array, classes: number, errors: Float64Array): number {
  let doubtful = 0;
  for (let i = 0; i < errors.length; i++) {
    let [first, second] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (let at = i * classes; at < (i + 1) * classes; at++) {
      const value = logits[at]!;
      if (value > first) [first, second] = [value, first];
      else if (value > second) second = value;
    }
    doubtful += Number(first - second <= 2 * errors[i]!);
  }
  return doubtful / errors.length;
}

/** The approximation of a set from those of its batches. */
export class Approximations {
  #samples = 0;
  #sums = { forwards: 0, inDoubt: 0, direct: 0 };

  /** Gives the batch's logits. */
  add(rows: number, { logits, forwards, inDoubt, direct }: LogitsAlong): readonly Float32Array[] {
    this.#samples += rows;
    this.#sums.forwards += rows * forwards;
    this.#sums.inDoubt += rows * inDoubt;
    this.#sums.direct += rows * direct;
    return logits;
  }

  mean(): Approximation {
    const { forwards, inDoubt, direct } = this.#sums;
    const samples = this.#samples;
    return {
      forwards: forwards / samples,
      inDoubt: inDoubt / samples,
      direct: direct / samples,
    };
  }
}
