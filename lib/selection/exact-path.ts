import { WisemergeError } from '../errors.js';
import type { CorrectIntervals } from '../eval/correct-intervals.js';
import { sortedOrder } from '../statistics/sort.js';
import { StepBuilder, type StepFunction } from '../statistics/step-function.js';

/** Weights or multiplicities of samples. */
export type SampleWeights = Float64Array | Uint32Array | Uint16Array | Uint8Array;

export interface AccuracyPathOptions {
  /** Weight per sample, not negative. Default: all 1. */
  readonly weights?: SampleWeights;
  /** Indices of the samples to use, each as often as it is listed. Default: all. */
  readonly samples?: Uint32Array;
}

/**
 * Top-1 accuracy in [0, 1] as an exact function of alpha over the whole domain: the sum of the weights of the
 * correct samples over the sum of the weights. O(n log n). Throws ERR_DATA or ERR_DATA_MISMATCH.
 */
export function accuracyPath(intervals: CorrectIntervals, options: AccuracyPathOptions = {}): StepFunction {
  const { weights, samples } = options;
  const count = check(intervals, weights);
  const [start, end] = intervals.domain;

  const used = samples ? samples.length : count;
  const from = new Float64Array(used);
  const to = new Float64Array(used);
  const flags = new Uint8Array(used);
  const weight = new Float64Array(used);
  const total = new Sum();
  let kept = 0;
  for (let k = 0; k < used; k++) {
    const i = samples ? samples[k]! : k;
    if (i >= count) throw new WisemergeError('ERR_DATA_MISMATCH', `sample ${i} of a set of ${count} samples`);
    const w = weights ? weights[i]! : 1;
    if (!(w >= 0 && w < Number.POSITIVE_INFINITY))
      throw new WisemergeError('ERR_DATA', `sample ${i} has weight ${w}`, {
        hint: 'Weights are finite and not negative.',
      });
    total.add(w);
    // An end that the domain cuts off is included: the sample is correct on both sides of it. Adding 0 makes
    // -0 a 0.
    const lo = Math.max(intervals.lo[i]!, start) + 0;
    const hi = Math.min(intervals.hi[i]!, end) + 0;
    const loOpen = intervals.lo[i]! >= start ? intervals.open[i]! & 1 : 0;
    const hiOpen = intervals.hi[i]! <= end ? intervals.open[i]! & 2 : 0;
    if (!(lo < hi || (lo === hi && (loOpen | hiOpen) === 0)) || w === 0) continue;
    from[kept] = lo;
    to[kept] = hi;
    flags[kept] = loOpen | hiOpen;
    weight[kept++] = w;
  }
  if (!(total.value > 0))
    throw new WisemergeError('ERR_DATA', 'accuracy of no samples: the set is empty or every weight is 0');
  return sweep(intervals.domain, from.subarray(0, kept), to.subarray(0, kept), flags, weight, total.value);
}

/** Goes through all ends in ascending order with a running sum of the weights of the correct samples. */
function sweep(
  [start, end]: readonly [number, number],
  from: Float64Array,
  to: Float64Array,
  flags: Uint8Array,
  weight: Float64Array,
  total: number,
): StepFunction {
  const begins = sortedOrder(from);
  const ends = sortedOrder(to);
  const builder = new StepBuilder(2 * from.length + 2);
  const correct = new Sum();
  let [b, e] = [0, 0];
  let alpha = start;
  for (;;) {
    // Those that begin here without this alpha, or end here with it, count from or up to the next piece.
    const [firstBegin, firstEnd] = [b, e];
    for (; b < begins.length && from[begins[b]!] === alpha; b++)
      if ((flags[begins[b]!]! & 1) === 0) correct.add(weight[begins[b]!]!);
    for (; e < ends.length && to[ends[e]!] === alpha; e++)
      if ((flags[ends[e]!]! & 2) !== 0) correct.add(-weight[ends[e]!]!);
    const at = correct.value / total;
    for (let k = firstBegin; k < b; k++) if ((flags[begins[k]!]! & 1) !== 0) correct.add(weight[begins[k]!]!);
    for (let k = firstEnd; k < e; k++) if ((flags[ends[k]!]! & 2) === 0) correct.add(-weight[ends[k]!]!);
    builder.add(alpha, at, correct.value / total);
    if (alpha === end) return builder.finish();
    alpha = Math.min(b < begins.length ? from[begins[b]!]! : end, e < ends.length ? to[ends[e]!]! : end);
  }
}

function check({ domain, lo, hi, open }: CorrectIntervals, weights?: SampleWeights): number {
  const [start, end] = domain;
  if (!(start <= end && Number.isFinite(start) && Number.isFinite(end)))
    throw new WisemergeError('ERR_ALPHA_RANGE', `[${start}, ${end}] is no range of alphas`);
  if (hi.length !== lo.length || open.length !== lo.length)
    throw new WisemergeError(
      'ERR_DATA_MISMATCH',
      `intervals with ${lo.length} lower ends, ${hi.length} upper ends and ${open.length} flags`,
    );
  if (weights && weights.length !== lo.length)
    throw new WisemergeError('ERR_DATA_MISMATCH', `${weights.length} weights for ${lo.length} samples`);
  return lo.length;
}

/** A running sum whose error does not grow with the number of terms (Neumaier, ZAMM 54, 1974). */
class Sum {
  #sum = 0;
  #lost = 0;

  add(term: number): void {
    const sum = this.#sum + term;
    this.#lost += Math.abs(this.#sum) >= Math.abs(term) ? this.#sum - sum + term : term - sum + this.#sum;
    this.#sum = sum;
  }

  get value(): number {
    return this.#sum + this.#lost;
  }
}
