// What gradients, filters and repeated layers of a merge file do to the bytes.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mergeFile } from '../../../lib/merge/many/merge-file.js';
import { readModel } from '../../support/models.js';
import { runMerge, type Weights, writeWeights } from '../../support/number-merge.js';
import { bf16 } from '../../support/small-merge.js';
import { tempDir } from '../../support/temp.js';

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, k) => from + k);

describe('layers', () => {
  const layers = 3;
  const weights = (value: number): Weights => {
    const of = (k: number) => bf16(value * (k + 1), value);
    return Object.fromEntries([
      ['model.embed_tokens.weight', of(10)],
      ...range(0, layers).map((k) => [`model.layers.${k}.mlp.weight`, of(k)]),
      ['model.norm.weight', of(20)],
      ['lm_head.weight', of(30)],
    ]);
  };

  it('gradients and filters reach the bytes, the first value those of norm and head', async () => {
    const root = await tempDir();
    const [a, b] = [0, 1].map((value) => writeWeights(join(root, `m${value}`), weights(value))) as [
      string,
      string,
    ];
    const { tensors } = await runMerge(root, {
      merge_method: 'linear',
      models: [
        { model: a, parameters: { weight: 1 } },
        {
          model: b,
          parameters: { weight: [{ filter: 'lm_head', value: [0.25, 9] }, { value: [0.5, 4.5] }] },
        },
      ],
      parameters: { normalize: false },
    });
    const second = (name: string) => tensors.get(name)!.data.readUInt16LE(2);
    const bits = (value: number) => new Uint32Array(Float32Array.of(value).buffer)[0]! >>> 16;
    expect(range(0, layers).map((k) => second(`model.layers.${k}.mlp.weight`))).toEqual(
      [0.5, 2.5, 4.5].map(bits),
    );
    expect(['model.embed_tokens.weight', 'model.norm.weight', 'lm_head.weight'].map(second)).toEqual(
      [0.5, 0.5, 0.25].map(bits),
    );
  });

  it('a layer may be repeated: the output has a copy of its own of each', async () => {
    const root = await tempDir();
    const model = writeWeights(join(root, 'm'), weights(1));
    const config = join(root, 'merge.yml');
    const out = join(root, 'out');
    const slice = (from: number, to: number) => ({ sources: [{ model, layer_range: [from, to] }] });
    writeFileSync(
      config,
      JSON.stringify({ merge_method: 'passthrough', slices: [slice(0, 2), slice(0, 3)] }),
    );
    await mergeFile({ config, out });
    const made = readModel(out);
    const original = readModel(model);
    const origin = [0, 1, 0, 1, 2];
    for (const [k, from] of origin.entries()) {
      const [got, source] = [
        made.get(`model.layers.${k}.mlp.weight`)!,
        original.get(`model.layers.${from}.mlp.weight`)!,
      ];
      expect(got.data.equals(source.data)).toBe(true);
    }
    expect(new Set([...made.values()].map(({ offset }) => offset)).size).toBe(made.size);
    expect(made.size).toBe(origin.length + 3);
  });
});
