// What a merge file says arrives at the native call: models in order, base, weights, views, dtypes, with numbers so
// simple that every result is exact.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bf16, f32, numbers, Workshop } from '../../support/merge-file.js';
import { contents, writeShards } from '../../support/models.js';
import { randomF32 } from '../../support/random.js';
import { tensor, writeStored } from '../../support/safetensors.js';
import { tempDir } from '../../support/temp.js';
import { stateDict, writeTorch } from '../../support/torch.js';

const layer = (k: number) => `model.layers.${k}.w.weight`;

/** base 1, a 2, b 4, c 8, in every element of two layers, an embedding, a norm. */
async function powers(dtype: 'F32' | 'BF16' = 'F32'): Promise<Workshop> {
  const shop = new Workshop(await tempDir());
  const make = dtype === 'F32' ? f32 : bf16;
  for (const [name, value] of Object.entries({ base: 1, a: 2, b: 4, c: 8 })) {
    const of = (tensorName: string, shape: number[]) =>
      make(tensorName, shape, new Array(shape.reduce((x, y) => x * y, 1)).fill(value));
    shop.model(
      name,
      [
        of('model.embed_tokens.weight', [3, 2]),
        of(layer(0), [2, 2]),
        of(layer(1), [2, 2]),
        of('model.norm.weight', [2]),
      ],
      { config: { num_hidden_layers: 2, dtype: dtype === 'F32' ? 'float32' : 'bfloat16' } },
    );
  }
  return shop;
}

const first = (shop: Workshop, name: string, ...parts: string[]) =>
  numbers(shop.output(...parts).get(name)!)[0];

describe('weights', () => {
  it('go with their models, and the sum is divided by', async () => {
    const shop = await powers();
    await shop.merge(`merge_method: linear
models:
  - {model: $/a, parameters: {weight: 1}}
  - {model: $/b, parameters: {weight: 2}}
  - {model: $/c, parameters: {weight: 1}}
`);
    expect(first(shop, layer(0))).toBe((2 + 2 * 4 + 8) / 4);
    await shop.merge(
      `merge_method: linear
parameters: {normalize: false, weight: 0.5}
models: [{model: $/a}, {model: $/b, parameters: {weight: [1, 3]}}]
`,
      { force: true },
    );
    expect([layer(0), layer(1), 'model.norm.weight'].map((name) => first(shop, name))).toEqual([5, 13, 5]);
  });

  it('are those of deltas, with lambda and the base', async () => {
    const shop = await powers();
    await shop.merge(`merge_method: task_arithmetic
base_model: $/base
models: [{model: $/a, parameters: {weight: 1}}, {model: $/b, parameters: {weight: -2}}]
parameters: {lambda: 0.5}
`);
    expect(first(shop, layer(1))).toBe(1 + 0.5 * (1 * 1 - 2 * 3));
  });

  it('of 0 leave a model out, whatever it holds', async () => {
    const shop = await powers();
    shop.model('bad', [f32(layer(0), [2, 2], [Number.NaN, Infinity, 0, 0])]);
    const result = await shop.merge(`merge_method: linear
models: [{model: $/bad, parameters: {weight: 0}}, {model: $/a, parameters: {weight: 3}}]
`);
    expect(numbers(shop.output().get(layer(0))!)).toEqual([2, 2, 2, 2]);
    expect(result.documents[0]!.nonFinite).toEqual({});
  });
});

describe('the base', () => {
  it('is t = 0 of slerp wherever it is listed', async () => {
    const shop = await powers();
    for (const models of ['[{model: $/a}, {model: $/base}]', '[{model: $/base}, {model: $/a}]']) {
      // Parallel tensors are interpolated in a straight line.
      const text = `merge_method: slerp\nbase_model: $/base\nmodels: ${models}\nparameters: {t: 0.25}\n`;
      await shop.merge(text, { force: true });
      expect(first(shop, layer(0))).toBe(1.25);
    }
  });

  it('of nearswap moves by t over the distance', async () => {
    const shop = await powers();
    await shop.merge(
      'merge_method: nearswap\nbase_model: $/base\nmodels: [{model: $/base}, {model: $/c}]\nparameters: {t: 1.75}\n',
    );
    expect(first(shop, layer(0))).toBe(1 + (1.75 / 7) * 7);
  });

  it('is not averaged in by a method that has no use for it', async () => {
    const shop = await powers();
    const { warnings } = await shop.merge(
      'merge_method: karcher\nbase_model: $/base\nmodels: [{model: $/a}, {model: $/b}]\n',
    );
    expect(first(shop, layer(0))).toBeCloseTo(3, 5);
    expect(warnings.join()).toMatch(/base_model .* is not listed/);
  });
});

