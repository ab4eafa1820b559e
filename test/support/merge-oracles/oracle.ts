// What the oracles have in common. Each is written from its paper or from the formula that docs/methods.md states, in
// f64 and in plain loops over whole vectors; none shares a line with the package.

/** One tensor of all models, in the order in which they are listed. */
export interface OracleTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly base?: Float64Array;
  readonly inputs: readonly OracleInput[];
  /** As written in the file; what is not there has its default. */
  readonly parameters: Readonly<Record<string, number>>;
  /** F32 where all inputs are narrower than F64: differences are rounded to it before they are ranked. */
  readonly compute: 'F32' | 'F64';
  /** 0 before the layers, 1 after them. */
  readonly depth: number;
  readonly seed: number;
}

export interface OracleInput {
  readonly x: Float64Array;
  readonly parameters: Readonly<Record<string, number>>;
  /** Fisher information, or a Gram matrix. */
  readonly statistics?: Float64Array;
}

export interface Expected {
  readonly value: Float64Array;
  /** Per element, the size of the numbers that are added up: what roundings are relative to. */
  readonly scale: Float64Array;
  /** Another value that is as good, where rounding decides between the two. */
  readonly or?: Float64Array;
}

export type Oracle = (tensor: OracleTensor) => Expected;

/** A number of the file, or its default. */
export function given(values: Readonly<Record<string, number>>, name: string, initial?: number): number {
  const value = values[name] ?? initial;
  if (value === undefined) throw new Error(`the test gives no ${name}`);
  return value;
}

export const weightsOf = ({ inputs }: OracleTensor, initial?: number): number[] =>
  inputs.map(({ parameters }) => given(parameters, 'weight', initial));

/** x - b, 0 where the two are equal; rounded where arithmetic is in F32. */
export function delta(x: Float64Array, base: Float64Array, compute: 'F32' | 'F64'): Float64Array {
  return x.map((value, e) => {
    const difference = value === base[e] ? 0 : value - base[e]!;
    return compute === 'F32' ? Math.fround(difference) : difference;
  });
}

export const deltas = ({ inputs, base, compute }: OracleTensor): Float64Array[] =>
  inputs.map(({ x }) => delta(x, base!, compute));

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let e = 0; e < a.length; e++) sum += a[e]! * b[e]!;
  return sum;
}

export const norm = (a: Float64Array): number => Math.sqrt(dot(a, a));
export const clampCosine = (c: number): number => Math.min(1, Math.max(-1, c));
export const total = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** Sum of c_i v_i. */
export function combine(coefficients: readonly number[], vectors: readonly Float64Array[]): Float64Array {
  const sum = new Float64Array(vectors[0]!.length);
  for (const [i, vector] of vectors.entries()) {
    for (let e = 0; e < sum.length; e++) sum[e]! += coefficients[i]! * vector[e]!;
  }
  return sum;
}

/** Sum of c_i x_i, whose roundings are relative to the largest x_i, however the sum is arranged. */
export function weighted(coefficients: readonly number[], vectors: readonly Float64Array[]): Expected {
  const size = 1 + total(coefficients.map(Math.abs));
  const scale = vectors[0]!.map((_, e) => size * Math.max(...vectors.map((vector) => Math.abs(vector[e]!))));
  return { value: combine(coefficients, vectors), scale };
}

/** b + sum of c_i d_i; adding no change keeps the base, whatever is elsewhere. */
export function plusDeltas(
  base: Float64Array,
  coefficients: readonly number[],
  changes: readonly Float64Array[],
): Expected {
  const [value, scale] = [Float64Array.from(base), base.map(Math.abs)];
  for (const [i, change] of changes.entries()) {
    for (let e = 0; e < base.length; e++) {
      if (change[e] === 0) continue;
      value[e]! += coefficients[i]! * change[e]!;
      scale[e]! += Math.abs(coefficients[i]! * change[e]!);
    }
  }
  return { value, scale };
}
