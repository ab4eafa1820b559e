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