describe('rows', () => {
  it('are the last axis for model_stock, axis 0 or the last for nuslerp', async () => {
    const shop = new Workshop(await tempDir());
    // Deltas from a base of zeros: in row 0 equal, in row 1 orthogonal.
    shop.model('base', [f32('w', [2, 2], [0, 0, 0, 0])]);
    shop.model('a', [f32('w', [2, 2], [1, 0, 1, 0])]);
    shop.model('b', [f32('w', [2, 2], [1, 0, 0, 1])]);
    const models = 'models: [{model: $/base}, {model: $/a}, {model: $/b}]';
    await shop.merge(
      `merge_method: model_stock\nbase_model: $/base\n${models}\nparameters: {filter_wise: true}\n`,
    );
    // cos 1: t = 1, the mean. cos 0: t = 0, the base.
    expect(numbers(shop.output().get('w')!)).toEqual([1, 0, 0, 0]);

    const nuslerp = (wise: boolean) =>
      shop.merge(
        `merge_method: nuslerp
models: [{model: $/a, parameters: {weight: 1}}, {model: $/b, parameters: {weight: 1}}]
parameters: {nuslerp_flatten: false, nuslerp_row_wise: ${wise}}
`,
        { force: true },
      );
    const half = Math.SQRT1_2;
    await nuslerp(false);
    const rows = numbers(shop.output().get('w')!);
    for (const [i, value] of [1, 0, half, half].entries()) expect(rows[i]).toBeCloseTo(value, 6);
    // Columns: [1, 1] and [1, 0] are 45 degrees apart; [0, 0] has no direction, which counts as 90.
    await nuslerp(true);
    const columns = numbers(shop.output().get('w')!);
    const halfway = Math.sin(Math.PI / 8) / Math.sin(Math.PI / 4);
    for (const [i, value] of [2 * halfway, 0, halfway, half].entries())
      expect(columns[i]).toBeCloseTo(value, 6);
  });
});

describe('dtypes', () => {
  it('are the first model’s, dtype, or out_dtype, in the files and in config.json', async () => {
    const shop = await powers('BF16');
    const models = 'models: [{model: $/a, parameters: {weight: 1}}, {model: $/b, parameters: {weight: 3}}]';
    const run = async (extra: string) => {
      await shop.merge(`merge_method: linear\n${models}\n${extra}\n`, { force: true });
      const { dtype } = JSON.parse(readFileSync(shop.path('out/config.json'), 'utf8'));
      return [shop.output().get(layer(0))!.dtype, dtype, first(shop, layer(0))];
    };
    expect(await run('')).toEqual(['BF16', 'bfloat16', 3.5]);
    expect(await run('dtype: float32')).toEqual(['F32', 'float32', 3.5]);
    expect(await run('dtype: float32\nout_dtype: bfloat16')).toEqual(['BF16', 'bfloat16', 3.5]);
  });

  it('of integers stay, and what differs is an error that names the tensor', async () => {
    const shop = new Workshop(await tempDir());
    const ids = (...values: number[]) =>
      tensor('position_ids', 'I64', [values.length], BigInt64Array.from(values.map(BigInt)));
    shop.model('a', [ids(0, 1), f32('w', [1], [1])]);
    shop.model('b', [ids(0, 1), f32('w', [1], [3])]);
    shop.model('c', [ids(0, 2), f32('w', [1], [3])]);
    const text = (other: string) =>
      `merge_method: uniform_soup\nmodels: [{model: $/a}, {model: $/${other}}]\ndtype: float32\n`;
    await shop.merge(text('b'));
    expect(shop.output().get('position_ids')!.data).toEqual(ids(0, 1).data);
    await expect(shop.merge(text('c'), { force: true })).rejects.toMatchObject({
      code: 'ERR_INCOMPATIBLE',
      tensor: 'position_ids',
      details: { problems: [{ code: 'ERR_INTEGER_TENSOR_DIFFERS' }] },
    });
  });
});

