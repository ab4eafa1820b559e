import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type MergeResult, merge, type Progress } from '../../lib/index.js';
import { writeModel } from './models.js';
import { randomF32 } from './random.js';
import { type Tensor, tensor } from './safetensors.js';
import { tempDir } from './temp.js';

/** Two models to merge in a fresh directory, and the paths of a merge of them. */
export interface Pair {
  readonly root: string;
  readonly zeroshot: string;
  readonly finetuned: string;
  readonly out: string;
}

/** By count and seed: drawing millions of weights takes longer than merging them. */
const drawn = new Map<string, Buffer>();

function weightsOf(count: number, seed: number): Buffer {
  const key = `${count} ${seed}`;
  const weights = drawn.get(key) ?? randomF32(count, seed);
  drawn.set(key, weights);
  return weights;
}

export async function makePair(elements = 1000, root?: string): Promise<Pair> {
  const directory = root ?? (await tempDir());
  const model = (name: string, seed: number): string => {
    const weights: Tensor[] = [tensor('w', 'F32', [elements], weightsOf(elements, seed))];
    return writeModel(join(directory, name), weights, { config: { model_type: 'x' } });
  };
  return { root: directory, zeroshot: model('x', 1), finetuned: model('y', 2), out: join(directory, 'out') };
}

/** What lies beside the two inputs, hidden names included: the output, and anything that was left behind. */
export function besideInputs(root: string): string[] {
  return readdirSync(root)
    .filter((name) => name !== 'x' && name !== 'y')
    .sort();
}

/** Merges them into `out`, halfway unless told otherwise. */
export async function mergePair(pair: Pair, options: object = {}): Promise<MergeResult> {
  const { zeroshot, finetuned, out } = pair;
  return await merge({ zeroshot, finetuned, alpha: 0.5, out, ...options });
}

/** A listener that ends a merge while tensors are written. */
export function failWhileWriting({ phase }: Progress): void {
  if (phase === 'stream') throw new Error('mid-way');
}

/** What the manifest of an output says. */
export function alphaOf(out: string): number {
  return JSON.parse(readFileSync(join(out, 'wisemerge.json'), 'utf8')).alpha;
}
