// The llama-tiny fixtures: `base` and `a` in three shards, `b` in one file, and what PyTorch makes of base and a.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { merge } from '../../lib/index.js';
import { lerpData } from '../support/exact.js';
import { contents, readModel } from '../support/models.js';
import { readTensors, type Tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const fixtures = fileURLToPath(new URL('../fixtures/llama-tiny', import.meta.url));
const [base, a, b] = ['base', 'a', 'b'].map((name) => join(fixtures, name)) as [string, string, string];
const alphas = [0.1, 0.3, 0.5, 0.75];
const bf16 = { x: 'BF16', y: 'BF16', out: 'BF16' };

function expectedByTorch(alpha: number): Record<string, string> {
  const prefix = `alpha_${alpha}.`;
  const all = [...readTensors(join(fixtures, 'expected_lerp.safetensors')).values()];
  const mine = all.filter(({ name }) => name.startsWith(prefix));
  return contents(
    new Map(mine.map((tensor) => [tensor.name, { ...tensor, name: tensor.name.slice(prefix.length) }])),
  );
}

function expectedByOracle(zeroshot: string, finetuned: string, alpha: number): Record<string, string> {
  const tuned = readModel(finetuned);
  const merged = [...readModel(zeroshot)].map(([name, x]): [string, Tensor] => [
    name,
    { ...x, data: lerpData(x.data, tuned.get(name)!.data, alpha, bf16) },
  ]);
  return contents(new Map(merged));
}

describe('merging the reference checkpoints', () => {
  it('equals PyTorch byte for byte at every alpha of one pass', async () => {
    const out = join(await tempDir(), 'out');
    const { outputs } = await merge({ zeroshot: base, finetuned: a, alpha: alphas, out });
    expect(outputs.map(({ alpha }) => alpha)).toEqual(alphas);
    for (const { alpha, directory } of outputs) {
      expect(directory).toBe(join(out, `alpha_${alpha.toFixed(4)}`));
      expect(contents(readModel(directory)), `alpha ${alpha}`).toEqual(expectedByTorch(alpha));
    }
  });

  it.each(alphas)('equals PyTorch byte for byte at alpha %d alone', async (alpha) => {
    const out = join(await tempDir(), 'out');
    await merge({ zeroshot: base, finetuned: a, alpha, out });
    expect(contents(readModel(out))).toEqual(expectedByTorch(alpha));
  });

  it('agrees with exact rational arithmetic, as PyTorch does', () => {
    expect(expectedByOracle(base, a, 0.3)).toEqual(expectedByTorch(0.3));
  });

  it('merges a sharded zero-shot model with a single-file fine-tuned one, in the shards of the former', async () => {
    const out = join(await tempDir(), 'out');
    const { outputs } = await merge({ zeroshot: base, finetuned: b, alpha: 0.3, out });
    expect(outputs[0]!.files.map(({ name }) => name)).toEqual(
      [1, 2, 3].map((i) => `model-0000${i}-of-00003.safetensors`),
    );
    expect(contents(readModel(out))).toEqual(expectedByOracle(base, b, 0.3));
  });

  it('merges a single-file zero-shot model with a sharded fine-tuned one, in one file', async () => {
    const out = join(await tempDir(), 'out');
    const { outputs } = await merge({ zeroshot: b, finetuned: base, alpha: 0.7, out });
    expect(outputs[0]!.files.map(({ name }) => name)).toEqual(['model.safetensors']);
    expect(contents(readModel(out))).toEqual(expectedByOracle(b, base, 0.7));
  });

  it('gives the inputs back byte for byte at alpha 0 and 1', async () => {
    const out = join(await tempDir(), 'out');
    const { outputs } = await merge({ zeroshot: base, finetuned: b, alpha: [0, 1], out });
    expect(contents(readModel(outputs[0]!.directory))).toEqual(contents(readModel(base)));
    expect(contents(readModel(outputs[1]!.directory))).toEqual(contents(readModel(b)));
  });

  it('takes an index or a single file in place of a directory', async () => {
    const out = join(await tempDir(), 'out');
    await merge({
      zeroshot: join(base, 'model.safetensors.index.json'),
      finetuned: join(b, 'model.safetensors'),
      alpha: 0.3,
      out,
    });
    expect(contents(readModel(out))).toEqual(expectedByOracle(base, b, 0.3));
  });
});
