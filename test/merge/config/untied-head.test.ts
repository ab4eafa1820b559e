// An output with a head of its own from a donor that ties its: what config.json must say then.
import { expect, it } from 'vitest';
import type { Config } from '../../../lib/checkpoint/checkpoint.js';
import { headers, llama, llamaShapes, resolveText } from '../../support/headers.js';

const { 'lm_head.weight': _, ...headless } = llamaShapes(2);
const soup = 'merge_method: linear\nparameters: {weight: 1}\nbase_model: a\nmodels: [{model: a}, {model: b}]';
const tied = { tie_word_embeddings: true };
const untied = { tie_word_embeddings: false };
const changes = (donor: Config | undefined, shapes = headless, other: Config = untied) => {
  const { configChanges, warnings } = resolveText(soup, [headers('a', shapes, donor), llama('b', 2, other)]);
  return { configChanges, said: warnings.filter((text) => text.includes('becomes false')).length };
};

it.each<[string, Config, Record<string, boolean>]>([
  ['stated', tied, { tie_word_embeddings: false }],
  ['of the text alone', { text_config: tied }, { 'text_config.tie_word_embeddings': false }],
  [
    'stated twice',
    { ...tied, text_config: tied },
    { tie_word_embeddings: false, 'text_config.tie_word_embeddings': false },
  ],
  [
    'of one model in several',
    { thinker_config: { text_config: tied } },
    { 'thinker_config.text_config.tie_word_embeddings': false },
  ],
  ['by default', { model_type: 'gemma2' }, { tie_word_embeddings: false }],
])('a tie that is %s is denied', (_name, donor, configChanges) => {
  expect(changes(donor)).toEqual({ configChanges, said: 1 });
});

it.each<[string, ReturnType<typeof changes>]>([
  ['says that it is not tied', changes(untied)],
  ['has no configuration', changes(undefined)],
  ['stores its head and says nothing', changes({ model_type: 'llama' }, llamaShapes(2))],
  ['stores a copy, as others do', changes(tied, llamaShapes(2), tied)],
])('nothing changes where the donor %s', (_name, outcome) => {
  expect(outcome).toEqual({ configChanges: {}, said: 0 });
});

it('a stored copy beside a head of its own is denied, too', () => {
  expect(changes(tied, llamaShapes(2))).toEqual({ configChanges: untied, said: 1 });
});

/** a, which gives the configuration, stores the embedding alone, b copies of it as well. */
function tiedPair(
  names: readonly string[],
  configs: readonly [Config | undefined, Config | undefined],
  text = soup,
  embedding = 'model.embed_tokens.weight',
) {
  const { 'model.embed_tokens.weight': rows, ...rest } = headless;
  const shapes = { ...rest, [embedding]: rows! };
  const copies = Object.fromEntries(names.map((name) => [name, rows!]));
  const models = [headers('a', shapes, configs[0]), headers('b', { ...shapes, ...copies }, configs[1])];
  const { configChanges, tensors, warnings } = resolveText(text, models);
  const left = names.filter((name) => tensors.some((one) => one.name === name));
  return {
    configChanges,
    left,
    said: warnings.filter((one) => /left out, as in the model/.test(one)).length,
  };
}

const head = 'lm_head.weight';
const ends =
  'merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [0, 1]}]}, {sources: [{model: b, layer_range: [1, 2]}]}]';
const gemma = { model_type: 'gemma2' };

it.each<[string, ReturnType<typeof tiedPair>]>([
  ['a stated tie', tiedPair([head], [tied, tied])],
  ['a tie by default', tiedPair([head], [gemma, gemma])],
  ['a tie by default that the other states', tiedPair([head], [gemma, tied])],
  ['a tie where masks are drawn', tiedPair([head], [tied, tied], soup.replace('linear', 'dare_linear'))],
  [
    "T5's embeddings and head",
    tiedPair(
      [head, 'encoder.embed_tokens.weight', 'decoder.embed_tokens.weight'],
      [{ model_type: 't5' }, { model_type: 't5' }],
      soup,
      'shared.weight',
    ),
  ],
  [
    'the shared embedding, whatever layers the output ends with',
    tiedPair([head], [{ model_type: 't5' }, { model_type: 't5' }], ends, 'shared.weight'),
  ],
  [
    "T5's embeddings beside a head of its own",
    tiedPair(['encoder.embed_tokens.weight'], [untied, untied], soup, 'shared.weight'),
  ],
])('copies that others store of %s are left out, and the tie stays', (_name, outcome) => {
  expect(outcome).toEqual({ configChanges: {}, left: [], said: 1 });
});

it.each<[string, ReturnType<typeof tiedPair>]>([
  ['of a model that states nothing beside one that states its tie', tiedPair([head], [tied, gemma])],
  [
    'of a model with an adapter',
    tiedPair([head], [tied, tied], soup.replace('{model: b}', '{model: b+lora}')),
  ],
  ['of a model without a configuration', tiedPair([head], [gemma, undefined])],
  ['of another kind that states nothing', tiedPair([head], [gemma, { model_type: 'llama' }])],
  [
    'that is merged by other numbers',
    tiedPair(
      [head],
      [tied, tied],
      soup.replace('{weight: 1}', '{weight: [{filter: lm_head, value: 2}, {value: 1}], normalize: false}'),
    ),
  ],
  ['of another model than the embedding', tiedPair([head], [tied, tied], ends)],
])('a head %s is one of its own', (_name, outcome) => {
  expect(outcome).toEqual({ configChanges: untied, left: [head], said: 0 });
});
