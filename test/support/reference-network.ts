// Transformers in f64, by the definitions of their parts and one sequence at a time: an oracle that shares nothing
// with the programs under test. A matrix is an array of rows.

export type Matrix = number[][];
/** Tensors by name, each flat in C order. */
export type Weights = ReadonlyMap<string, Float32Array>;

/** x W^T + b. */
export function linear(x: Matrix, weights: Weights, name: string): Matrix {
  const [weight, bias] = [weights.get(`${name}.weight`)!, weights.get(`${name}.bias`)];
  return x.map((row) =>
    Array.from({ length: weight.length / row.length }, (_, j) =>
      row.reduce((sum, value, l) => sum + value * weight[j * row.length + l]!, bias?.[j] ?? 0),
    ),
  );
}

export function layerNorm(x: Matrix, weights: Weights, name: string, epsilon: number): Matrix {
  const [weight, bias] = [weights.get(`${name}.weight`)!, weights.get(`${name}.bias`)!];
  return x.map((row) => {
    const mean = row.reduce((a, b) => a + b, 0) / row.length;
    const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / row.length;
    return row.map((v, j) => ((v - mean) / Math.sqrt(variance + epsilon)) * weight[j]! + bias[j]!);
  });
}

/** Over pieces of the weight's length. */
export function rmsNorm(x: Matrix, weights: Weights, name: string, epsilon: number): Matrix {
  const weight = weights.get(`${name}.weight`)!;
  const n = weight.length;
  return x.map((row) =>
    row.map((v, j) => {
      const piece = row.slice(Math.floor(j / n) * n, Math.floor(j / n) * n + n);
      const mean = piece.reduce((sum, p) => sum + p * p, 0) / n;
      return (v / Math.sqrt(mean + epsilon)) * weight[j % n]!;
    }),
  );
}

export function add(x: Matrix, y: Matrix): Matrix {
  return x.map((row, i) => row.map((v, j) => v + y[i]![j]!));
}

export function embed(ids: readonly number[], weights: Weights, name: string, width: number): Matrix {
  const table = weights.get(`${name}.weight`)!;
  return ids.map((id) => Array.from(table.subarray(id * width, (id + 1) * width)));
}

/** Pairs (c, c + d / 2) of each head turned by position · frequency. */
export function rope(x: Matrix, headDim: number, frequencies: readonly number[], scale = 1): Matrix {
  const half = frequencies.length;
  return x.map((row, position) =>
    row.map((v, j) => {
      const c = j % headDim;
      if (c >= 2 * half) return v;
      const angle = position * frequencies[c % half]!;
      const other = c < half ? -row[j + half]! : row[j - half]!;
      return scale * (v * Math.cos(angle) + other * Math.sin(angle));
    }),
  );
}

/** `sees(i, j)`: whether position i attends to j. */
export function attention(
  [q, k, v]: readonly [Matrix, Matrix, Matrix],
  headDim: number,
  sees: (i: number, j: number) => boolean,
): Matrix {
  const heads = q[0]!.length / headDim;
  const group = heads / (k[0]!.length / headDim);
  const part = (row: number[], head: number) => row.slice(head * headDim, (head + 1) * headDim);
  return q.map((row, i) =>
    Array.from({ length: heads }, (_, h) => {
      const shared = Math.floor(h / group);
      const weights = k.map((key, j) => {
        if (!sees(i, j)) return 0;
        const dot = part(key, shared).reduce((sum, c, d) => sum + c * part(row, h)[d]!, 0);
        return Math.exp(dot / Math.sqrt(headDim));
      });
      const total = weights.reduce((a, b) => a + b, 0);
      return Array.from({ length: headDim }, (_, d) =>
        v.reduce((sum, value, j) => sum + (weights[j]! / total) * part(value, shared)[d]!, 0),
      );
    }).flat(),
  );
}

export function map(x: Matrix, f: (v: number) => number): Matrix {
  return x.map((row) => row.map(f));
}

export const silu = (x: number): number => x / (1 + Math.exp(-x));
export const gelu = (x: number): number => (x * (1 + erf(x / Math.SQRT2))) / 2;

/** The error function by its power series. */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let [term, sum] = [x, x];
  for (let n = 1; Math.abs(term) > 1e-18; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}
