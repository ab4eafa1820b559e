// Merge files over small models that the tests make themselves.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type MergeFileOptions,
  type MergeFileResult,
  type MergeFileRunOptions,
  mergeFile,
} from '../../lib/index.js';
import { type ModelOptions, readModel, writeModel } from './models.js';
import { type StoredTensor, type Tensor, tensor } from './safetensors.js';

export const f32 = (name: string, shape: readonly number[], values: readonly number[]): Tensor =>
  tensor(name, 'F32', shape, Float32Array.from(values));

/** Numbers that BF16 holds exactly. */
export const bf16 = (name: string, shape: readonly number[], values: readonly number[]): Tensor =>
  tensor(
    name,
    'BF16',
    shape,
    Uint16Array.from(new Uint32Array(Float32Array.from(values).buffer), (bits) => bits >>> 16),
  );

/** A directory of models and merge files, whose text may write `$` for it. */
export class Workshop {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  path(name: string): string {
    return join(this.root, name);
  }

  model(name: string, tensors: readonly Tensor[], options: ModelOptions = {}): string {
    return writeModel(this.path(name), tensors, options);
  }

  config(text: string, name = 'merge.yml'): string {
    writeFileSync(this.path(name), text.replaceAll('$', this.root));
    return this.path(name);
  }

  merge(
    text: string,
    options: Partial<MergeFileOptions> & MergeFileRunOptions = {},
  ): Promise<MergeFileResult> {
    return mergeFile({ config: this.config(text), out: this.path('out'), ...options });
  }

  /** Tensors of an output. */
  output(...parts: string[]): Map<string, StoredTensor> {
    return readModel(join(this.root, 'out', ...parts));
  }
}

/** The numbers of a tensor. */
export function numbers({ dtype, data }: Tensor): number[] {
  const count = data.length / (dtype === 'F64' ? 8 : dtype === 'F32' ? 4 : 2);
  const all = (read: (i: number) => number): number[] => Array.from({ length: count }, (_, i) => read(i));
  if (dtype === 'F64') return all((i) => data.readDoubleLE(8 * i));
  if (dtype === 'F32') return all((i) => data.readFloatLE(4 * i));
  if (dtype !== 'BF16') throw new Error(`${dtype} is not read here`);
  const bits = Uint32Array.from({ length: count }, (_, i) => data.readUInt16LE(2 * i) << 16);
  return Array.from(new Float32Array(bits.buffer));
}
