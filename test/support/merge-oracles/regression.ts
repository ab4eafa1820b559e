// RegMean (Jin et al., 2023, equation 2): W = (Σ w_i W_i G_i) (Σ w_i G_i)^-1 for weights of shape [out, in], with the
// off-diagonal elements of the Gram matrices times alpha; what has no Gram matrix is averaged.
import { given, type Oracle, total, weighted, weightsOf } from './oracle.js';

export const regmean: Oracle = (tensor) => {
  const { inputs, shape, parameters } = tensor;
  const weights = weightsOf(tensor, 1);
  const models = inputs.map(({ x }) => x);
  if (inputs.some(({ statistics }) => !statistics)) {
    return weighted(
      weights.map((w) => w / total(weights)),
      models,
    );
  }
  const alpha = given(parameters, 'alpha', 0.9);
  const [rows, n] = shape as [number, number];
  const sum = new Float64Array(n * n);
  const product = new Float64Array(rows * n);
  for (const [i, { x, statistics }] of inputs.entries()) {
    const gram = statistics!.map((g, at) => weights[i]! * g * (Math.floor(at / n) === at % n ? 1 : alpha));
    for (let at = 0; at < n * n; at++) sum[at]! += gram[at]!;
    for (let r = 0; r < rows; r++) {
      for (let k = 0; k < n; k++) {
        for (let j = 0; j < n; j++) product[r * n + j]! += x[r * n + k]! * gram[k * n + j]!;
      }
    }
  }
  const value = new Float64Array(rows * n);
  // W S = P, so that every row of W solves Sᵀ w = p.
  for (let r = 0; r < rows; r++) {
    value.set(
      solve(
        Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => sum[j * n + i]!)),
        Array.from(product.subarray(r * n, r * n + n)),
      ),
      r * n,
    );
  }
  const size = models.reduce((most, x) => x.reduce((a, b) => Math.max(a, Math.abs(b)), most), 0);
  return { value, scale: value.map(() => size) };
};

/** Gaussian elimination with partial pivoting. */
function solve(a: number[][], b: number[]): number[] {
  const n = b.length;
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k; i < n; i++) if (Math.abs(a[i]![k]!) > Math.abs(a[pivot]![k]!)) pivot = i;
    [a[k], a[pivot]] = [a[pivot]!, a[k]!];
    [b[k], b[pivot]] = [b[pivot]!, b[k]!];
    for (let i = k + 1; i < n; i++) {
      const factor = a[i]![k]! / a[k]![k]!;
      for (let j = k; j < n; j++) a[i]![j]! -= factor * a[k]![j]!;
      b[i]! -= factor * b[k]!;
    }
  }
  for (let k = n - 1; k >= 0; k--) {
    for (let j = k + 1; j < n; j++) b[k]! -= a[k]![j]! * b[j]!;
    b[k]! /= a[k]![k]!;
  }
  return b;
}
