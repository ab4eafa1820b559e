// Methods that choose elements by what several models or rows have in common.
import { deltas, dot, given, type Oracle, total } from './oracle.js';
import { ranks } from './ranks.js';

/** Throws where rounding in F32 decides what is chosen: data for such a test would prove nothing. */
function mustBeApart(a: number, b: number, what: string): void {
  if (a !== b && Math.abs(a - b) < 3e-7 * Math.max(Math.abs(a), Math.abs(b))) {
    throw new Error(`${what}: ${a} and ${b} are too near each other`);
  }
}

/** Wan et al., 2024, FuseChat, section 3.2: select by variance, calculate weights from squares, erase by sign. */
export const sce: Oracle = (tensor) => {
  const { base, inputs, parameters } = tensor;
  const changes = deltas(tensor);
  const [n, count] = [inputs.length, base!.length];
  const topk = given(parameters, 'select_topk', 1);
  const keep = new Uint8Array(count).fill(1);
  if (topk < 1) {
    const variance = base!.map((_, e) => {
      const mean = total(changes.map((d) => d[e]!)) / n;
      return total(changes.map((d) => (d[e]! - mean) ** 2)) / n;
    });
    const kept = Math.trunc(variance.filter((v) => v !== 0).length * topk);
    const rank = ranks(variance, 'descending');
    if (kept > 0 && kept < count) {
      const [last, next] = [kept - 1, kept].map((r) => variance[rank.indexOf(r)]!);
      mustBeApart(last!, next!, 'variances at the threshold');
    }
    for (let e = 0; e < count; e++) keep[e] = Number(rank[e]! < kept);
  }
  const kept = changes.map((d) => d.map((value, e) => (keep[e] ? value : 0)));
  const energy = kept.map((d) => dot(d, d) / count);
  const weights = energy.map((one) => (total(energy) < 1e-6 ? 1 / n : one / total(energy)));
  const value = Float64Array.from(base!);
  const scale = base!.map(Math.abs);
  for (let e = 0; e < count; e++) {
    const here = kept.map((d) => d[e]!);
    const sum = total(here);
    if (sum !== 0)
      mustBeApart(total(here.map(Math.abs)), total(here.map(Math.abs)) - sum, `the sign at ${e}`);
    const elected = sum >= 0 ? 1 : -1;
    const agree = here.map((d) => Math.sign(d) === elected);
    const divisor = total(weights.filter((_, i) => agree[i]));
    const mixed = total(here.map((d, i) => (agree[i] ? d * weights[i]! : 0))) / Math.max(divisor, 1e-6);
    value[e]! += mixed;
    scale[e]! += Math.abs(mixed);
  }
  return { value, scale };
};

/** RAM (arXiv 2601.13572): changes of several models as their mean, those of one alone times `factors`; NaN stays. */
function overlapping(
  base: Float64Array,
  changes: readonly Float64Array[],
  epsilon: number,
  factors: readonly number[],
) {
  const value = Float64Array.from(base);
  const scale = base.map(Math.abs);
  const counts = changes.map((change) => change.map((d) => (Math.abs(d) > epsilon ? 1 : 0)));
  for (let e = 0; e < base.length; e++) {
    let [number, sum, size, alone] = [0, 0, 0, 0];
    for (const [i, change] of changes.entries()) {
      if (!counts[i]![e]) continue;
      number++;
      sum += change[e]!;
      size += Math.abs(change[e]!);
      alone = factors[i]! * change[e]!;
    }
    if (number > 0) value[e]! += number === 1 ? alone : sum / number;
    if (changes.some((change) => Number.isNaN(change[e]))) value[e] = Number.NaN;
    scale[e]! += size;
  }
  return { value, scale };
}

export const ram: Oracle = (tensor) =>
  overlapping(
    tensor.base!,
    deltas(tensor),
    given(tensor.parameters, 'epsilon', 1e-5),
    tensor.inputs.map(() => 1),
  );

/** Ibid., RAM+: the factor grows with what a model shares over what it has alone. */
export const ramPlusTl: Oracle = (tensor) => {
  const { parameters } = tensor;
  const changes = deltas(tensor);
  const [r, alpha] = [given(parameters, 'r', 0.1), given(parameters, 'alpha', 0.2)];
  const epsilon = given(parameters, 'epsilon', 1e-5);
  const [shared, unique] = [changes.map(() => 0), changes.map(() => 0)];
  for (let e = 0; e < tensor.base!.length; e++) {
    const those = changes.map((d) => Math.abs(d[e]!) > epsilon);
    const number = those.filter((counts) => counts).length;
    for (const [i, counts] of those.entries()) if (counts) (number > 1 ? shared : unique)[i]!++;
  }
  const factors = changes.map(
    (_, i) => 1 + r * Math.min(alpha, Math.max(0, shared[i]! / Math.max(unique[i]!, epsilon))),
  );
  return overlapping(tensor.base!, changes, epsilon, factors);
};

function softmax(row: Float64Array): Float64Array {
  const most = row.reduce((a, b) => Math.max(a, b));
  const powers = row.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum + 1e-8);
}

/** Goddard et al., Arcee Fusion: the changes whose size times their row's divergence stand out. */
export const arceeFusion: Oracle = ({ base, inputs, shape, compute }) => {
  const x = inputs[0]!.x;
  const row = shape.at(-1) ?? 1;
  const score = new Float64Array(x.length);
  for (let from = 0; from < x.length; from += row) {
    const [p, q] = [softmax(x.subarray(from, from + row)), softmax(base!.subarray(from, from + row))];
    const divergence = p.reduce((sum, one, k) => sum + one * Math.log(one / q[k]!), 0);
    for (let e = from; e < from + row; e++) {
      const difference = x[e]! - base![e]!;
      score[e] = Math.abs(compute === 'F32' ? Math.fround(difference) : difference) * divergence;
    }
  }
  const sorted = score.slice().sort();
  const quantile = (q: number): number => sorted[Math.trunc(q * (sorted.length - 1))]!;
  const threshold = quantile(0.5) + 1.5 * (quantile(0.75) - quantile(0.25));
  // Numbers on a grid reach the threshold exactly, which F64 may miss; F32 may take a little less for it.
  const [reached, near] = [threshold * (1 - 1e-12), threshold * (1 - 1e-6)];
  const value = x.map((one, e) => (score[e]! >= reached ? one : base![e]!));
  const or = value.map((one, e) => (score[e]! < reached && score[e]! > near ? x[e]! : one));
  // Taken over, not computed.
  return { value, or, scale: new Float64Array(x.length) };
};
