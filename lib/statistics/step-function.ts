import { WisemergeError } from '../errors.js';

/** Values closer than this are equal: sums of weights differ by rounding, accuracies by at least one sample. */
export const tieTolerance = 1e-12;

/**
 * A function of alpha that is constant between finitely many alphas. Values may be -Infinity (not feasible).
 */
export interface StepFunction {
  /** Ascending and distinct; the first and the last are the ends of the domain. Length n >= 1. */
  readonly alphas: Float64Array;
  /** The value exactly at each alpha. Length n. */
  readonly at: Float64Array;
  /** The value on the open interval from each alpha to the next. Length n - 1. */
  readonly after: Float64Array;
}

/** An interval of alphas; an end belongs to it where its flag is set. */
export interface AlphaInterval {
  readonly from: number;
  readonly to: number;
  readonly fromIncluded: boolean;
  readonly toIncluded: boolean;
}

/** The largest value of a step function and every alpha that attains it. */
export interface Maximum {
  readonly value: number;
  /** Ascending, disjoint, none empty. */
  readonly intervals: readonly AlphaInterval[];
}

/** The value at one alpha. Throws ERR_ALPHA_RANGE outside the domain. */
export function valueAt(path: StepFunction, alpha: number): number {
  const { alphas, at, after } = path;
  const last = alphas.length - 1;
  if (!(alpha >= alphas[0]! && alpha <= alphas[last]!))
    throw new WisemergeError(
      'ERR_ALPHA_RANGE',
      `alpha ${alpha} lies outside the path's domain [${alphas[0]}, ${alphas[last]}]`,
    );
  let low = 0;
  let high = last;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (alphas[middle]! <= alpha) low = middle;
    else high = middle - 1;
  }
  return alphas[low] === alpha ? at[low]! : after[low]!;
}

/** The mean of step functions with the given weights (not negative, not all zero). Throws ERR_DATA_MISMATCH. */
export function weightedMean(paths: readonly StepFunction[], weights: ArrayLike<number>): StepFunction {
  const total = Array.from(weights).reduce((sum, weight) => sum + weight, 0);
  const valid = Array.from(weights).every((weight) => weight >= 0);
  if (weights.length !== paths.length || !valid || !(total > 0 && total < Number.POSITIVE_INFINITY))
    throw new WisemergeError(
      'ERR_DATA_MISMATCH',
      `weights ${Array.from(weights).join(', ')} for ${paths.length} paths`,
    );
  if (paths.length === 1) return paths[0]!;
  return combine(paths, (values) => {
    let sum = 0;
    for (let k = 0; k < values.length; k++) sum += weights[k]! * values[k]!;
    return sum / total;
  });
}

/** The smallest of the values at each alpha: the worst set. Throws ERR_DATA_MISMATCH. */
export function minimum(paths: readonly StepFunction[]): StepFunction {
  return combine(paths, (values) => {
    let least = Number.POSITIVE_INFINITY;
    for (let k = 0; k < values.length; k++) least = Math.min(least, values[k]!);
    return least;
  });
}

/**
 * The largest value, and the whole of every interval that attains it (within 1e-12), adjacent pieces joined.
 * An open piece between neighbouring doubles holds no alpha and is left out.
 */
export function maximum(path: StepFunction): Maximum {
  const value = largest(path);
  return { value, intervals: superlevel(path, value - tieTolerance) };
}

/** Every alpha whose value is at least the maximum less `within` (>= 0). */
export function plateau(path: StepFunction, within: number): AlphaInterval[] {
  return superlevel(path, largest(path) - within - tieTolerance);
}

/**
 * `objective` where `constraint` is at least `atLeast`, -Infinity elsewhere. Throws ERR_NO_ALPHA where it never is,
 * ERR_DATA_MISMATCH where the domains differ.
 */
export function subjectTo(objective: StepFunction, constraint: StepFunction, atLeast: number): StepFunction {
  const feasible = combine([objective, constraint], (values) =>
    values[1]! >= atLeast - tieTolerance ? values[0]! : Number.NEGATIVE_INFINITY,
  );
  if (largest(feasible) === Number.NEGATIVE_INFINITY) {
    const reached = largest(constraint);
    throw new WisemergeError(
      'ERR_NO_ALPHA',
      `no alpha has the constrained accuracy of at least ${atLeast}; the best is ${reached}`,
      { hint: `Ask for at most ${reached}.`, details: { atLeast, reached } },
    );
  }
  return feasible;
}

/**
 * The alpha to use of optimal intervals: the middle of the widest, the first of equally wide ones; a single
 * point is that point. Always inside the interval. Throws ERR_NO_ALPHA where there is no interval.
 */
export function representative(intervals: readonly AlphaInterval[]): number {
  let widest: AlphaInterval | undefined;
  for (const interval of intervals) {
    if (inside(interval) === undefined) continue;
    if (!widest || interval.to - interval.from > widest.to - widest.from) widest = interval;
  }
  if (!widest) throw new WisemergeError('ERR_NO_ALPHA', 'no interval holds an alpha');
  return inside(widest)!;
}

