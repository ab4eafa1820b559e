import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NetworkModel } from '../../lib/eval/network.js';
import type { NetworkInputs } from '../../lib/eval/programs/inputs.js';
import { merge } from '../../lib/merge/merge.js';
import { hostBufferBytes } from '../../lib/native.js';
import { bf16, fromBf16, noise } from '../support/heads.js';
import {
  asFloats,
  bitsOf,
  fixture,
  floats,
  inputsOf,
  pickRows,
  relativeError,
  whole,
} from '../support/networks.js';
import { gelu } from '../support/reference-network.js';
import { readTensors, type Tensor, writeStored } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

interface Family {
  readonly name: string;
  readonly models: readonly [string, string];
  readonly inputs: NetworkInputs;
}

const families: readonly Family[] = [
  family('vit', ['vit-tiny/zeroshot', 'vit-tiny/finetuned'], 'vit-tiny/expected.safetensors', [
    'pixel_values',
  ]),
  family('clip', ['clip-tiny/zeroshot', 'clip-tiny/finetuned'], 'clip-tiny/expected.safetensors'),
  family('llama', ['llama-tiny/base', 'llama-tiny/a'], 'llama-tiny/expected_logits.safetensors', [
    'input_ids',
  ]),
];

function family(name: string, [a, b]: readonly [string, string], file: string, names?: string[]): Family {
  return { name, models: [fixture(a), fixture(b)], inputs: inputsOf(fixture(file), names) };
}

/** Both models of `family` with other weights, in a new directory. */
async function rewrite({ models }: Family, change: (tensor: Tensor) => Tensor): Promise<[string, string]> {
  const root = await tempDir();
  return models.map((from, i) => {
    const to = join(root, String(i));
    mkdirSync(to);
    writeFileSync(join(to, 'config.json'), JSON.stringify(configOf(from)));
    const tensors = [...readTensors(join(from, 'model.safetensors')).values()];
    writeStored(join(to, 'model.safetensors'), tensors.map(change));
    return to;
  }) as [string, string];
}

function configOf(model: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(model, 'config.json'), 'utf8'));
}

describe.each(families)('networks: $name', ({ models, inputs }) => {
  test('candidates together are candidates alone, in any order and number', async () => {
    await using model = await NetworkModel.open(...models);
    const alphas = [0, 0.1, 0.3, 0.5, 1];
    const alone: Map<string, Uint32Array>[] = [];
    for (const alpha of alphas) alone.push(bitsOf((await model.forward(inputs, [alpha]))[0]!));
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray([0, 1, 2, 3, 4], { minLength: 1 }), async (order) => {
        const together = await model.forward(
          inputs,
          order.map((at) => alphas[at]!),
        );
        order.forEach((at, k) => {
          expect(bitsOf(together[k]!)).toEqual(alone[at]);
        });
      }),
      { numRuns: 8 },
    );
  });

  test('neither threads, batches nor the way of a product change a bit', async () => {
    const results = [];
    for (const options of [
      { threads: 1, way: 'fused' },
      { threads: 3, way: 'scratch' },
      { threads: 2, batchTokens: 1 },
    ] as const) {
      await using model = await NetworkModel.open(...models, options);
      results.push((await model.forward(inputs, [0.3, 0.7])).map(bitsOf));
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });

  test('a sample has the same result wherever it stands in the batch', async () => {
    await using model = await NetworkModel.open(...models);
    // Images and texts of CLIP are turned each by itself.
    const turned = new Map(
      [...inputs].map(([name, input]) => {
        const order = Array.from({ length: input.shape[0]! }, (_, i) => i).reverse();
        return [name, pickRows(input, order)];
      }),
    );
    const [plain] = await model.forward(inputs, [0.3]);
    const [other] = await model.forward(turned, [0.3]);
    for (const [name, { data, shape }] of plain!) {
      if (name === 'loss' || name === 'logits_per_image') continue;
      const [rows, width] = [shape[0]!, data.length / shape[0]!];
      const back = Float32Array.from(data, (_, i) => {
        const row = rows - 1 - Math.floor(i / width);
        return other!.get(name)!.data[row * width + (i % width)]!;
      });
      expect(back).toEqual(data);
    }
  });

  test('an alpha per tensor: the same for all is that alpha, another for some is another result', async () => {
    await using model = await NetworkModel.open(...models);
    const [plain, same, split] = await model.forward(inputs, [
      0.3,
      () => 0.3,
      (tensor) => (/layers?\.0\./.test(tensor) ? 1 : 0.3),
    ]);
    expect(bitsOf(same!)).toEqual(bitsOf(plain!));
    for (const [name, { data }] of plain!) {
      const change = relativeError(split!.get(name)!.data, data);
      expect(change, name).toBeGreaterThan(1e-4);
    }
  });

  test('memory is given back', async () => {
    const before = hostBufferBytes();
    await (async () => {
      await using model = await NetworkModel.open(...models);
      await model.forward(inputs, [0, 1]);
      expect(hostBufferBytes()).toBeGreaterThan(before);
    })();
    expect(hostBufferBytes()).toBe(before);
  });
});

