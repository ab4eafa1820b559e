// Configurations applied to headers: which tensors the output has, and with which numbers each is made.

import { describe, expect, it } from 'vitest';
import { applyChanges } from '../../../lib/merge/config/resolve.js';
import { headers, llama, llamaShapes, problemsOf, resolveText, tensorOf } from '../../support/headers.js';

const q = (layer: number) => `model.layers.${layer}.self_attn.q_proj.weight`;
const up = (layer: number) => `model.layers.${layer}.mlp.up_proj.weight`;
const slerp = (t: string) =>
  `merge_method: slerp\nbase_model: a\nmodels: [{model: a}, {model: b}]\nparameters:\n  t: ${t}\n`;
const two = (layers = 5) => [llama('a', layers), llama('b', layers)];

describe('gradients', () => {
  const merge = resolveText(slerp('[0, 1]'), two());
  const t = (name: string) => tensorOf(merge, name).parameters.t;

  it('run over the layers', () => {
    expect([0, 1, 2, 3, 4].map((layer) => t(q(layer)))).toEqual([0, 0.25, 0.5, 0.75, 1]);
  });

  it('quirk: final norm and lm_head take the first value, as the embeddings do', () => {
    expect([t('model.embed_tokens.weight'), t('model.norm.weight'), t('lm_head.weight')]).toEqual([0, 0, 0]);
  });

  it('a single layer takes the last value: t = 1', () => {
    expect(tensorOf(resolveText(slerp('[0, 1]'), two(1)), q(0)).parameters.t).toBe(1);
  });

  it('restart in every slice', () => {
    const merge = resolveText(
      `merge_method: linear
parameters: {weight: [1, 3]}
slices:
  - sources: [{model: a, layer_range: [0, 3]}, {model: b, layer_range: [0, 3]}]
  - sources: [{model: a, layer_range: [3, 4]}]
  - sources: [{model: a, layer_range: [3, 5]}, {model: b, layer_range: [3, 5]}]
`,
      two(),
    );
    const weights = [0, 1, 2, 4, 5].map((layer) => tensorOf(merge, q(layer)).inputs[0]!.parameters.weight);
    expect(weights).toEqual([1, 2, 3, 1, 3]);
  });
});

describe('filters and precedence', () => {
  it('filters are case-sensitive substrings; the first that matches wins; * is all', () => {
    const merge = resolveText(
      slerp(
        '[{filter: self_attn, value: [0, 1]}, {filter: attn, value: 9}, {filter: MLP, value: 7}, {filter: "*", value: 0.5}]',
      ),
      two(),
    );
    expect([tensorOf(merge, q(2)).parameters.t, tensorOf(merge, up(2)).parameters.t]).toEqual([0.5, 0.5]);
    expect(tensorOf(merge, q(4)).parameters.t).toBe(1);
    expect(merge.warnings).toEqual([
      expect.stringMatching(/merge\.yml:5:\d+: the filter "attn" of t decides no tensor/),
      expect.stringMatching(/the filter "MLP" of t decides no tensor/),
    ]);
  });

  it('source before slice before module before top level before default', () => {
    const text = (source: string, slice: string, module: string, top: string) => `merge_method: linear
parameters: {${top}}
modules:
  model:
    parameters: {${module}}
    slices:
      - parameters: {${slice}}
        sources: [{model: a, layer_range: [0, 5], parameters: {${source}}}]
`;
    const [s, l, m, t] = ['weight: 1', 'weight: 2', 'weight: 3', 'weight: 4'];
    const weight = (...levels: [string, string, string, string]) =>
      // One source with normalize is a copy, so the sum is kept as it is.
      tensorOf(
        resolveText(
          text(levels[0], levels[1], levels[2], `${levels[3]}${levels[3] ? ', ' : ''}normalize: false`),
          two(),
        ),
        q(0),
      ).inputs[0]!.parameters.weight;
    expect(weight(s, l, m, t)).toBe(1);
    expect(weight('', l, m, t)).toBe(2);
    expect(weight('', '', m, t)).toBe(3);
    expect(weight('', '', '', t)).toBe(4);
    expect(weight('weight: [{filter: mlp, value: 1}]', l, m, t), 'no match falls through').toBe(2);
  });

  it('a required parameter that only filters give is an error where none matches', () => {
    const text = slerp('[{filter: mlp, value: 0.5}]');
    expect(problemsOf(() => resolveText(text, two()))).toMatchObject([
      { line: 1, message: expect.stringMatching(/no filter of t matches .* slerp needs it/) },
    ]);
  });

  it("global parameters match the output's name, per-model ones the input's", () => {
    const merge = resolveText(
      `merge_method: linear
parameters: {normalize: [{filter: layers.0., value: false}, {value: true}]}
slices:
  - sources:
      - {model: a, layer_range: [3, 5], parameters: {weight: [{filter: layers.3., value: 10}, {value: 1}]}}
      - {model: b, layer_range: [3, 5], parameters: {weight: 1}}
`,
      two(),
    );
    expect(tensorOf(merge, q(0))).toMatchObject({
      parameters: { normalize: 0 },
      inputs: [
        { tensor: q(3), parameters: { weight: 10 } },
        { tensor: q(3), parameters: { weight: 1 } },
      ],
    });
    expect(tensorOf(merge, q(1))).toMatchObject({
      parameters: { normalize: 1 },
      inputs: [{ tensor: q(4), parameters: { weight: 1 } }, {}],
    });
  });
});

