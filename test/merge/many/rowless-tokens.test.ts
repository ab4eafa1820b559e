// Models whose tokenizer has more tokens than their embeddings have rows, as with a `[PAD]` that was added without resizing.
import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { f32, numbers, Workshop } from '../../support/merge-file.js';
import { tempDir } from '../../support/temp.js';
import { expectLoadedIds } from '../../support/tokenizer-ids.js';

const embed = 'model.embed_tokens.weight';
const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
const entry = (id: number, content: string) => ({ id, content, ...flags });
const pad = '[PAD]';

interface Parts {
  readonly type?: string;
  readonly vocab?: unknown;
  readonly merges?: readonly string[];
  readonly added?: readonly object[];
  readonly post_processor?: object;
}
const tokenizer = ({ type = 'BPE', vocab = { a: 0, b: 1 }, merges = [], added = [], ...rest }: Parts) =>
  JSON.stringify({ ...rest, added_tokens: added, model: { type, vocab, merges } });

/** x: a 0, b 1 and, without a row, [PAD] 2 unless `parts` have others; y: b 0, a 1. Rows are 1, 2 and 10, 20. */
async function two(parts: Parts = { added: [entry(2, pad)] }, ofY: Parts = { vocab: { b: 0, a: 1 } }) {
  const shop = new Workshop(await tempDir());
  shop.model('x', [f32(embed, [2, 1], [1, 2])], {
    config: { vocab_size: 2, pad_token_id: 2, eos_token_id: 1 },
    files: {
      'tokenizer.json': tokenizer(parts),
      'tokenizer_config.json': JSON.stringify({
        added_tokens_decoder: { 1: { content: 'b' }, 2: { content: pad } },
        additional_special_tokens: ['b', pad],
        extra_special_tokens: { eos_token: 'b', pad_token: pad },
        eos_token: 'b',
        pad_token: pad,
        model_max_length: 8,
      }),
      'special_tokens_map.json': JSON.stringify({ eos_token: 'b', pad_token: { content: pad } }),
      'added_tokens.json': JSON.stringify({ [pad]: 2 }),
      'tokenizer.model': 'pieces',
    },
  });
  const rows = [10, 20, 30].slice(0, 2 + (ofY.added?.length ?? 0));
  shop.model('y', [f32(embed, [rows.length, 1], rows)], { files: { 'tokenizer.json': tokenizer(ofY) } });
  return shop;
}

const linear = (tokenizer: string, base = 'x') => `merge_method: linear
base_model: $/${base}
models: [{model: $/x, parameters: {weight: 1}}, {model: $/y, parameters: {weight: 1}}]
${tokenizer}
`;
const json = (shop: Workshop, name: string) => {
  const content = JSON.parse(readFileSync(shop.path(`out/${name}`), 'utf8'));
  if (name === 'tokenizer.json') expectLoadedIds(content);
  return content;
};
const column = (shop: Workshop) => numbers(shop.output().get(embed)!);
const warning = /x\/tokenizer\.json: no model has a row for 1 of its tokens \(\[PAD\]\): left out/;

it.each(['union', 'base', '$/x'])(
  'a token without a row is left out of the output, source %s',
  async (source) => {
    const shop = await two();
    const { warnings } = await shop.merge(linear(`tokenizer_source: ${source}`));
    expect(warnings).toEqual([expect.stringMatching(warning)]);
    expect(column(shop)).toEqual([(1 + 20) / 2, (2 + 10) / 2]);
    expect(json(shop, 'tokenizer.json')).toMatchObject({
      added_tokens: [],
      model: { vocab: { a: 0, b: 1 } },
    });
    expect(json(shop, 'config.json')).toMatchObject({ vocab_size: 2, pad_token_id: null, eos_token_id: 1 });
    expect(json(shop, 'tokenizer_config.json')).toEqual({
      added_tokens_decoder: { 1: { content: 'b' } },
      additional_special_tokens: ['b'],
      extra_special_tokens: { eos_token: 'b' },
      eos_token: 'b',
      model_max_length: 8,
    });
    expect(json(shop, 'special_tokens_map.json')).toEqual({ eos_token: 'b' });
    expect(json(shop, 'added_tokens.json')).toEqual({});
    expect(existsSync(shop.path('out/tokenizer.model')), 'which never knew it').toBe(true);
  },
);

it('nor has one a place that is another model’s, not the donor’s', async () => {
  const shop = await two();
  const { warnings } = await shop.merge(linear('tokenizer_source: union', 'y'));
  expect(warnings).toEqual([expect.stringMatching(warning)]);
  expect(column(shop)).toEqual([(2 + 10) / 2, (1 + 20) / 2]);
  expect((await shop.merge(linear('tokenizer_source: base', 'y'), { force: true })).warnings).toEqual([]);
});

it('the row of a model that has one is taken', async () => {
  const shop = await two(undefined, { vocab: { b: 0, a: 1 }, added: [entry(2, pad)] });
  for (const source of ['union', 'base']) {
    const { warnings } = await shop.merge(linear(`tokenizer_source: ${source}`), { force: true });
    expect(warnings).toEqual([]);
    expect(column(shop)).toEqual([(1 + 20) / 2, (2 + 10) / 2, 30]);
    expect(json(shop, 'config.json')).toMatchObject({ vocab_size: 3, pad_token_id: 2 });
  }
});

it('or that of its rule', async () => {
  const shop = await two();
  await shop.merge(linear(`tokenizer: {source: base, tokens: {"${pad}": {source: {kind: zero}}}}`));
  expect(column(shop)).toEqual([(1 + 20) / 2, (2 + 10) / 2, 0]);
  await expect(
    shop.merge(linear(`tokenizer: {source: base, tokens: {"${pad}": {source: $/x}}}`), { force: true }),
  ).rejects.toMatchObject({ code: 'ERR_MERGE_FILE', message: /x has no token "\[PAD\]"/ });
});

it('pieces go with their merges, and with slow tokenizers, which have them', async () => {
  const shop = await two({ vocab: { a: 0, b: 1, ab: 2, aba: 3 }, merges: ['a b', 'ab a', 'b a'] });
  await shop.merge(linear('tokenizer_source: base'));
  expect(json(shop, 'tokenizer.json').model).toMatchObject({ vocab: { a: 0, b: 1 }, merges: ['b a'] });
  expect(existsSync(shop.path('out/tokenizer.model'))).toBe(false);
});

it('of Unigram, too', async () => {
  const pieces = (tokens: string) => [...tokens].map((token) => [token, -1]);
  const shop = await two({ type: 'Unigram', vocab: pieces('abc') }, { type: 'Unigram', vocab: pieces('ba') });
  await shop.merge(linear('tokenizer_source: union'));
  expect(json(shop, 'tokenizer.json').model.vocab).toEqual(pieces('ab'));
  expect(column(shop)).toHaveLength(2);
});

it('a token that the tokenizer puts into texts by itself is an error', async () => {
  const shop = await two({
    added: [entry(2, pad)],
    post_processor: { type: 'TemplateProcessing', special_tokens: { [pad]: { id: pad, ids: [2] } } },
  });
  await expect(shop.merge(linear('tokenizer_source: base'))).rejects.toMatchObject({
    code: 'ERR_TOKENIZER',
    message: /x\/tokenizer\.json: it puts "\[PAD\]" into texts, of which no model has a row/,
  });
});
