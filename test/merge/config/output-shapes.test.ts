// Tensors of several models that do not make one model, and those that do in spite of their shapes.
import { describe, expect, it } from 'vitest';
import type { Config } from '../../../lib/checkpoint/checkpoint.js';
import { headers, llama, llamaShapes, problemsOf, resolveText, tensorOf } from '../../support/headers.js';

const up = (layer: number) => `model.layers.${layer}.mlp.up_proj.weight`;
const slices = `merge_method: passthrough
slices:
  - sources: [{model: a, layer_range: [0, 2]}]
  - sources: [{model: b, layer_range: [2, 4]}]
`;

/** Four layers whose MLPs have these numbers of rows. */
function withRows(path: string, rows: readonly number[], config: Config = {}) {
  const sizes = Object.fromEntries(rows.map((count, layer) => [up(layer), [count, 4]]));
  return headers(path, { ...llamaShapes(4), ...sizes }, { num_hidden_layers: 4, ...config });
}

describe('layers of several sizes', () => {
  it('are an error with both tensors, both models and the place', () => {
    const models = [withRows('a', [6, 6, 6, 6]), withRows('b', [9, 9, 9, 9])];
    expect(problemsOf(() => resolveText(slices, models))).toMatchObject([
      {
        errorCode: 'ERR_INCOMPATIBLE',
        code: 'ERR_SHAPE_MISMATCH',
        tensor: up(2),
        file: 'merge.yml',
        line: 4,
        message: `"${up(2)}": shape [9, 4], that of "${up(2)}" in b; "${up(0)}" is [6, 4] in a, which gives configuration and tokenizer`,
        fix: expect.stringMatching(/one architecture and size/),
      },
    ]);
  });

  it('are an error among models where the donor has no such layers', () => {
    const other = headers('d', { 'other.layers.0.w': [3] }, {});
    const models = [withRows('a', [6, 6, 6, 6]), withRows('b', [9, 9, 9, 9]), other];
    expect(problemsOf(() => resolveText(`${slices}base_model: d\n`, models))).toMatchObject([
      {
        tensor: up(2),
        message: `"${up(2)}": shape [9, 4], that of "${up(2)}" in b; "${up(0)}" is [6, 4] in a`,
      },
    ]);
  });

  it.each([
    ['of a donor whose layers differ', withRows('a', [6, 7, 8, 9]), withRows('b', [5, 5, 5, 5])],
    ['of a model whose layers differ', withRows('a', [6, 6, 6, 6]), withRows('b', [6, 7, 8, 9])],
    [
      'that the configuration states by layer',
      withRows('a', [6, 6, 6, 6], { text_config: { intermediate_size: [6, 6, 6, 6] } }),
      withRows('b', [9, 9, 9, 9], { text_config: { intermediate_size: [9, 9, 9, 9] } }),
    ],
  ])('%s are fine', (_name, a, b) => {
    expect(tensorOf(resolveText(slices, [a, b]), up(2)).inputs[0]!.tensor).toBe(up(2));
  });

  it('buffers of booleans are no weights', () => {
    const mask = (path: string, length: number) => {
      const buffers = [0, 1, 2, 3].map((layer) => [
        `model.layers.${layer}.mask`,
        { shape: [length], dtype: 'BOOL' as const },
      ]);
      return headers(path, { ...llamaShapes(4), ...Object.fromEntries(buffers) }, { num_hidden_layers: 4 });
    };
    expect(tensorOf(resolveText(slices, [mask('a', 3), mask('b', 5)]), 'model.layers.3.mask').shape).toEqual([
      5,
    ]);
  });
});

describe('what lies outside layers', () => {
  const wanted = { tensor: 'lm_head.weight', line: 4, fix: expect.stringMatching(/tokenizer_source: union/) };

  it('embedding and head of two vocabularies are an error, and fine with a tokenizer', () => {
    const models = [llama('a', 4), llama('b', 4, {}, 9)];
    expect(problemsOf(() => resolveText(slices, models))).toMatchObject([wanted]);
    const merge = resolveText(`${slices}tokenizer_source: union\n`, models);
    expect(tensorOf(merge, 'lm_head.weight').remapped).toBe(true);
  });

  it('a donor that ties its head wants one of as many rows as its embedding', () => {
    const { 'lm_head.weight': _, ...shapes } = llamaShapes(4);
    const tied = headers('a', shapes, { num_hidden_layers: 4, tie_word_embeddings: true });
    const untied = llama('b', 4, { tie_word_embeddings: false }, 9);
    expect(problemsOf(() => resolveText(slices, [tied, untied]))).toMatchObject([wanted]);
  });

  it('a donor whose head has fewer rows than its embedding is taken as it is', () => {
    const draft = (path: string) =>
      headers(path, { ...llamaShapes(4), 'lm_head.weight': [5, 4] }, { num_hidden_layers: 4 });
    expect(tensorOf(resolveText(slices, [draft('a'), draft('b')]), 'lm_head.weight').shape).toEqual([5, 4]);
  });

  it('a donor of another size than what is merged is an error, once for all layers', () => {
    const text = 'merge_method: linear\nbase_model: a\nparameters: {weight: 1}\nmodels: [{model: b}]';
    const wide = headers('b', { 'model.norm.weight': [8], 'model.layers.0.w': [8], 'model.layers.1.w': [8] });
    const donor = headers(
      'a',
      { 'model.norm.weight': [4], 'model.layers.0.w': [4], 'model.layers.1.w': [4] },
      {},
    );
    const list = problemsOf(() => resolveText(text, [wide, donor]));
    expect(list.map(({ tensor, line }) => [tensor, line])).toEqual([
      ['model.norm.weight', 4],
      ['model.layers.0.w', 4],
    ]);
  });
});

describe('layers of several dtypes', () => {
  const f32 = headers(
    'b',
    Object.fromEntries(
      Object.entries(llamaShapes(4)).map(([name, shape]) => [name, { shape, dtype: 'F32' as const }]),
    ),
  );
  const warned = (rest: string) =>
    resolveText(slices + rest, [llama('a', 4), f32]).warnings.filter((text) => /dtype/.test(text));

  it('are kept, with a warning', () => {
    expect(warned('')).toEqual([
      expect.stringMatching(/merge\.yml: 6 tensors of layers are F32 where others are BF16, .*layers\.2\./),
    ]);
  });

  it('are one with out_dtype, without a word', () => expect(warned('out_dtype: bfloat16\n')).toEqual([]));
});