describe('frankenmerges', () => {
  const text = `merge_method: passthrough
slices:
  - sources: [{model: a, layer_range: [0, 4]}]
  - sources: [{model: b, layer_range: [2, 5]}]
`;
  const types = ['full', 'full', 'slide', 'slide', 'full'];
  const models = [
    llama('a', 5, { layer_types: types, mlp_only_layers: [1, 4] }),
    llama('b', 5, { layer_types: ['x0', 'x1', 'x2', 'x3', 'x4'], mlp_only_layers: [4] }),
  ];

  it('renumber layers; what comes first is of the first slice, what comes last of the last', () => {
    const merge = resolveText(text, models);
    expect(merge.tensors).toHaveLength(7 * 3 + 3);
    const origin = (name: string) => {
      const { inputs } = tensorOf(merge, name);
      return `${merge.models[inputs[0]!.model]!.model.path} ${inputs[0]!.tensor}`;
    };
    expect(origin(q(3))).toBe(`a ${q(3)}`);
    expect(origin(q(4))).toBe(`b ${q(2)}`);
    expect(origin(q(6))).toBe(`b ${q(4)}`);
    expect(origin('model.embed_tokens.weight')).toBe('a model.embed_tokens.weight');
    expect(origin('model.norm.weight')).toBe('b model.norm.weight');
    expect(origin('lm_head.weight')).toBe('b lm_head.weight');
    expect(merge.tensors.map(({ name }) => name).indexOf('model.norm.weight')).toBeGreaterThan(21);
  });

  it('change the number of layers and lists by layer in config.json', () => {
    expect(resolveText(text, models).configChanges).toEqual({
      num_hidden_layers: 7,
      layer_types: ['full', 'full', 'slide', 'slide', 'x2', 'x3', 'x4'],
      mlp_only_layers: [1, 6],
    });
  });

  it.each(['n_layer', 'n_layers', 'num_layers'])('know the number of layers as %s, and nested', (key) => {
    const shapes = llamaShapes(5);
    const nested = ['a', 'b'].map((path) => headers(path, shapes, { text_config: { [key]: 5 } }));
    const { configChanges } = resolveText(text, nested);
    expect(configChanges).toEqual({ [`text_config.${key}`]: 7 });
    expect(applyChanges({ text_config: { [key]: 5, other: 1 } }, configChanges)).toEqual({
      text_config: { [key]: 7, other: 1 },
    });
  });

  it('name the layers that no slice takes', () => {
    expect(resolveText(text, models).warnings).toEqual([
      'merge.yml: no slice takes layer 4 of a',
      'merge.yml: no slice takes layers 0-1 of b',
    ]);
  });

  it('a range beyond the layers is an error with its place', () => {
    expect(problemsOf(() => resolveText(text.replace('[2, 5]', '[2, 6]'), models))).toMatchObject([
      {
        errorCode: 'ERR_MERGE_FILE',
        line: 4,
        message: expect.stringMatching(/ends at 6; b has 5 layers in model\.layers/),
      },
    ]);
  });

  it('other namings of layers', () => {
    for (const [stack, count] of [
      ['transformer.h', 'n_layer'],
      ['visual.transformer.resblocks', 'layers_'],
      ['blocks', 'depth'],
      ['encoder.layer', 'num_hidden_layers'],
    ]) {
      const shapes = {
        'wte.weight': [2, 2],
        [`${stack}.0.w`]: [2],
        [`${stack}.1.w`]: [2],
        'ln_f.weight': [2],
      };
      const merge = resolveText(
        'merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [1, 2]}]}, {sources: [{model: a, layer_range: [0, 2]}]}]',
        [headers('a', shapes, { [count!]: 2 })],
      );
      expect(merge.tensors.map(({ name }) => name)).toEqual(
        ['wte.weight', 0, 1, 2, 'ln_f.weight'].map((name) =>
          typeof name === 'number' ? `${stack}.${name}.w` : name,
        ),
      );
      expect(tensorOf(merge, `${stack}.0.w`).inputs[0]!.tensor).toBe(`${stack}.1.w`);
    }
  });
});

