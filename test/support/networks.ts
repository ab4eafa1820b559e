import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import type { CandidateOutputs, NetworkPoint } from '../../lib/eval/network.js';
import type { NetworkInput } from '../../lib/eval/programs/inputs.js';
import type { DTypeName } from '../../lib/native.js';
import { readTensors, type Tensor } from './safetensors.js';

export function fixture(path: string): string {
  return fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
}

/** Tensors of a file as inputs, those named or all whose names begin with no alpha. */
export function inputsOf(path: string, names?: readonly string[]): Map<string, NetworkInput> {
  const wanted = [...readTensors(path).values()].filter(({ name }) =>
    names ? names.includes(name) : !name.startsWith('alpha_'),
  );
  return new Map(wanted.map((tensor) => [tensor.name, toInput(tensor)]));
}

export function toInput({ dtype, shape, data }: Tensor): NetworkInput {
  return { dtype: dtype as DTypeName, shape, data };
}

export function floats(shape: readonly number[], data: Float32Array): NetworkInput {
  return { dtype: 'F32', shape, data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

export function whole(shape: readonly number[], data: readonly number[]): NetworkInput {
  return { dtype: 'I64', shape, data: new Uint8Array(BigInt64Array.from(data, BigInt).buffer) };
}

/** The rows of an input that stand at `rows`, in this order. */
export function pickRows({ dtype, shape, data }: NetworkInput, rows: readonly number[]): NetworkInput {
  const size = data.byteLength / shape[0]!;
  return {
    dtype,
    shape: [rows.length, ...shape.slice(1)],
    data: Buffer.concat(rows.map((row) => data.subarray(row * size, (row + 1) * size))),
  };
}

export function asFloats({ data }: Tensor): Float32Array {
  return new Float32Array(Uint8Array.from(data).buffer);
}

/** The largest |a - b| relative to the largest |b|: what is left of f32 rounding in a whole network. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let [error, size] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    // NaN fails every comparison, so it must not be left out of the maximum.
    const difference = Math.abs(a[i]! - b[i]!);
    error = difference > error || Number.isNaN(difference) ? difference : error;
    size = Math.max(size, Math.abs(b[i]!));
  }
  return error / size;
}

/** Holds all results of each alpha against those of a file of expected values; gives the largest error. */
export function compareWithFile(
  path: string,
  alphas: readonly number[],
  results: readonly CandidateOutputs[],
): number {
  const expected = readTensors(path);
  let largest = 0;
  alphas.forEach((alpha, k) => {
    const prefix = `alpha_${alpha}.`;
    // `alpha_0.` also begins `alpha_0.3.`.
    const names = [...expected.keys()].filter(
      (name) => name.startsWith(prefix) && !/^\d/.test(name.slice(prefix.length)),
    );
    expect([...results[k]!.keys()].sort()).toEqual(names.map((name) => name.slice(prefix.length)).sort());
    for (const name of names) {
      const output = results[k]!.get(name.slice(prefix.length))!;
      expect(output.shape, name).toEqual(expected.get(name)!.shape);
      largest = Math.max(largest, relativeError(output.data, asFloats(expected.get(name)!)));
    }
  });
  return largest;
}

export function bitsOf(outputs: CandidateOutputs): Map<string, Uint32Array> {
  return new Map(
    [...outputs].map(([name, { data }]) => [
      name,
      new Uint32Array(data.buffer, data.byteOffset, data.length),
    ]),
  );
}

export type { NetworkPoint };
