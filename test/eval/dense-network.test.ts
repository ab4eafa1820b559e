import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint.js';
import { findNetwork, type NetworkOptions } from '../../lib/eval/dense-network.js';
import { type ModelOptions, writeModel } from '../support/models.js';
import { type Tensor, tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

async function network(tensors: readonly Tensor[], model: ModelOptions = {}, options: NetworkOptions = {}) {
  const path = writeModel(join(await tempDir(), 'm'), tensors, model);
  await using checkpoint = await openCheckpoint(path);
  const found = findNetwork(checkpoint, options);
  return found.layers.map(({ kind, inputs, outputs, weight, bias }) =>
    [kind, weight?.name, bias?.name, `${inputs}-${outputs}`].filter((word) => word !== undefined).join(' '),
  );
}

const f32 = (name: string, ...shape: number[]) => tensor(name, 'F32', shape);

describe('an MLP', () => {
  test('of a Sequential: the gap is the activation', async () => {
    const linear = [f32('0.weight', 5, 3), f32('0.bias', 5), f32('3.weight', 2, 5)];
    const norm = (n: number) => [f32(`${n}.weight`, 5), f32(`${n}.bias`, 5)];
    const [first, last] = ['linear 0.weight 0.bias 3-5', 'linear 3.weight 5-2'];
    expect(await network([...linear, ...norm(1)])).toEqual([
      first,
      'layernorm 1.weight 1.bias 5-5',
      'gelu 5-5',
      last,
    ]);
    expect(await network([...linear, ...norm(2)])).toEqual([
      first,
      'gelu 5-5',
      'layernorm 2.weight 2.bias 5-5',
      last,
    ]);
  });

  test('of numbered layers, in the order of the numbers', async () => {
    const tensors = [10, 2, 1].map((n) => f32(`net.layers.${n}.weight`, 4, 4));
    expect(await network(tensors, { config: { hidden_act: 'relu' } })).toEqual([
      'linear net.layers.1.weight 4-4',
      'relu 4-4',
      'linear net.layers.2.weight 4-4',
      'relu 4-4',
      'linear net.layers.10.weight 4-4',
    ]);
  });

  test('of fc1, ln1, fc2 and a head', async () => {
    const tensors = [
      f32('head.weight', 2, 6),
      f32('fc2.weight', 6, 5),
      f32('ln1.weight', 5),
      f32('fc1.weight', 5, 3),
      f32('fc1.bias', 5),
    ];
    expect(await network(tensors, { config: { activation: 'gelu' } })).toEqual([
      'linear fc1.weight fc1.bias 3-5',
      'layernorm ln1.weight 5-5',
      'gelu 5-5',
      'linear fc2.weight 5-6',
      'gelu 6-6',
      'linear head.weight 6-2',
    ]);
  });

  test('with a normalisation of its inputs', async () => {
    expect(await network([f32('0.weight', 3), f32('0.bias', 3), f32('1.weight', 2, 3)])).toEqual([
      'layernorm 0.weight 0.bias 3-3',
      'linear 1.weight 3-2',
    ]);
  });

  test('takes the activation that the caller names over that of the configuration', async () => {
    const tensors = [f32('0.weight', 4, 4), f32('2.weight', 4, 4)];
    const config = { hidden_act: 'quick_gelu' };
    expect((await network(tensors, { config }, { activation: 'relu' }))[1]).toBe('relu 4-4');
    await expect(network(tensors, { config })).rejects.toMatchObject({ code: 'ERR_CONFIG' });
  });
});

describe('a head', () => {
  test('alone, with or without a bias', async () => {
    expect(await network([f32('weight', 7, 3)])).toEqual(['linear weight 3-7']);
    expect(await network([f32('weight', 7, 3), f32('bias', 7)])).toEqual(['linear weight bias 3-7']);
  });

  test('of a model that is no MLP', async () => {
    const tensors = [
      f32('conv', 4, 3, 2, 2),
      f32('visual.proj', 4, 4),
      f32('head.weight', 7, 4),
      f32('head.bias', 7),
    ];
    // An activation of the encoder is none of its business.
    const model = { config: { hidden_act: 'silu' } };
    expect(await network(tensors, model)).toEqual(['linear head.weight head.bias 4-7']);
  });

  test('of an MLP, when it is named', async () => {
    const tensors = [f32('fc1.weight', 5, 3), f32('fc2.weight', 2, 5), f32('fc2.bias', 2)];
    expect(await network(tensors, {}, { head: 'fc2.weight' })).toEqual(['linear fc2.weight fc2.bias 5-2']);
  });
});

describe('what cannot be trained is a typed error', () => {
  const cases: [string, Tensor[], object][] = [
    ['nothing that looks like a head', [f32('a', 3, 3), f32('b', 3, 3)], { code: 'ERR_NO_SUCH_TENSOR' }],
    [
      'layers that do not form a chain',
      [f32('0.weight', 5, 3), f32('2.weight', 2, 4)],
      {
        code: 'ERR_SHAPE_MISMATCH',
        tensor: '2.weight',
        message: expect.stringContaining('0.weight before it gives 5'),
      },
    ],
    [
      'a bias that does not fit',
      [f32('weight', 5, 3), f32('bias', 4)],
      { code: 'ERR_SHAPE_MISMATCH', tensor: 'bias' },
    ],
    ['an empty matrix', [f32('weight', 0, 3)], { code: 'ERR_SHAPE_MISMATCH', tensor: 'weight' }],
    ['f64', [tensor('weight', 'F64', [5, 3])], { code: 'ERR_DTYPE_MISMATCH', tensor: 'weight' }],
  ];
  test.each(cases)('%s', async (_name, tensors, error) => {
    await expect(network(tensors)).rejects.toMatchObject(error);
  });
});