describe('slices of one source', () => {
  const slices = (
    first: string,
    second = '{model: b, layer_range: [1, 2]}, {model: a, layer_range: [1, 2]}',
  ) => `slices:\n  - sources: [{model: ${first}, layer_range: [0, 1]}]\n  - sources: [${second}]\n`;
  const methods = ['slerp', 'ties', 'dare_ties', 'della', 'breadcrumbs', 'sce', 'nearswap', 'model_stock'];

  it.each(methods)('%s copies them', (method) => {
    for (const first of ['a', 'b']) {
      const second = method === 'model_stock' ? '{model: a, layer_range: [1, 2]}' : undefined;
      const text = `merge_method: ${method}\nbase_model: a\nparameters: {t: 0.5, weight: 1, density: 0.5}\n`;
      const merge = resolveText(text + slices(first, second), [llama('a', 2), llama('b', 2)]);
      const copy = tensorOf(merge, q(0));
      expect(copy).toMatchObject({ kernel: 'passthrough', inputs: [{ tensor: q(0) }] });
      expect(merge.models[copy.inputs[0]!.model]!.model.path).toBe(first);
      if (!second) expect(tensorOf(merge, q(1)).kernel).not.toBe('passthrough');
    }
  });

  it('layers of one model are merged with others of its own, each range once', () => {
    const text = (second: string) =>
      `merge_method: linear\nslices:\n  - sources: [{model: a, layer_range: [0, 2], parameters: {weight: 0.3}}, {model: a, layer_range: ${second}, parameters: {weight: 0.7}}]\n`;
    const merge = resolveText(text('[1, 3]'), [llama('a', 3)]);
    expect(tensorOf(merge, q(1)).inputs).toMatchObject([
      { tensor: q(1), parameters: { weight: 0.3 } },
      { tensor: q(2), parameters: { weight: 0.7 } },
    ]);
    expect(problemsOf(() => resolveText(text('[0, 2]'), [llama('a', 3)]))).toMatchObject([
      { message: expect.stringMatching(/listed twice/) },
    ]);
    const twice =
      'merge_method: slerp\nbase_model: a\nparameters: {t: 0.5}\nslices:\n  - sources: [{model: a, layer_range: [0, 1]}, {model: a, layer_range: [1, 2]}, {model: b, layer_range: [0, 1]}]\n';
    expect(problemsOf(() => resolveText(twice, [llama('a', 2), llama('b', 2)]))).toMatchObject([
      { line: 5, message: 'base_model a is listed twice' },
    ]);
  });
});

describe('the base', () => {
  it('is no input of a task vector method, listed or not; unlisted it comes last', () => {
    const ties = (list: string) =>
      `merge_method: ties\nbase_model: a\nparameters: {weight: 1}\nmodels: [${list}]`;
    for (const list of ['{model: a}, {model: b}', '{model: b}']) {
      const merge = resolveText(ties(list), two());
      const { inputs, base } = tensorOf(merge, q(0));
      expect(inputs.map(({ model }) => merge.models[model]!.model.path)).toEqual(['b']);
      expect(merge.models[base!.model]!.model.path).toBe('a');
    }
    expect(resolveText(ties('{model: b}'), two()).models.map(({ model }) => model.path)).toEqual(['b', 'a']);
  });

  it('is v0 of slerp wherever it is listed', () => {
    const merge = resolveText(
      slerp('0.3').replace('{model: a}, {model: b}', '{model: b}, {model: a}'),
      two(),
    );
    expect(merge.models[tensorOf(merge, q(0)).base!.model]!.model.path).toBe('a');
  });

  it('is not averaged by linear if it is unlisted, with a warning, and gives the configuration', () => {
    const merge = resolveText(
      'merge_method: linear\nbase_model: c\nparameters: {weight: 1}\nmodels: [{model: a}, {model: b}]',
      [...two(), llama('c', 5)],
    );
    expect(tensorOf(merge, q(0)).inputs).toHaveLength(2);
    expect(merge.warnings[0]).toMatch(/base_model c is not listed: .* not averaged/);
    expect(merge.models[merge.donor]!.model.path).toBe('c');
  });

  it('a tensor of the base alone is the base, and one that it lacks is an error', () => {
    const text =
      'merge_method: task_arithmetic\nbase_model: a\nparameters: {weight: 1}\nmodels: [{model: b}]';
    const more = headers('a', { ...llamaShapes(2), 'extra.weight': [3] });
    const merge = resolveText(text, [more, llama('b', 2)]);
    expect(tensorOf(merge, 'extra.weight')).toMatchObject({ method: 'passthrough', inputs: [{ model: 1 }] });
    expect(merge.warnings.join('\n')).toMatch(
      /1 tensors are in one model only and are copied: extra\.weight/,
    );
    expect(problemsOf(() => resolveText(text, [llama('a', 2), { ...more, path: 'b' }]))).toMatchObject([
      { code: 'ERR_MISSING_TENSOR', tensor: 'extra.weight', errorCode: 'ERR_INCOMPATIBLE' },
    ]);
  });
});

