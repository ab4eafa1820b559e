// What config.json says of layers by their place, once slices have moved them.
import { expect, it } from 'vitest';
import { headers, resolveText } from '../../support/headers.js';

/** The output's changes to a configuration of `layers` layers, and warnings about it. */
function sliced(layers: number, config: Record<string, unknown>, ranges: string, stack = 'model.layers') {
  const names = Array.from({ length: layers }, (_, i) => `${stack}.${i}.w`);
  const model = headers('a', Object.fromEntries(names.map((name) => [name, [2]])), config);
  const sources = ranges.split(' ').map((range) => `  - sources: [{model: a, layer_range: ${range}}]\n`);
  const { configChanges, warnings } = resolveText(`merge_method: passthrough\nslices:\n${sources.join('')}`, [
    model,
  ]);
  return { configChanges, doubts: warnings.filter((text) => !text.includes('no slice takes')) };
}

const six = { num_hidden_layers: 6 };

it.each<[string, Record<string, unknown>, string, Record<string, unknown>]>([
  [
    'lists of indices as long as there are layers',
    { ...six, moe_layers: [0, 1, 2, 3, 4, 5] },
    '[0,4] [2,6]',
    { num_hidden_layers: 8, moe_layers: [0, 1, 2, 3, 4, 5, 6, 7] },
  ],
  [
    'lists of some indices',
    { ...six, moe_layers: [1, 3, 5] },
    '[0,4] [3,6]',
    { num_hidden_layers: 7, moe_layers: [1, 3, 4, 6] },
  ],
  [
    "Zamba 2's hybrid layers",
    { ...six, hybrid_layer_ids: [1, 3, 5] },
    '[0,4] [3,6]',
    { num_hidden_layers: 7, hybrid_layer_ids: [1, 3, 4, 6] },
  ],
  [
    'one letter per layer',
    { ...six, hybrid_override_pattern: 'M-M*-M' },
    '[0,4] [2,6]',
    { num_hidden_layers: 8, hybrid_override_pattern: 'M-M*M*-M' },
  ],
  [
    'experts from a layer on',
    { ...six, first_k_dense_replace: 3 },
    '[0,2] [3,6]',
    { num_hidden_layers: 5, first_k_dense_replace: 2 },
  ],
  [
    'every third layer attends to all',
    { ...six, sliding_window_pattern: 3 },
    '[0,2] [3,6]',
    {
      num_hidden_layers: 5,
      layer_types: [
        ...['sliding_attention', 'sliding_attention', 'sliding_attention', 'sliding_attention'],
        'full_attention',
      ],
    },
  ],
  ['a period that is kept', { ...six, sliding_window_pattern: 3 }, '[0,3] [0,6]', { num_hidden_layers: 9 }],
  [
    "Gemma 2's parity",
    { ...six, model_type: 'gemma2' },
    '[0,1] [2,4]',
    { num_hidden_layers: 3, layer_types: ['sliding_attention', 'sliding_attention', 'full_attention'] },
  ],
  [
    'patterns of letters',
    { ...six, sliding_window_pattern: 'LLG' },
    '[0,2] [4,6]',
    {
      num_hidden_layers: 4,
      layer_types: ['sliding_attention', 'sliding_attention', 'sliding_attention', 'full_attention'],
    },
  ],
  [
    'windows from a layer on that are not in use',
    { ...six, use_sliding_window: false, max_window_layers: 3 },
    '[0,4] [2,6]',
    { num_hidden_layers: 8 },
  ],
  [
    'patterns with how often each comes',
    {
      ...six,
      attention_types: [
        [['global', 'local'], 2],
        [['global'], 2],
      ],
    },
    '[0,2] [3,6]',
    {
      num_hidden_layers: 5,
      attention_types: [[['global', 'local', 'local', 'global', 'global'], 1]],
    },
  ],
  [
    'lists of tokens are none of layers',
    { ...six, suppress_tokens: [1, 2, 3, 4, 5, 6], eos_token_id: [1, 2, 3, 4, 5, 6] },
    '[0,1]',
    { num_hidden_layers: 1 },
  ],
  [
    'stages of a backbone',
    {
      ...six,
      stage_names: ['stem', 'stage1', 'stage2', 'stage3', 'stage4', 'stage5', 'stage6'],
      out_features: ['stage6'],
      out_indices: [6],
    },
    '[0,2]',
    {
      num_hidden_layers: 2,
      stage_names: ['stem', 'stage1', 'stage2'],
      out_features: ['stage2'],
      out_indices: [2],
    },
  ],
])('%s', (_name, config, ranges, configChanges) => {
  expect(sliced(6, config, ranges)).toEqual({ configChanges, doubts: [] });
});

