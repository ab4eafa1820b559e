// Tokens of a merge file that the output's vocabulary lacks, and models whose tokenizer is not there.
import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { f32, numbers, Workshop } from '../../support/merge-file.js';
import { tempDir } from '../../support/temp.js';
import { expectLoadedIds } from '../../support/tokenizer-ids.js';

const embed = 'model.embed_tokens.weight';
const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
const bpe = (tokens: readonly string[], added: readonly string[] = []) =>
  JSON.stringify({
    added_tokens: added.map((content, i) => ({ id: tokens.length + i, content, ...flags, special: true })),
    model: { type: 'BPE', vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: [] },
  });
const unigram = (tokens: readonly string[]) =>
  JSON.stringify({ added_tokens: [], model: { type: 'Unigram', vocab: tokens.map((token) => [token, -1]) } });

/** x: a 0, b 1, in rows 1 and 2. y: b 0, <im> 1, in rows 10 and 20. */
async function two(tokenizer = bpe(['a', 'b'])): Promise<Workshop> {
  const shop = new Workshop(await tempDir());
  shop.model('x', [f32(embed, [2, 1], [1, 2])], {
    config: { vocab_size: 2 },
    files: {
      'tokenizer.json': tokenizer,
      'tokenizer_config.json': '{"added_tokens_decoder": {}}',
      'merges.txt': '',
    },
  });
  shop.model('y', [f32(embed, [2, 1], [10, 20])], { files: { 'tokenizer.json': bpe(['b'], ['<im>']) } });
  return shop;
}

const file = (tokenizer: string) => `merge_method: linear
base_model: $/x
models: [{model: $/x, parameters: {weight: 1}}, {model: $/y, parameters: {weight: 1}}]
${tokenizer}
`;
const json = (shop: Workshop, name: string) => {
  const content = JSON.parse(readFileSync(shop.path(`out/${name}`), 'utf8'));
  if (name === 'tokenizer.json') expectLoadedIds(content);
  return content;
};

it('a token that only another model has is added to the base’s vocabulary, as that model has it', async () => {
  const shop = await two();
  await shop.merge(file('tokenizer: {source: base, tokens: {<im>: {source: $/y}}}'));
  // a: x 1, y takes x's; b: x 2, y 10; <im>: both y's.
  expect(numbers(shop.output().get(embed)!)).toEqual([1, 6, 20]);
  expect(json(shop, 'tokenizer.json').added_tokens).toEqual([
    { id: 2, content: '<im>', ...flags, special: true },
  ]);
  expect(json(shop, 'tokenizer.json').model.vocab).toEqual({ a: 0, b: 1 });
  expect(json(shop, 'tokenizer_config.json').added_tokens_decoder).toEqual({
    2: { content: '<im>', ...flags, special: true },
  });
  expect(json(shop, 'config.json').vocab_size).toBe(3);
  expect(existsSync(shop.path('out/merges.txt')), 'knows nothing of the token').toBe(false);
});

it('without a source, the row of an added token is that of its owners', async () => {
  const shop = await two();
  await shop.merge(file('tokenizer: {source: base, tokens: {<im>: {}}}'));
  expect(numbers(shop.output().get(embed)!)).toEqual([1, 6, 20]);
});

it('tokens that no model has are added in the order of the file, behind a union', async () => {
  const shop = await two();
  await shop.merge(
    file(`tokenizer:
  source: union
  tokens:
    <new>: {source: {kind: zero}}
    <copy>: {source: {kind: model_token, model: $/x, token: b}}`),
  );
  expect(numbers(shop.output().get(embed)!)).toEqual([1, 6, 20, 0, 2]);
  expect(json(shop, 'tokenizer.json').added_tokens).toEqual([
    { id: 2, content: '<im>', ...flags, special: true },
    { id: 3, content: '<new>', ...flags, special: false },
    { id: 4, content: '<copy>', ...flags, special: false },
  ]);
});

it('tokens are added to Unigram tokenizers behind their pieces', async () => {
  const shop = await two(unigram(['a', 'b']));
  await shop.merge(file('tokenizer: {source: base, tokens: {<new>: {source: {kind: zero}}}}'));
  expect(numbers(shop.output().get(embed)!)).toEqual([1, 6, 0]);
  expect(json(shop, 'tokenizer.json').model.vocab).toHaveLength(2);
  expect(json(shop, 'tokenizer.json').added_tokens).toMatchObject([{ id: 2, content: '<new>' }]);
});

it('added tokens are part of what another document takes', async () => {
  const shop = await two();
  await shop.merge(`name: first
${file('tokenizer: {source: base, tokens: {<new>: {source: {kind: zero}}}}')}---
merge_method: passthrough
tokenizer_source: base
models: [{model: first}]
`);
  expect(numbers(shop.output('final').get(embed)!)).toEqual([1, 6, 0]);
});

it('rules that give no row are errors with their lines, all of them', async () => {
  const shop = await two();
  const text = file(`tokenizer:
  source: union
  tokens:
    <new>: {force: true}
    a: {source: $/y}
    b: {source: {kind: model_token, model: $/x, token_id: 7}}`);
  await expect(shop.merge(text)).rejects.toMatchObject({
    code: 'ERR_MERGE_FILE',
    details: {
      problems: [
        { line: 7, column: 5, message: /"<new>".*no model has/, fix: /source/ },
        { line: 8, message: /y has no token "a"/ },
        { line: 9, message: /x has no token 7/ },
      ],
    },
  });
});

const withZ = (tokenizer: string) => file(tokenizer).replace('$/y', '$/z');

it('a model without tokenizer.json is taken to have the base’s, if its rows are as many', async () => {
  const shop = await two();
  shop.model('z', [f32(embed, [2, 1], [10, 20])]);
  for (const source of ['base', 'union']) {
    const { warnings } = await shop.merge(withZ(`tokenizer_source: ${source}`), { force: true });
    expect(numbers(shop.output().get(embed)!)).toEqual([5.5, 11]);
    expect(warnings.join()).toMatch(/z has no tokenizer\.json.*that of .*x is assumed/);
  }
});

it('a model without tokenizer.json and with rows of its own is refused, as is a base without', async () => {
  const shop = await two();
  shop.model('z', [f32(embed, [3, 1], [10, 20, 30])]);
  await expect(shop.merge(withZ('tokenizer_source: base'))).rejects.toMatchObject({
    code: 'ERR_TOKENIZER',
    message:
      /z: it has no tokenizer\.json, and "model.embed_tokens.weight" is \[3, 1\], not \[2, 1\] as that of .*x/,
    hint: /save_pretrained/,
  });
  shop.model('n', [f32(embed, [2, 1], [10, 20])]);
  const swapped = withZ('tokenizer_source: $/x').replace('base_model: $/x', 'base_model: $/n');
  await expect(shop.merge(swapped)).rejects.toMatchObject({
    code: 'ERR_TOKENIZER',
    message: /n: it has no tokenizer\.json$/,
  });
});
