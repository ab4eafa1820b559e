// Interpolation on the sphere, on whole vectors: no inner product is taken before its vectors are there.
import {
  clampCosine,
  combine,
  deltas,
  dot,
  type Expected,
  given,
  norm,
  type Oracle,
  type OracleTensor,
  plusDeltas,
  total,
  weighted,
  weightsOf,
} from './oracle.js';

const scaled = (v: Float64Array, by: number): Float64Array => v.map((value) => value * by);

/** Coefficients of v0 and v1 at the angle θ (Shoemake, 1985). */
const arc = (theta: number, t: number): [number, number] => [
  Math.sin((1 - t) * theta) / Math.sin(theta),
  Math.sin(t * theta) / Math.sin(theta),
];

/** v0 is the base; straight beyond |c| = 0.9995. */
export const slerp: Oracle = ({ base, inputs, parameters }) => {
  const t = given(parameters, 't');
  const vectors = [base!, inputs[0]!.x] as const;
  const [u, v] = vectors.map((one) => (norm(one) > 1e-8 ? scaled(one, 1 / norm(one)) : one));
  const cosine = clampCosine(dot(u!, v!));
  return weighted(Math.abs(cosine) > 0.9995 ? [1 - t, t] : arc(Math.acos(cosine), t), vectors);
};

/** Of two vectors, with the edge rules of nuslerp. */
function nuslerpCoefficients(v1: Float64Array, v2: Float64Array, t: number): [number, number] {
  const u1 = scaled(v1, 1 / Math.max(norm(v1), 1e-7));
  const u2 = scaled(v2, 1 / Math.max(norm(v2), 1e-7));
  const theta = Math.acos(clampCosine(dot(u1, u2)));
  return Math.abs(Math.sin(theta)) < 1e-6 ? [1 - t, t] : arc(theta, t);
}

/** Of x_i, or of d_i from a base; whole, or along the last or the first axis. */
export const nuslerp: Oracle = (tensor) => {
  const { shape, parameters, base } = tensor;
  const [w1, w2] = weightsOf(tensor) as [number, number];
  const t = Math.abs(w1 + w2) < 1e-6 ? 0.5 : w2 / (w1 + w2);
  const vectors = base ? deltas(tensor) : tensor.inputs.map(({ x }) => x);
  const flat = given(parameters, 'nuslerp_flatten', 1) === 1 || shape.length < 2;
  const count = vectors[0]!.length;
  const strides = flat
    ? { vectors: 1, elements: count, at: (_: number, k: number) => k }
    : given(parameters, 'nuslerp_row_wise', 0)
      ? alongFirst(shape, count)
      : alongLast(shape, count);
  const value = Float64Array.from(base ?? new Float64Array(count));
  const scale = new Float64Array(count);
  for (let v = 0; v < strides.vectors; v++) {
    const places = Array.from({ length: strides.elements }, (_, k) => strides.at(v, k));
    const [a, b] = vectors.map((vector) => Float64Array.from(places, (place) => vector[place]!));
    const [ca, cb] = nuslerpCoefficients(a!, b!, t);
    for (const [k, place] of places.entries()) {
      value[place]! += ca * a![k]! + cb * b![k]!;
      const size = Math.max(Math.abs(a![k]!), Math.abs(b![k]!), Math.abs(base?.[place] ?? 0));
      scale[place] = (1 + Math.abs(ca) + Math.abs(cb)) * size;
    }
  }
  return { value, scale };
};

function alongLast(shape: readonly number[], count: number) {
  const n = shape.at(-1)!;
  return { vectors: count / n, elements: n, at: (v: number, k: number) => v * n + k };
}
function alongFirst(shape: readonly number[], count: number) {
  const [n] = shape as [number];
  return { vectors: count / n, elements: n, at: (v: number, k: number) => k * (count / n) + v };
}

/** Goddard, "Multi-SLERP": the mean in the tangent space at the mean direction, at the mean length. */
export const multislerp: Oracle = (tensor) => {
  const { base, parameters } = tensor;
  const vectors = base ? deltas(tensor) : tensor.inputs.map(({ x }) => x);
  const eps = given(parameters, 'eps', 1e-8);
  const plain = weightsOf(tensor);
  const w = given(parameters, 'normalize_weights', 1) ? plain.map((one) => one / total(plain)) : plain;
  if (vectors.length === 1) return plusBase(tensor, vectors[0]!);
  const lengths = vectors.map(norm);
  const units = vectors.map((vector, i) => scaled(vector, 1 / (lengths[i]! + eps)));
  const sum = combine(w, units);
  if (norm(sum) < eps) {
    // Of more than two, only where none is longer than eps: nothing points anywhere.
    if (vectors.length > 2 && lengths.some((length) => length > eps)) throw new Error('no mean direction');
    return plusBase(tensor, combine(w, vectors));
  }
  const mean = scaled(sum, 1 / norm(sum));
  const tangents = units.map((unit) => combine([1, -dot(unit, mean)], [unit, mean]));
  const tangent = combine(w, tangents);
  const angle = norm(tangent) + eps;
  const length = total(lengths.map((n, i) => w[i]! * n));
  return plusBase(
    tensor,
    combine([length * Math.cos(angle), (length * Math.sin(angle)) / angle], [mean, tangent]),
  );
};

