import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeInitialModel } from '../../lib/demo/models.js';
import { permuteHiddenUnits } from '../../lib/demo/permutation.js';
import { standardRecipe, vitRecipe } from '../../lib/demo/recipe.js';
import { permuteVit } from '../../lib/demo/vit-permutation.js';
import { NetworkModel } from '../../lib/eval/network.js';
import { readModel } from '../support/models.js';
import { floats, relativeError } from '../support/networks.js';
import { tempDir } from '../support/temp.js';

/** Linear layers with ReLU between them, in f64. */
function outputs(model: ReturnType<typeof readModel>, x: readonly number[]): number[] {
  const floats = (name: string) => {
    const { data } = model.get(name)!;
    return new Float32Array(data.buffer, data.byteOffset, data.byteLength / 4);
  };
  let values = [...x];
  for (const [i, layer] of ['layers.0', 'layers.1', 'head'].entries()) {
    const [weight, bias] = [floats(`${layer}.weight`), floats(`${layer}.bias`)];
    const inputs = values;
    values = Array.from(bias, (start, row) =>
      inputs.reduce((sum, value, column) => sum + value * weight[row * inputs.length + column]!, start),
    );
    if (i < 2) values = values.map((value) => Math.max(0, value));
  }
  return values;
}

it('permuting hidden units moves every hidden tensor and changes no output', async () => {
  const root = await tempDir();
  const [from, to] = [join(root, 'from'), join(root, 'to')];
  await writeInitialModel(
    from,
    { ...standardRecipe, network: { kind: 'mlp' as const, hidden: [24, 17] } },
    1,
    0,
  );
  await permuteHiddenUnits(from, to, 1, 2);
  const [before, after] = [readModel(from), readModel(to)];
  for (const name of ['layers.0.weight', 'layers.1.weight', 'head.weight']) {
    expect(after.get(name)!.data.equals(before.get(name)!.data), name).toBe(false);
    expect(after.get(name)!.shape).toEqual(before.get(name)!.shape);
    const sorted = (data: Buffer) =>
      [...new Float32Array(data.buffer, data.byteOffset, data.byteLength / 4)].sort((a, b) => a - b);
    expect(sorted(after.get(name)!.data)).toEqual(sorted(before.get(name)!.data));
  }
  for (let sample = 0; sample < 5; sample++) {
    const x = Array.from({ length: 256 }, (_, i) => Math.sin(1 + sample + i));
    const [a, b] = [outputs(before, x), outputs(after, x)];
    for (const [c, value] of a.entries()) expect(b[c]).toBeCloseTo(value, 9);
  }
});

it('permuting a ViT moves its tensors and changes no output', async () => {
  const root = await tempDir();
  const [from, to] = [join(root, 'from'), join(root, 'to')];
  const network = { kind: 'vit', patch: 4, width: 12, depth: 2, heads: 3, inner: 10 } as const;
  await writeInitialModel(from, { ...vitRecipe, network }, 1, 0);
  await permuteVit(from, to, 1, 2);
  const [before, after] = [readModel(from), readModel(to)];
  for (const [name, { data, shape }] of before) {
    expect(after.get(name)!.shape).toEqual(shape);
    // Vectors of one number, and the classifier's bias, look the same in any order.
    const values = new Float32Array(data.buffer, data.byteOffset, data.byteLength / 4);
    if (new Set(values).size > 1) expect(after.get(name)!.data.equals(data), name).toBe(false);
  }
  const data = Float32Array.from({ length: 5 * 256 }, (_, i) => Math.sin(1 + i));
  const logits = await Promise.all(
    [from, to].map(async (path) => {
      await using model = await NetworkModel.open(path);
      const [outputs] = await model.forward(new Map([['pixel_values', floats([5, 1, 16, 16], data)]]), [0]);
      return outputs!.get('logits')!.data;
    }),
  );
  expect(new Set(logits[0]).size).toBe(5 * 16);
  expect(relativeError(logits[1]!, logits[0]!)).toBeLessThan(1e-5);
});

it('initial weights are normal with variance 2 / inputs, the same for a seed', async () => {
  const root = await tempDir();
  const write = async (name: string, seed: number, stream: number) => {
    await writeInitialModel(join(root, name), standardRecipe, seed, stream);
    const { data } = readModel(join(root, name)).get('layers.0.weight')!;
    return [...new Float32Array(data.buffer, data.byteOffset, data.byteLength / 4)];
  };
  const weights = await write('a', 1, 0);
  expect(weights.length).toBe(128 * 256);
  const scaled = weights.map((value) => value * Math.sqrt(256 / 2));
  const moment = (power: number) => scaled.reduce((sum, value) => sum + value ** power, 0) / scaled.length;
  expect(Math.abs(moment(1))).toBeLessThan(0.03);
  expect(Math.abs(moment(2) - 1)).toBeLessThan(0.04);
  expect(Math.abs(moment(4) - 3)).toBeLessThan(0.3);
  expect(await write('b', 1, 0)).toEqual(weights);
  expect(await write('c', 1, 1)).not.toEqual(weights);
  expect(await write('d', 2, 0)).not.toEqual(weights);
});
