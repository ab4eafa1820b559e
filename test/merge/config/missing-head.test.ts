// Outputs whose configuration promises a head that no model at their end stores.
import { expect, it } from 'vitest';
import { headers, llama, llamaShapes, problemsOf, resolveText, tensorOf } from '../../support/headers.js';

const head = 'lm_head.weight';
const embedding = 'model.embed_tokens.weight';
const { [head]: _, ...headless } = llamaShapes(2);
const tied = (path: string, config = {}) =>
  headers(path, headless, { num_hidden_layers: 2, tie_word_embeddings: true, ...config });
const untied = (path: string) => llama(path, 2, { tie_word_embeddings: false });

const slices = (first: string, last: string) => `merge_method: passthrough
slices:
  - sources: [{model: ${first}, layer_range: [0, 1]}]
  - sources: [{model: ${last}, layer_range: [1, 2]}]
`;
const linear = 'merge_method: linear\nparameters: {weight: 1}\nbase_model: u\nmodels: [{model: t}';

it.each([
  ['slices that end with a tied model', slices('u', 't')],
  ['slices of a tied model alone', `${slices('t', 't')}base_model: u\n`],
  ['a copy of a tied model', 'merge_method: passthrough\nbase_model: u\nmodels: [{model: t}]\n'],
  ['a mean of one tied model', `${linear}]\n`],
])('%s: the embedding is written for the head of an untied donor', (_name, text) => {
  const merge = resolveText(text, [untied('u'), tied('t')]);
  const { inputs, shape } = tensorOf(merge, head);
  expect(inputs.map(({ model, tensor }) => [merge.models[model]!.model.path, tensor])).toEqual([
    ['t', embedding],
  ]);
  expect(shape).toEqual([8, 4]);
  expect(merge.configChanges).toEqual({});
  expect(merge.warnings.join('\n')).toMatch(
    /u, which gives .*, has a head of its own: lm_head\.weight is written, from the embedding that t has/,
  );
});

it('all models of the last slice take part in it', () => {
  const merge = resolveText(`${linear}, {model: v}]\n`, [untied('u'), tied('t'), tied('v')]);
  expect(tensorOf(merge, head).inputs.map(({ tensor }) => tensor)).toEqual([embedding, embedding]);
  expect(tensorOf(merge, head).inputs.map(({ model }) => model)).toEqual([0, 1]);
});

it('rows follow the vocabulary where there is one', () => {
  const merge = resolveText(`${slices('u', 't')}tokenizer_source: union\n`, [untied('u'), tied('t')]);
  expect(tensorOf(merge, head)).toMatchObject({ remapped: true });
});

it('is an error where the model at the end has none to give', () => {
  const bare = headers('t', headless, { num_hidden_layers: 2, tie_word_embeddings: false });
  expect(problemsOf(() => resolveText(slices('u', 't'), [untied('u'), bare]))).toMatchObject([
    {
      code: 'ERR_MISSING_TENSOR',
      tensor: head,
      file: 't',
      message: '"lm_head.weight" is in none of t, and tie_word_embeddings is false in config.json of u',
    },
  ]);
});

it('tied models among themselves stay tied', () => {
  const merge = resolveText(slices('t', 'v'), [tied('t'), tied('v')]);
  expect(merge.tensors.map(({ name }) => name)).not.toContain(head);
  expect(merge.configChanges).toEqual({});
  expect(merge.warnings).toContainEqual(
    expect.stringMatching(/no head of its own: .* model\.embed_tokens\.weight of t, not of v, .* ends with/),
  );
});

it('slices of one tied model, or of models whose embedding is merged at both ends, are not warned of', () => {
  const both = (range: string) =>
    `  - sources: [{model: t, layer_range: ${range}}, {model: v, layer_range: ${range}}]\n`;
  const same = `merge_method: linear\nparameters: {weight: 1}\nslices:\n${both('[0, 1]')}${both('[1, 2]')}`;
  for (const text of [slices('t', 't'), same]) {
    expect(resolveText(text, [tied('t'), tied('v')]).warnings.join()).not.toContain('head of its own');
  }
});

it('donors without a head get none, whatever they say of it', () => {
  const classifier = (path: string) => tied(path, { tie_word_embeddings: false });
  const merge = resolveText(slices('t', 'v'), [classifier('t'), classifier('v')]);
  expect(merge.tensors.map(({ name }) => name)).not.toContain(head);
});

it('is copied where the last slice is, though base_model has a head of its own', () => {
  const both = '[{model: u, layer_range: [0, 1]}, {model: t, layer_range: [0, 1]}]';
  const text = `merge_method: slerp
base_model: u
parameters: {t: 0.5}
slices: [{sources: ${both}}, {sources: [{model: t, layer_range: [1, 2]}]}]
`;
  const { kernel, inputs, base } = tensorOf(resolveText(text, [untied('u'), tied('t')]), head);
  expect({ kernel, tensors: inputs.map(({ tensor }) => tensor), base }).toEqual({
    kernel: 'passthrough',
    tensors: [embedding],
    base: undefined,
  });
});

it('a network whose kind ties its head is warned of by its kind', () => {
  const { 'lm_head.weight': _none, ...shapes } = llamaShapes(2);
  const kind = (architecture: string) => {
    const models = ['a', 'b'].map((path) =>
      headers(path, shapes, { num_hidden_layers: 2, architectures: [architecture] }),
    );
    return resolveText(slices('a', 'b'), models).warnings.filter((text) => /head of its own/.test(text))
      .length;
  };
  const kinds = ['GPT2LMHeadModel', 'MarianMTModel', 'BertForMaskedLM', 'GemmaForCausalLM', 'BertModel'];
  expect(kinds.map(kind)).toEqual([1, 1, 1, 1, 0]);
});

it.each([
  ['an encoder beside a decoder', 'encoder.block', 'decoder.block', { num_layers: 3, num_decoder_layers: 2 }],
  ['a tower', 'visual.blocks', 'model.layers', { vision_config: { depth: 3 } }],
])('slices of %s: the head stays with the other layers', (_name, sliced, other, config) => {
  // The larger one is what slices without modules are about.
  const shapes = (withHead: boolean): Record<string, number[]> => ({
    'shared.weight': [8, 4],
    ...Object.fromEntries([0, 1, 2].map((layer) => [`${sliced}.${layer}.w`, [99]])),
    ...Object.fromEntries([0, 1].map((layer) => [`${other}.${layer}.w`, [9]])),
    ...(withHead && { [head]: [8, 4] }),
    final_logits_bias: [1, 8],
  });
  const model = (path: string, tie: boolean, withHead = !tie) =>
    headers(path, shapes(withHead), { ...config, tie_word_embeddings: tie });
  const ownerOf = (name: string, { models, tensors }: ReturnType<typeof resolveText>) => {
    const found = tensors.find((one) => one.name === name)?.inputs[0];
    return found && [models[found.model]!.model.path, found.tensor];
  };
  const owner = (models: Parameters<typeof resolveText>[1], text = slices('a', 'b')) => {
    const merge = resolveText(text, models);
    const warned = merge.warnings.some((one) => /no head of its own/.test(one));
    expect(ownerOf('final_logits_bias', merge)).toEqual(['a', 'final_logits_bias']);
    return [warned, ownerOf(head, merge)];
  };
  expect(owner([model('a', true), model('b', true)])).toEqual([false, undefined]);
  expect(owner([model('a', false), model('b', false)])).toEqual([false, ['a', head]]);
  expect(owner([model('a', true), model('b', false)], `${slices('a', 'b')}base_model: b\n`)).toEqual([
    false,
    ['a', 'shared.weight'],
  ]);
});