/** A double in the interval, its middle where that is one. */
function inside({ from, to, fromIncluded, toIncluded }: AlphaInterval): number | undefined {
  const middle = from + (to - from) / 2;
  // Between neighbouring doubles the middle rounds to an end.
  if (middle > from && middle < to) return middle;
  if (fromIncluded && (from < to || toIncluded)) return from;
  return toIncluded && from < to ? to : undefined;
}

function hasInside(from: number, to: number): boolean {
  const middle = from + (to - from) / 2;
  return middle > from && middle < to;
}

function largest({ alphas, at, after }: StepFunction): number {
  let best = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < at.length; i++) if (at[i]! > best) best = at[i]!;
  for (let i = 0; i < after.length; i++)
    if (after[i]! > best && hasInside(alphas[i]!, alphas[i + 1]!)) best = after[i]!;
  return best;
}

/** Every alpha whose value is at least `level`, as joined intervals. */
function superlevel({ alphas, at, after }: StepFunction, level: number): AlphaInterval[] {
  const intervals: AlphaInterval[] = [];
  let open: { from: number; fromIncluded: boolean } | undefined;
  for (let i = 0; i < at.length; i++) {
    const alpha = alphas[i]!;
    if (at[i]! >= level) open ??= { from: alpha, fromIncluded: true };
    else if (open) {
      intervals.push({ ...open, to: alpha, toIncluded: false });
      open = undefined;
    }
    if (i === after.length) break;
    if (after[i]! >= level && (open || hasInside(alpha, alphas[i + 1]!)))
      open ??= { from: alpha, fromIncluded: false };
    else if (open && !(after[i]! >= level)) {
      intervals.push({ ...open, to: alpha, toIncluded: true });
      open = undefined;
    }
  }
  if (open) intervals.push({ ...open, to: alphas.at(-1)!, toIncluded: true });
  return intervals;
}

/** One step function from several, on the union of their breakpoints. O(total of breakpoints * paths). */
function combine(paths: readonly StepFunction[], value: (values: Float64Array) => number): StepFunction {
  const first = paths[0];
  const ends = ({ alphas }: StepFunction): string => `[${alphas[0]}, ${alphas.at(-1)}]`;
  if (!first) throw new WisemergeError('ERR_DATA_MISMATCH', 'no path given');
  for (const path of paths) {
    if (ends(path) !== ends(first))
      throw new WisemergeError('ERR_DATA_MISMATCH', `paths over ${ends(first)} and ${ends(path)}`, {
        hint: 'Compute every path over the same range of alphas.',
      });
  }
  const union = new Float64Array(paths.reduce((sum, { alphas }) => sum + alphas.length, 0));
  let filled = 0;
  for (const { alphas } of paths) {
    union.set(alphas, filled);
    filled += alphas.length;
  }
  union.sort();
  const builder = new StepBuilder(union.length);
  const values = new Float64Array(paths.length);
  const positions = new Uint32Array(paths.length);
  let previous = Number.NaN;
  for (const alpha of union) {
    if (alpha === previous) continue;
    previous = alpha;
    for (const [k, path] of paths.entries()) {
      const next = positions[k]! + 1;
      if (path.alphas[next]! <= alpha) positions[k] = next;
      const i = positions[k]!;
      values[k] = path.alphas[i] === alpha ? path.at[i]! : path.after[i]!;
    }
    const at = value(values);
    for (const [k, path] of paths.entries()) values[k] = path.after[positions[k]!] ?? path.at.at(-1)!;
    builder.add(alpha, at, value(values));
  }
  return builder.finish();
}

/** Collects breakpoints in ascending order and drops those where nothing changes. */
export class StepBuilder {
  readonly #alphas: Float64Array;
  readonly #at: Float64Array;
  readonly #after: Float64Array;
  #count = 0;
  #lastAlpha = Number.NaN;
  #lastAt = Number.NaN;

  /** `capacity`: at most that many calls of `add`. */
  constructor(capacity: number) {
    this.#alphas = new Float64Array(capacity);
    this.#at = new Float64Array(capacity);
    this.#after = new Float64Array(capacity);
  }

  /** The value at `alpha` and right after it. */
  add(alpha: number, at: number, after: number): void {
    this.#lastAlpha = alpha;
    this.#lastAt = at;
    if (this.#count > 0 && this.#after[this.#count - 1] === at && at === after) return;
    this.#push(alpha, at, after);
  }

  /** The last breakpoint added is the end of the domain. */
  finish(): StepFunction {
    if (this.#alphas[this.#count - 1] !== this.#lastAlpha)
      this.#push(this.#lastAlpha, this.#lastAt, this.#lastAt);
    const count = this.#count;
    return {
      alphas: this.#alphas.slice(0, count),
      at: this.#at.slice(0, count),
      after: this.#after.slice(0, count - 1),
    };
  }

  #push(alpha: number, at: number, after: number): void {
    this.#alphas[this.#count] = alpha;
    this.#at[this.#count] = at;
    this.#after[this.#count] = after;
    this.#count++;
  }
}