it.each<[string, Record<string, unknown>, string]>([
  ['global_attn_every_n_layers', { ...six, global_attn_every_n_layers: 3 }, '[0,4] [3,6]'],
  ['first_k_dense_replace', { ...six, first_k_dense_replace: 2 }, '[0,3] [1,6]'],
  ['max_window_layers', { ...six, use_sliding_window: true, max_window_layers: 3 }, '[0,3] [1,6]'],
])('%s: what cannot be said is a warning', (key, config, ranges) => {
  expect(sliced(6, config, ranges).doubts).toEqual([
    expect.stringMatching(
      new RegExp(`config\\.json has ${key} [23], .*: layer [34] of the output was layer [13],`),
    ),
  ]);
});

it.each([
  [['x', 'x'], []],
  [
    ['x', 'y'],
    ['config.json of b has no layer_types for its layer 2: layers beyond those of the donor get "y"'],
  ],
])('a layer that no list of %j speaks of', (layer_types, doubts) => {
  const model = (path: string, layers: number, config: object) =>
    headers(
      path,
      Object.fromEntries(Array.from({ length: layers }, (_, i) => [`model.layers.${i}.w`, [2]])),
      {
        num_hidden_layers: layers,
        ...config,
      },
    );
  const text = `merge_method: passthrough
slices: [{sources: [{model: a, layer_range: [0, 2]}]}, {sources: [{model: b, layer_range: [0, 4]}]}]
`;
  const { configChanges, warnings } = resolveText(text, [model('a', 2, { layer_types }), model('b', 4, {})]);
  const last = layer_types[1];
  expect(configChanges).toEqual({
    num_hidden_layers: 6,
    layer_types: [...layer_types, ...layer_types, last, last],
  });
  expect(warnings).toEqual(doubts);
});

it('a list of kinds goes before a period', () => {
  const layer_types = ['x', 'y', 'z', 'x', 'y', 'z'];
  const config = { ...six, sliding_window_pattern: 3, layer_types };
  expect(sliced(6, config, '[0,1] [2,6]').configChanges).toEqual({
    num_hidden_layers: 5,
    layer_types: ['x', 'z', 'x', 'y', 'z'],
  });
});

// Six layers and, behind them, one that predicts further tokens.
it.each<[string, string, Record<string, unknown>]>([
  [
    'left out',
    '[0,4] [2,6]',
    { num_hidden_layers: 8, num_nextn_predict_layers: 0, list: [1, 2, 3, 4, 3, 4, 5, 6] },
  ],
  ['kept', '[0,4] [2,7]', { num_hidden_layers: 8, list: [1, 2, 3, 4, 3, 4, 5, 6] }],
  ['alone left out', '[0,6]', { num_nextn_predict_layers: 0 }],
  ['with all others', '[0,7]', {}],
])('a layer of further tokens that is %s', (_name, ranges, configChanges) => {
  const config = { ...six, num_nextn_predict_layers: 1, list: [1, 2, 3, 4, 5, 6] };
  expect(sliced(7, config, ranges)).toEqual({ configChanges, doubts: [] });
});

it('a layer of further tokens before others is warned of', () => {
  const config = { ...six, num_nextn_predict_layers: 1 };
  expect(sliced(7, config, '[5,7] [0,2]').doubts).toEqual([expect.stringMatching(/belongs behind all/)]);
});

it('final norms of other stacks stay with their stack', () => {
  const model = (path: string) =>
    headers(
      path,
      {
        'model.embed_tokens.weight': [2],
        'model.layers.0.w': [2],
        'model.layers.1.w': [2],
        'model.norm.weight': [2],
        'model.vision_tower.layers.0.w': [2],
        'model.vision_tower.post_layernorm.weight': [2],
      },
      { num_hidden_layers: 2 },
    );
  const merge = resolveText(
    'merge_method: passthrough\nslices:\n  - sources: [{model: a, layer_range: [0, 1]}]\n  - sources: [{model: b, layer_range: [1, 2]}]',
    [model('a'), model('b')],
  );
  const origins = merge.tensors.map(
    ({ name, inputs }) => `${name} ${merge.models[inputs[0]!.model]!.model.path}`,
  );
  expect(origins).toEqual([
    'model.embed_tokens.weight a',
    'model.vision_tower.layers.0.w a',
    'model.vision_tower.post_layernorm.weight a',
    'model.layers.0.w a',
    'model.layers.1.w b',
    'model.norm.weight b',
  ]);
});

it.each(['[1,3]', '[0,1] [0,3]'])('position biases of the first layer stay in it: %s', (ranges) => {
  const bias = 'encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight';
  const names = [0, 1, 2].map((i) => `encoder.block.${i}.layer.0.SelfAttention.q.weight`);
  const t5 = headers('a', Object.fromEntries([...names, bias].map((name) => [name, [2]])), { num_layers: 3 });
  const sources = ranges.split(' ').map((range) => `  - sources: [{model: a, layer_range: ${range}}]\n`);
  const merge = resolveText(`merge_method: passthrough\nslices:\n${sources.join('')}`, [t5]);
  const biases = merge.tensors.filter(({ name }) => name.includes('bias'));
  expect(biases).toMatchObject([{ name: bias, inputs: [{ tensor: bias }] }]);
});
