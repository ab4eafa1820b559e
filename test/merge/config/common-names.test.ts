// Names that models do not share, and configurations that say different things of equal shapes.
import { describe, expect, it } from 'vitest';
import { headers, llama, llamaShapes, problemsOf, resolveText } from '../../support/headers.js';

const soup = 'merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: a}, {model: b}]';
const renamed = (name: (old: string) => string) =>
  Object.fromEntries(Object.entries(llamaShapes(2)).map(([old, shape]) => [name(old), shape]));

describe('names', () => {
  it.each<[string, (old: string) => string]>([
    ['behind a wrapper', (old) => `model.${old}`],
    ['of a newer version', (old) => old.replace('model.layers', 'model.language_model.layers')],
  ])('%s are none that can be merged', (_name, rename) => {
    const models = [llama('a', 2), headers('b', renamed(rename), { num_hidden_layers: 2 })];
    expect(problemsOf(() => resolveText(soup, models))).toMatchObject([
      {
        code: 'ERR_MISSING_TENSOR',
        file: 'b',
        message: expect.stringMatching(/^b and a name .*: "model\..*/),
      },
    ]);
  });

  it('of parameters in one module are spelt alike', () => {
    const gamma = renamed((old) => old.replace('input_layernorm.weight', 'input_layernorm.gamma'));
    expect(problemsOf(() => resolveText(soup, [llama('a', 2), headers('b', gamma)]))).toMatchObject([
      {
        file: 'b',
        tensor: 'model.layers.0.input_layernorm.gamma',
        message: expect.stringContaining('"model.layers.0.input_layernorm.weight" in the other'),
      },
    ]);
  });

  it('may be more in one model than in the other', () => {
    const more = { ...llamaShapes(2), 'model.layers.0.self_attn.q_proj.bias': [4], 'score.weight': [2, 4] };
    const less = headers('b', { 'model.norm.weight': [4] });
    expect(resolveText(soup, [headers('a', more), llama('b', 2)]).tensors).toHaveLength(11);
    expect(resolveText(soup, [headers('a', more), less]).tensors).toHaveLength(11);
  });
});

describe('configurations', () => {
  it.each([
    ['heads', { num_attention_heads: 2 }, { num_attention_heads: 4 }, /num_attention_heads 2 and 4$/],
    [
      'heads of the text',
      { text_config: { num_key_value_heads: 1 } },
      { text_config: { num_key_value_heads: 2 } },
      /num_key_value_heads 1 and 2$/,
    ],
  ])('with other %s are of other architectures', (_name, a, b, message) => {
    expect(problemsOf(() => resolveText(soup, [llama('a', 2, a), llama('b', 2, b)]))).toMatchObject([
      { code: 'ERR_ARCHITECTURE_MISMATCH', file: 'b', message: expect.stringMatching(message) },
    ]);
  });

  it('of other kinds or with other rotary frequencies are warned of', () => {
    const [a, b] = [
      { model_type: 'llama', rope_theta: 10000 },
      { model_type: 'mistral', rope_parameters: { rope_theta: 1e6 } },
    ];
    expect(resolveText(soup, [llama('a', 2, a), llama('b', 2, b)]).warnings).toEqual([
      'merge.yml: config.json of a and b have model_type "llama" and "mistral", rope_theta 10000 and 1000000; the output has those of the first',
    ]);
    expect(resolveText(soup, [llama('a', 2, a), llama('b', 2, {})]).warnings).toEqual([]);
  });
});