describe('tensors that do not fit', () => {
  const soup = 'merge_method: uniform_soup\nmodels: [{model: a}, {model: b}]';

  it('shapes: an error with both, all at once', () => {
    const list = problemsOf(() => resolveText(soup, [llama('a', 2), llama('b', 2, {}, 9)]));
    expect(list.map(({ code, tensor: name }) => [code, name])).toEqual([
      ['ERR_SHAPE_MISMATCH', 'lm_head.weight'],
      ['ERR_SHAPE_MISMATCH', 'model.embed_tokens.weight'],
    ]);
    expect(list[0]).toMatchObject({
      message: '"lm_head.weight": shape [8, 4] in a, [9, 4] in b',
      fix: expect.stringMatching(/tokenizer_source: union/),
    });
  });

  it('vocabularies may differ with a tokenizer: their tensors are remapped', () => {
    const merge = resolveText(`${soup}\ntokenizer_source: union`, [llama('a', 2), llama('b', 2, {}, 9)]);
    expect(merge.tensors.filter(({ remapped }) => remapped).map(({ name }) => name)).toEqual([
      'lm_head.weight',
      'model.embed_tokens.weight',
    ]);
  });

  it('tensors absent in a model are merged without it, and named', () => {
    const { 'model.norm.weight': _, ...shapes } = llamaShapes(2);
    const merge = resolveText(soup, [llama('a', 2), headers('b', shapes, { tie_word_embeddings: false })]);
    expect(tensorOf(merge, 'model.norm.weight').inputs).toHaveLength(1);
    expect(merge.warnings).toEqual(['merge.yml: 1 tensors are not in b: model.norm.weight']);
  });

  it('tied weights: a model without a head has its embedding for it', () => {
    const { 'lm_head.weight': _, ...shapes } = llamaShapes(2);
    const merge = resolveText(soup, [llama('a', 2), headers('b', shapes, { tie_word_embeddings: true })]);
    expect(tensorOf(merge, 'lm_head.weight').inputs[1]!.tensor).toBe('model.embed_tokens.weight');
  });

  it('tied weights: filters see the head that the embedding stands for', () => {
    const { 'lm_head.weight': _, ...shapes } = llamaShapes(2);
    const own = '{weight: [{filter: lm_head, value: 0.3}, {filter: embed, value: 0.7}, {value: 1}]}';
    const merge = resolveText(
      `merge_method: linear\nmodels: [{model: a, parameters: ${own}}, {model: b, parameters: ${own}}]\n`,
      [llama('a', 2), headers('b', shapes, { tie_word_embeddings: true })],
    );
    const weights = (name: string) =>
      tensorOf(merge, name).inputs.map(({ parameters: { weight } }) => weight);
    expect(weights('lm_head.weight')).toEqual([0.3, 0.3]);
    expect(weights('model.embed_tokens.weight')).toEqual([0.7, 0.7]);
    expect(merge.warnings.join()).not.toMatch(/decides no tensor/);
  });

  it('integers must be equal; quantised weights and mixed kinds are refused', () => {
    const integer = { ids: { shape: [3], dtype: 'I64' as const } };
    const merge = resolveText(soup, [headers('a', integer), headers('b', integer)]);
    expect(tensorOf(merge, 'ids')).toMatchObject({ mustEqual: true, dtype: 'I64', kernel: 'passthrough' });
    const list = problemsOf(() =>
      resolveText(soup, [
        headers('a', { x: [2], 'w.qweight': [2, 2] }),
        headers('b', { x: { shape: [2], dtype: 'I32' }, 'w.qweight': [2, 2] }),
      ]),
    );
    expect(list.map(({ code }) => code)).toEqual(['ERR_DTYPE_MISMATCH', 'ERR_QUANTISED', 'ERR_QUANTISED']);
  });

  it('dtypes of the output: out_dtype, else dtype, else that of the base', () => {
    const dtype = (rest: string) => tensorOf(resolveText(`${soup}\n${rest}`, two()), q(0)).dtype;
    expect([dtype(''), dtype('dtype: float32'), dtype('dtype: float32\nout_dtype: float16')]).toEqual([
      'BF16',
      'F32',
      'F16',
    ]);
  });
});
