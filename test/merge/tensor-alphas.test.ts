// Merges in which tensors have alphas of their own, against merges at one alpha.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type MergeOptions, merge } from '../../lib/index.js';
import { readModel, writeModel } from '../support/models.js';
import { randomWeights } from '../support/random.js';
import { type Tensor, tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const sizes = { a: 3, 'h.0.w': 5000, 'h.1.w': 70_001, z: 129 };
const tensorAlphas = { 'h.0.w': 0.25, 'h.1.w': 1, z: 0.25 };

async function pair() {
  const root = await tempDir();
  const model = (name: string, seed: number) => {
    const tensors: Tensor[] = Object.entries(sizes).map(([key, count], i) =>
      tensor(key, 'F32', [count], Buffer.from(randomWeights(count, seed + i).buffer)),
    );
    return writeModel(join(root, name), tensors);
  };
  const options = { zeroshot: model('x', 1), finetuned: model('y', 9), alpha: 0.7 };
  const run = async (out: string, change: Partial<MergeOptions> = {}) => {
    await merge({ ...options, ...change, out: join(root, out) });
    return readModel(join(root, out));
  };
  return { root, run };
}

describe('a merge with alphas by tensor', () => {
  test('has in each tensor the bits of the merge at its alpha', async () => {
    const { root, run } = await pair();
    const whole = new Map<number, ReturnType<typeof readModel>>();
    for (const alpha of [0.7, 0.25, 1]) whole.set(alpha, await run(`at${alpha}`, { alpha }));
    // The smallest blocks: all tensors are cut, and blocks hold several.
    for (const shardSize of [undefined, 30_000]) {
      const out = `own${shardSize}`;
      const merged = await run(out, { tensorAlphas, ...(shardSize && { shardSize }) });
      for (const name of Object.keys(sizes) as (keyof typeof sizes)[]) {
        const alpha = ({ ...tensorAlphas } as Record<string, number>)[name] ?? 0.7;
        expect(merged.get(name)!.data.equals(whole.get(alpha)!.get(name)!.data), name).toBe(true);
      }
      const manifest = JSON.parse(readFileSync(join(root, out, 'wisemerge.json'), 'utf8'));
      expect(manifest).toMatchObject({ alpha: 0.7, tensorAlphas });
    }
  });

  test('is refused for unknown tensors, several alphas, and alphas out of range', async () => {
    const { run } = await pair();
    const code = async (change: Partial<MergeOptions>) =>
      await run('out', change).then(
        () => 'none',
        (error) => error.code,
      );
    expect(await code({ tensorAlphas: { nothing: 0.5 } })).toBe('ERR_NO_SUCH_TENSOR');
    expect(await code({ tensorAlphas, alpha: [0, 1] })).toBe('ERR_USAGE');
    expect(await code({ tensorAlphas: { z: 1.5 } })).toBe('ERR_ALPHA_RANGE');
    expect(await code({ tensorAlphas: { z: 1.5 }, extrapolate: true })).toBe('none');
    expect(await code({ tensorAlphas: { z: Number.NaN } })).toBe('ERR_ALPHA_RANGE');
  });
});