describe('networks', () => {
  const vit = families[0]!;

  test('weights in BF16 and F64 give what the same numbers give in F32', async () => {
    const rounded = (tensor: Tensor) => bf16(asFloats(tensor));
    const bytes = (array: Uint16Array | Float32Array | Float64Array) =>
      Buffer.from(array.buffer, array.byteOffset, array.byteLength);
    const versions = [
      await rewrite(vit, (t) => ({ ...t, data: bytes(fromBf16(rounded(t))) })),
      await rewrite(vit, (t) => ({ ...t, dtype: 'BF16', data: bytes(rounded(t)) })),
      await rewrite(vit, (t) => ({
        ...t,
        dtype: 'F64',
        data: bytes(Float64Array.from(fromBf16(rounded(t)))),
      })),
    ];
    const results = [];
    for (const version of versions) {
      await using model = await NetworkModel.open(...version);
      results.push((await model.forward(vit.inputs, [0, 0.3, 1])).map(bitsOf));
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
    // One model in each dtype.
    await using mixed = await NetworkModel.open(versions[0]![0], versions[1]![1]);
    expect((await mixed.forward(vit.inputs, [0, 0.3, 1])).map(bitsOf)).toEqual(results[0]);
  });

  test('a point of the path is the model that merge writes there, bit for bit', async () => {
    for (const { models, inputs } of families.slice(0, 2)) {
      const [zeroshot, finetuned] = models;
      const out = join(await tempDir(), 'merged');
      await merge({ zeroshot, finetuned, alpha: 0.3, out });
      await using path = await NetworkModel.open(zeroshot, finetuned);
      await using merged = await NetworkModel.open(out);
      const [point] = await path.forward(inputs, [0.3]);
      const [model] = await merged.forward(inputs, [0]);
      expect(bitsOf(model!)).toEqual(bitsOf(point!));
    }
  });

  test('an MLP against its definition in f64', async () => {
    const random = noise(4);
    const sizes = [5, 9, 3];
    const make = () =>
      sizes
        .slice(1)
        .flatMap((outputs, i) => [
          Float32Array.from({ length: outputs * sizes[i]! }, random),
          Float32Array.from({ length: outputs }, random),
        ]);
    const models = [make(), make()];
    const root = await tempDir();
    const shapes = [[9, 5], [9], [3, 9], [3]];
    const paths = models.map((arrays, m) => {
      const path = join(root, `${m}.safetensors`);
      writeStored(
        path,
        ['0.weight', '0.bias', '2.weight', '2.bias'].map((name, i) => ({
          name,
          dtype: 'F32',
          shape: shapes[i]!,
          data: Buffer.from(arrays[i]!.buffer),
        })),
      );
      return path;
    });
    const features = Float32Array.from({ length: 4 * 5 }, random);
    await using model = await NetworkModel.open(paths[0]!, paths[1]!);
    const [result] = await model.forward(new Map([['features', floats([4, 5], features)]]), [0.4]);
    const at = (i: number, j: number) => models[0]![i]![j]! + 0.4 * (models[1]![i]![j]! - models[0]![i]![j]!);
    const expected = Array.from({ length: 4 * 3 }, (_, out) => {
      const [row, c] = [Math.floor(out / 3), out % 3];
      let z = at(3, c);
      for (let h = 0; h < 9; h++) {
        let inner = at(1, h);
        for (let d = 0; d < 5; d++) inner += features[row * 5 + d]! * at(0, h * 5 + d);
        z += gelu(inner) * at(2, c * 9 + h);
      }
      return z;
    });
    expect(result!.get('logits')!.shape).toEqual([4, 3]);
    expect(relativeError(result!.get('logits')!.data, expected)).toBeLessThan(2e-6);
  });

  test.each([
    [
      'inputs of another name',
      () => new Map([['pixels', floats([1], new Float32Array(1))]]),
      'ERR_DATA_MISMATCH',
    ],
    [
      'images of another size',
      () => new Map([['pixel_values', floats([1, 3, 16, 16], new Float32Array(768))]]),
      'ERR_DATA_MISMATCH',
    ],
    [
      'whole numbers as pixels',
      () => new Map([['pixel_values', whole([1, 3, 32, 32], Array(3072).fill(1))]]),
      'ERR_DTYPE_MISMATCH',
    ],
  ])('refuses %s', async (_, inputs, code) => {
    await using model = await NetworkModel.open(...vit.models);
    await expect(model.forward(inputs(), [0])).rejects.toMatchObject({ code });
  });

  test.each(families)(
    'refuses inputs without samples, naming the tensor: $name',
    async ({ models, inputs }) => {
      await using model = await NetworkModel.open(...models);
      const none = new Map([...inputs].map(([name, input]) => [name, pickRows(input, [])]));
      await expect(model.forward(none, [0])).rejects.toMatchObject({
        code: 'ERR_DATA_MISMATCH',
        tensor: expect.stringMatching(/^(pixel_values|input_ids)$/),
        message: expect.stringMatching(/is \[0, .*no samples/),
      });
    },
  );

  test('refuses sequences without tokens', async () => {
    await using model = await NetworkModel.open(...families[2]!.models);
    await expect(model.forward(new Map([['input_ids', whole([2, 0], [])]]), [0])).rejects.toMatchObject({
      code: 'ERR_DATA_MISMATCH',
      message: expect.stringContaining('no tokens'),
    });
  });

  test('refuses token numbers outside the vocabulary, naming them', async () => {
    await using model = await NetworkModel.open(...families[2]!.models);
    const inputs = new Map([['input_ids', whole([1, 3], [1, 160, 2])]]);
    await expect(model.forward(inputs, [0])).rejects.toThrow('input_ids: 160 is outside 0..159');
  });

  test('an unknown model_type is an error that lists the known ones', async () => {
    const [path] = await rewrite(vit, (t) => t);
    writeFileSync(join(path, 'config.json'), JSON.stringify({ model_type: 'mamba' }));
    const error = await NetworkModel.open(path).catch((e) => e);
    expect(error).toMatchObject({ code: 'ERR_CONFIG' });
    expect(error.message).toContain('"mamba"');
    for (const name of ['vit', 'clip', 'llama', 'mistral', 'qwen2', 'qwen3'])
      expect(error.hint).toContain(name);
  });

  test('a file of weights alone is refused with its directory as the remedy', async () => {
    const [directory] = vit.models;
    const path = join(directory, 'model.safetensors');
    await expect(NetworkModel.open(path)).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: `${path} is a file of weights, which does not say what network they are of`,
      hint: `Give its directory, with the model's config.json: ${directory}.`,
    });
  });

  test.each([
    ['hidden_act', 'mish', /hidden_act .* "mish"; expected one of gelu,/],
    ['num_attention_heads', 0, /num_attention_heads .* 0; expected a whole number/],
    ['num_hidden_layers', 4, /no tensor "vit.encoder.layer.3/],
    ['patch_size', 4, /patch_embeddings.projection.weight" is \[48, 3, 8, 8\]; the network needs \[…, 48\]/],
  ])('config.json with %s %j is refused by name', async (field, value, message) => {
    const [path] = await rewrite(vit, (t) => t);
    writeFileSync(join(path, 'config.json'), JSON.stringify({ ...configOf(vit.models[0]), [field]: value }));
    const run = async () => {
      await using model = await NetworkModel.open(path);
      await model.forward(vit.inputs, [0]);
    };
    await expect(run()).rejects.toThrow(message);
  });

  test('models that do not belong together are refused', async () => {
    await expect(NetworkModel.open(vit.models[0], families[1]!.models[1])).rejects.toMatchObject({
      code: 'ERR_ARCHITECTURE_MISMATCH',
    });
    const [a] = await rewrite(vit, (t) => t);
    const [, b] = await rewrite(vit, (t) => (t.name === 'vit.layernorm.bias' ? { ...t, name: 'other' } : t));
    await using model = await NetworkModel.open(a, b);
    await expect(model.forward(vit.inputs, [0.5])).rejects.toMatchObject({
      code: 'ERR_MISSING_TENSOR',
      tensor: 'vit.layernorm.bias',
    });
  });

  test('an abort stops an evaluation', async () => {
    await using model = await NetworkModel.open(...vit.models);
    const controller = new AbortController();
    controller.abort(new Error('enough'));
    await expect(model.forward(vit.inputs, [0.5], { signal: controller.signal })).rejects.toThrow('enough');
  });
});
