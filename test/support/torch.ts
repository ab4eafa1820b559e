import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Tensor } from './safetensors.js';

/** See write-torch.py. */
export type Node =
  | { dict: [string, Node][] }
  | { tensor: [string, number, readonly number[], readonly number[]] }
  | { parameter: Node }
  | { call: [string, string, unknown[]] }
  | { value: unknown };

export interface TorchSpec {
  readonly root: Node;
  readonly storages: Record<string, [type: string, base64: string]>;
  readonly protocol?: number;
  readonly compressed?: boolean;
}

/** A file as torch.save writes it, made by Python's own pickle and zipfile. */
export function writeTorch(path: string, spec: TorchSpec): void {
  const script = fileURLToPath(new URL('write-torch.py', import.meta.url));
  execFileSync('python3', [script], { input: JSON.stringify({ ...spec, path }) });
}

const storageTypes: Record<string, string> = {
  F32: 'FloatStorage',
  F64: 'DoubleStorage',
  F16: 'HalfStorage',
  BF16: 'BFloat16Storage',
  I64: 'LongStorage',
  BOOL: 'BoolStorage',
};

/** The spec of a state dict with a storage per tensor. */
export function stateDict(tensors: readonly Tensor[]): TorchSpec & { root: { dict: [string, Node][] } } {
  const storages: Record<string, [string, string]> = {};
  const dict = tensors.map(({ name, dtype, shape, data }, i): [string, Node] => {
    storages[i] = [storageTypes[dtype]!, data.toString('base64')];
    return [name, { tensor: [String(i), 0, shape, contiguous(shape)] }];
  });
  return { root: { dict }, storages };
}

export function contiguous(shape: readonly number[]): number[] {
  return shape.map((_, i) => shape.slice(i + 1).reduce((product, dim) => product * dim, 1));
}