describe('slices and modules', () => {
  it('stack layers of several models and renumber them', async () => {
    const shop = await powers();
    await shop.merge(`merge_method: passthrough
slices:
  - sources: [{model: $/a, layer_range: [0, 2]}]
  - sources: [{model: $/b, layer_range: [1, 2], parameters: {scale: 0.5}}]
  - sources: [{model: $/a, layer_range: [0, 1]}]
`);
    const out = shop.output();
    expect([...out.keys()].filter((name) => name.includes('layers')).sort()).toEqual([0, 1, 2, 3].map(layer));
    expect([0, 1, 2, 3].map((k) => first(shop, layer(k)))).toEqual([2, 2, 2, 2]);
    expect(first(shop, 'model.embed_tokens.weight')).toBe(2);
  });

  it('merge one part of a model and copy the rest', async () => {
    const shop = new Workshop(await tempDir());
    for (const [name, value] of [
      ['a', 1],
      ['b', 3],
    ] as const) {
      shop.model(name, [
        f32('language_model.layers.0.w', [1], [value]),
        f32('vision_tower.layers.0.w', [1], [value]),
        f32('projector.w', [1], [value]),
      ]);
    }
    const { warnings } = await shop.merge(`merge_method: linear
base_model: $/b
parameters: {weight: 1}
modules:
  language_model: {models: [{model: $/a}, {model: $/b}]}
  vision_tower: {models: [{model: $/a}]}
`);
    const of = (name: string) => first(shop, name);
    expect([of('language_model.layers.0.w'), of('vision_tower.layers.0.w'), of('projector.w')]).toEqual([
      2, 1, 3,
    ]);
    expect(warnings.join()).toMatch(/1 tensors belong to no module and are copied from .*projector\.w/);
  });
});

describe('inputs', () => {
  it('of torch.save and of several shards are merged as they are', async () => {
    const shop = new Workshop(await tempDir());
    const values = (x: number) => [f32('w.0', [2], [x, 2 * x]), f32('w.1', [1], [x])];
    mkdirSync(shop.path('torch'));
    writeTorch(join(shop.path('torch'), 'pytorch_model.bin'), stateDict(values(1)));
    writeShards(
      shop.path('shards'),
      values(3).map((one) => [one]),
    );
    await shop.merge('merge_method: uniform_soup\nmodels: [{model: $/torch}, {model: $/shards}]\n');
    expect(numbers(shop.output().get('w.0')!)).toEqual([2, 4]);
    expect(numbers(shop.output().get('w.1')!)).toEqual([2]);
  });

  it('with an adapter are the sum of the two', async () => {
    const shop = await powers();
    mkdirSync(shop.path('lora'));
    const name = 'base_model.model.model.layers.0.w';
    writeStored(shop.path('lora/adapter_model.safetensors'), [
      f32(`${name}.lora_A.weight`, [1, 2], [1, 2]),
      f32(`${name}.lora_B.weight`, [2, 1], [10, 100]),
    ]);
    writeFileSync(
      shop.path('lora/adapter_config.json'),
      JSON.stringify({ peft_type: 'LORA', r: 1, lora_alpha: 2, bias: 'none', target_modules: ['w'] }),
    );
    const text = `merge_method: task_arithmetic
base_model: $/base
models: [{model: $/base+$/lora, parameters: {weight: 0.5}}]
`;
    await shop.merge(text);
    // 1 + 0.5 · 2 · B A
    expect(numbers(shop.output().get(layer(0))!)).toEqual([11, 21, 101, 201]);
    expect(first(shop, layer(1))).toBe(1);
    // What PEFT saved beside the product takes the place of the base's.
    writeStored(shop.path('lora/adapter_model.safetensors'), [
      f32(`${name}.lora_A.weight`, [1, 2], [1, 2]),
      f32(`${name}.lora_B.weight`, [2, 1], [10, 100]),
      f32(`${name}.base_layer.weight`, [2, 2], [3, 3, 5, 5]),
    ]);
    await shop.merge(text, { force: true });
    // 1 + 0.5 · (saved + 2 · B A - 1)
    expect(numbers(shop.output().get(layer(0))!)).toEqual([12, 22, 103, 203]);
  });
});

it('results depend on neither threads, memory, shards nor how files are read', async () => {
  const shop = new Workshop(await tempDir());
  for (const [i, name] of ['base', 'a', 'b'].entries()) {
    const tensors = [300_000, 70_001, 3].map((count, k) =>
      tensor(`w.${k}`, 'F32', [count], randomF32(count, 7 * i + k)),
    );
    shop.model(name, tensors);
  }
  for (const method of ['ties', 'dare_ties', 'della', 'slerp', 'linear']) {
    const models = method === 'slerp' ? '[{model: $/base}, {model: $/a}]' : '[{model: $/a}, {model: $/b}]';
    const parameters =
      method === 'slerp' ? 't: 0.3' : method === 'linear' ? 'weight: 0.7' : 'weight: 0.7, density: 0.5';
    const text = `merge_method: ${method}\nbase_model: $/base\nmodels: ${models}\nparameters: {${parameters}}\n`;
    const seen = [];
    for (const options of [
      {},
      { threads: 1, memory: 2 ** 24, readMode: 'direct' as const },
      { threads: 2, memory: 2 ** 28, shardSize: 400_000, readMode: 'cached' as const },
    ]) {
      await shop.merge(text, { ...options, seed: 5, force: true });
      seen.push(contents(shop.output()));
    }
    expect(seen[1], method).toEqual(seen[0]);
    expect(seen[2], method).toEqual(seen[0]);
  }
});