/** With scales that fit any arrangement of the sum over the models. */
function plusBase({ base, inputs }: OracleTensor, sum: Float64Array): Expected {
  const value = base ? sum.map((s, e) => base[e]! + s) : sum;
  const scale = value.map((one, e) => {
    const sizes = inputs.map(({ x }) => Math.abs(x[e]!));
    return 4 * Math.max(Math.abs(one), Math.abs(base?.[e] ?? 0), ...sizes);
  });
  return { value, scale };
}

/** Karcher, 1977, by fixed-point iteration on the unit vectors, at the mean length of all of them. */
export const karcher: Oracle = (tensor) => {
  const { inputs, parameters } = tensor;
  const [most, tol] = [given(parameters, 'max_iter', 10), given(parameters, 'tol', 1e-5)];
  if (inputs.length === 1) return plusBase(tensor, inputs[0]!.x);
  const lengths = inputs.map(({ x }) => norm(x));
  const units = inputs.flatMap(({ x }, i) => (lengths[i]! > tol ? [scaled(x, 1 / lengths[i]!)] : []));
  if (units.length === 0) return plusBase(tensor, new Float64Array(inputs[0]!.x.length));
  const share = 1 / units.length;
  let u = combine(
    units.map(() => share),
    units,
  );
  u = norm(u) < tol ? units[0]! : scaled(u, 1 / norm(u));
  for (let iteration = 0; iteration < most; iteration++) {
    let step = new Float64Array(u.length);
    for (const unit of units) {
      const cosine = clampCosine(dot(u, unit));
      const theta = Math.acos(cosine);
      if (theta < tol) continue;
      const factor = (share * theta) / Math.sin(theta);
      step = combine([1, factor, -factor * cosine], [step, unit, u]) as Float64Array<ArrayBuffer>;
    }
    const length = norm(step);
    if (length < tol) break;
    u = combine([Math.cos(length), Math.sin(length) / length], [u, step]);
    u = scaled(u, 1 / norm(u));
  }
  return plusBase(tensor, scaled(u, total(lengths) / inputs.length));
};

/** Ramé et al., 2024, WARP, section 3.2 and 3.3: the average by slerp, one after another; then from the base to it. */
export const warp: Oracle = (tensor) => {
  const changes = deltas(tensor);
  let mean = changes[0]!;
  for (let m = 2; m <= changes.length; m++) {
    const next = changes[m - 1]!;
    mean = combine(nuslerpCoefficients(mean, next, 1 / m), [mean, next]);
  }
  return plusBase(tensor, scaled(mean, given(tensor.parameters, 'eta', 1)));
};

/** Jang, Yun and Han, 2024, Model Stock, equation 6: by whole tensors, or by vectors along the last axis. */
export const modelStock: Oracle = (tensor) => {
  const { base, shape } = tensor;
  const changes = deltas(tensor);
  const count = base!.length;
  const row = given(tensor.parameters, 'filter_wise', 0) && shape.length > 0 ? shape.at(-1)! : count;
  const value = new Float64Array(count);
  const scale = new Float64Array(count);
  for (let from = 0; from < count; from += row) {
    const parts = changes.map((change) => change.subarray(from, from + row));
    const t = shareOfMean(parts);
    const n = parts.length;
    const part = plusDeltas(
      base!.subarray(from, from + row),
      parts.map(() => t / n),
      parts,
    );
    value.set(part.value, from);
    scale.set(part.scale, from);
  }
  return { value, scale };
};

function shareOfMean(changes: readonly Float64Array[]): number {
  const n = changes.length;
  let cosines = 0;
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      const [a, b] = [changes[i]!, changes[j]!];
      cosines += clampCosine(dot(a, b) / Math.max(norm(a) * norm(b), 1e-6));
    }
  }
  const c = cosines / ((n * (n - 1)) / 2);
  const denominator = 1 + (n - 1) * c;
  return Math.abs(denominator) < 1e-6 ? 0 : (n * c) / denominator;
}
