// Models with different tokenizers, from the merge file to the files of the output. Expected rows are written by hand.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { planMergeFile } from '../../../lib/index.js';
import { bf16, f32, numbers, Workshop } from '../../support/merge-file.js';
import { writeStored } from '../../support/safetensors.js';
import { tempDir } from '../../support/temp.js';
import { expectLoadedIds } from '../../support/tokenizer-ids.js';

const embed = 'model.embed_tokens.weight';
const head = 'lm_head.weight';

const special = (id: number, content: string) => ({ id, content, special: true, normalized: false });
const tokenizer = (tokens: readonly string[], added: readonly string[] = []) =>
  JSON.stringify({
    added_tokens: added.map((token, i) => special(tokens.length + i, token)),
    model: { type: 'BPE', vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: [] },
  });

/** x: a 0, b 1, <x> 2. y: b 0, a 1, c 2. Row r of x is 1 + r, of y 10 (1 + r); heads are 100 times that. */
async function two(options: { tiedY?: boolean; dtype?: 'F32' | 'BF16' } = {}): Promise<Workshop> {
  const shop = new Workshop(await tempDir());
  const make = options.dtype === 'BF16' ? bf16 : f32;
  const rows = (factor: number) => [factor, 2 * factor, 3 * factor];
  const config = { vocab_size: 3, tie_word_embeddings: false, dtype: 'float32' };
  shop.model(
    'x',
    [make(embed, [3, 1], rows(1)), make(head, [3, 1], rows(100)), make('model.norm.weight', [1], [1])],
    {
      config: { ...config, eos_token_id: 2, pad_token_id: null },
      files: {
        'tokenizer.json': tokenizer(['a', 'b'], ['<x>']),
        'tokenizer_config.json': '{"x": true, "added_tokens_decoder": {"2": {"content": "<x>"}}}',
        'generation_config.json': '{"eos_token_id": [2, 1]}',
        'merges.txt': '',
      },
    },
  );
  const ownHead = options.tiedY ? [] : [make(head, [3, 1], rows(1000))];
  shop.model('y', [make(embed, [3, 1], rows(10)), ...ownHead, make('model.norm.weight', [1], [3])], {
    config: { ...config, tie_word_embeddings: options.tiedY ?? false },
    files: { 'tokenizer.json': tokenizer(['b', 'a', 'c']), 'special_tokens_map.json': '{"y": 1}' },
  });
  return shop;
}
const linear = (rest: string) =>
  `merge_method: linear\nmodels: [{model: $/x, parameters: {weight: 1}}, {model: $/y, parameters: {weight: 1}}]\n${rest}\n`;
const json = (shop: Workshop, name: string) => {
  const content = JSON.parse(readFileSync(shop.path(`out/${name}`), 'utf8'));
  if (name === 'tokenizer.json') expectLoadedIds(content);
  return content;
};
const column = (shop: Workshop, name: string) => numbers(shop.output().get(name)!);

describe('a union', () => {
  it('merges the rows of each token, and writes tokenizer and sizes', async () => {
    const shop = await two();
    const { warnings } = await shop.merge(linear('base_model: $/x\ntokenizer_source: union'));
    expect(warnings).toEqual([]);
    // a: x 1, y 20; b: x 2, y 10; <x>: x 3, y takes x's; c: x takes y's.
    expect(column(shop, embed)).toEqual([10.5, 6, 3, 30]);
    expect(column(shop, head)).toEqual([1050, 600, 300, 3000]);
    expect(column(shop, 'model.norm.weight')).toEqual([2]);
    expect(shop.output().get(head)!.shape).toEqual([4, 1]);
    expect(json(shop, 'config.json')).toMatchObject({ vocab_size: 4, eos_token_id: 2, pad_token_id: null });
    const { model, added_tokens } = json(shop, 'tokenizer.json');
    expect(model.vocab).toEqual({ a: 0, b: 1, '<x>': 2, c: 3 });
    expect(added_tokens).toMatchObject([{ id: 2, content: '<x>' }]);
    expect(json(shop, 'tokenizer_config.json')).toMatchObject({ x: true });
    expect(existsSync(shop.path('out/merges.txt')), 'contradicts the union').toBe(false);
    expect(existsSync(shop.path('out/special_tokens_map.json'))).toBe(false);
  });

  it('is what two documents of a file may have between them', async () => {
    const shop = await two();
    shop.model('z', [f32(embed, [1, 1], [70]), f32(head, [1, 1], [70]), f32('model.norm.weight', [1], [5])], {
      files: { 'tokenizer.json': tokenizer(['d']) },
    });
    await shop.merge(`name: xy
${linear('base_model: $/x\ntokenizer_source: union')}---
merge_method: linear
base_model: xy
tokenizer: {source: union, pad_to_multiple_of: 3}
models: [{model: xy, parameters: {weight: 3}}, {model: $/z, parameters: {weight: 1}}]
`);
    expect(numbers(shop.output('xy').get(embed)!)).toEqual([10.5, 6, 3, 30]);
    // d is z's alone; z has none of the others; a row of padding is the mean of each model's tokens.
    const padding = (3 * ((10.5 + 6 + 3 + 30) / 4) + 70) / 4;
    expect(numbers(shop.output('final').get(embed)!)).toEqual([10.5, 6, 3, 30, 70, padding]);
    expect(JSON.parse(readFileSync(shop.path('out/final/tokenizer.json'), 'utf8')).model.vocab).toMatchObject(
      {
        c: 3,
        d: 4,
      },
    );
    expect(JSON.parse(readFileSync(shop.path('out/final/config.json'), 'utf8')).vocab_size).toBe(6);
  });
});

describe('one tokenizer for all', () => {
  it('of the base keeps its files to the byte', async () => {
    const shop = await two();
    await shop.merge(linear('base_model: $/x\ntokenizer_source: base'));
    expect(column(shop, embed)).toEqual([10.5, 6, 3]);
    for (const name of ['tokenizer.json', 'tokenizer_config.json', 'merges.txt', 'generation_config.json']) {
      expect(readFileSync(shop.path(`out/${name}`)), name).toEqual(readFileSync(shop.path(`x/${name}`)));
    }
  });

  it('of another model takes its files, none of the base’s, and moves ids', async () => {
    const shop = await two();
    await shop.merge(linear('base_model: $/x\ntokenizer_source: $/y'));
    expect(column(shop, embed)).toEqual([6, 10.5, 30]);
    expect(json(shop, 'special_tokens_map.json')).toEqual({ y: 1 });
    expect(readFileSync(shop.path('out/tokenizer.json'))).toEqual(
      readFileSync(shop.path('y/tokenizer.json')),
    );
    for (const name of ['tokenizer_config.json', 'merges.txt']) {
      expect(existsSync(shop.path(`out/${name}`)), name).toBe(false);
    }
    // b is 0 in y, and <x> is gone.
    expect(json(shop, 'generation_config.json')).toEqual({ eos_token_id: [0] });
    expect(json(shop, 'config.json')).toMatchObject({ vocab_size: 3, eos_token_id: null });
  });

  it('may be that of a model that is not merged', async () => {
    const shop = await two();
    shop.model('t', [], { files: { 'tokenizer.json': tokenizer(['c', '!', 'a']) } });
    await shop.merge(linear('tokenizer_source: $/t'));
    // x has no c and takes y's; nobody has "!", which is the mean of each model's rows.
    expect(column(shop, embed)).toEqual([30, (2 + 20) / 2, 10.5]);
  });

  it('is copied without a tokenizer key, unless left out', async () => {
    const shop = await two();
    await shop.merge(linear(''));
    expect(existsSync(shop.path('out/tokenizer.json'))).toBe(true);
    await shop.merge(linear(''), { force: true, copyTokenizer: false, modelCard: false });
    for (const name of ['tokenizer.json', 'tokenizer_config.json', 'merges.txt', 'README.md']) {
      expect(existsSync(shop.path(`out/${name}`)), name).toBe(false);
    }
    expect(existsSync(shop.path('out/config.json'))).toBe(true);
  });
});

describe('sources of tokens', () => {
  it('are zero, a model, or another token, for those without or for all', async () => {
    const shop = await two();
    await shop.merge(
      linear(`base_model: $/x
tokenizer:
  source: union
  tokens:
    c: {source: {kind: zero}}
    <x>: {source: {kind: model_token, model: $/y, token: a}}
    b: {source: $/x, force: true}
    a: {source: {kind: model_token, model: $/y, token_id: 2}, force: true}`),
    );
    // a: c of y (30) in both; b: 2 in both; <x>: x 3, y its own a, 20; c: x 0, y 30.
    expect(column(shop, embed)).toEqual([30, 2, 11.5, 15]);
  });

  it('that are no models of the merge are errors with their place', async () => {
    const shop = await two();
    const text = linear('tokenizer:\n  tokens:\n    a: {source: other/model}');
    await expect(shop.merge(text)).rejects.toMatchObject({
      code: 'ERR_MERGE_FILE',
      details: { problems: [{ line: 5, column: 5, message: /other\/model, is no model of this merge/ }] },
    });
  });
});

describe('tied heads', () => {
  it('follow their embedding, and the output says what it has', async () => {
    const shop = await two({ tiedY: true });
    const { warnings } = await shop.merge(linear('base_model: $/y\ntokenizer_source: base'));
    // y's vocabulary: b 0, a 1, c 2. y's head is its embedding.
    expect(column(shop, embed)).toEqual([6, 10.5, 30]);
    expect(column(shop, head)).toEqual([(200 + 10) / 2, (100 + 20) / 2, 30]);
    expect(json(shop, 'config.json').tie_word_embeddings).toBe(false);
    expect(warnings.join()).toMatch(/tie_word_embeddings becomes false/);
  });

  it('of other sizes are found too', async () => {
    const shop = await two();
    shop.model('big', [f32(embed, [4, 1], [7, 8, 9, 10]), f32('model.norm.weight', [1], [1])], {
      config: { tie_word_embeddings: true },
      files: { 'tokenizer.json': tokenizer(['b', 'a', 'c', 'e']) },
    });
    await shop.merge(
      'merge_method: linear\nbase_model: $/x\ntokenizer_source: union\nparameters: {weight: 1}\nmodels: [{model: $/x}, {model: $/big}]\n',
    );
    expect(column(shop, head)).toEqual([(100 + 8) / 2, (200 + 7) / 2, 300, 9, 10]);
  });
});

it('an adapter is applied before the rows are taken', async () => {
  const shop = await two();
  mkdirSync(shop.path('lora'));
  const name = 'base_model.model.model.embed_tokens';
  // A is [r, tokens], B [dimension, r]: y's rows 0, 1, 2 become 10 + 1, 20 + 2, 30 + 3.
  writeStored(shop.path('lora/adapter_model.safetensors'), [
    f32(`${name}.lora_embedding_A`, [1, 3], [1, 2, 3]),
    f32(`${name}.lora_embedding_B`, [1, 1], [1]),
  ]);
  writeFileSync(
    shop.path('lora/adapter_config.json'),
    JSON.stringify({
      peft_type: 'LORA',
      r: 1,
      lora_alpha: 1,
      bias: 'none',
      target_modules: ['embed_tokens'],
    }),
  );
  await shop.merge(linear('tokenizer_source: union').replace('$/y', '$/y+$/lora'));
  expect(column(shop, embed)).toEqual([(1 + 22) / 2, (2 + 11) / 2, 3, 33]);
});

it('rows of BF16 are gathered in pieces of any size, also past the page cache', async () => {
  // More than a chunk of the least memory, in which own rows, others' and padding alternate.
  const shop = new Workshop(await tempDir());
  const [size, width] = [3000, 700];
  const values = (factor: number) =>
    Array.from({ length: size * width }, (_, i) => factor * (((i / width) % 32) | 0));
  const words = (prefix: string) =>
    Array.from({ length: size }, (_, i) => (i % 3 ? `${prefix}${i}` : `s${i}`));
  for (const [name, factor] of [
    ['x', 1],
    ['y', 0.5],
  ] as const) {
    shop.model(name, [bf16(embed, [size, width], values(factor))], {
      files: { 'tokenizer.json': tokenizer(words(name)) },
    });
  }
  const expected: number[] = [];
  const row = (i: number, factor: number) => factor * (i % 32);
  for (let i = 0; i < size; i++) expected.push(i % 3 ? row(i, 1) : (row(i, 1) + row(i, 0.5)) / 2);
  for (let i = 0; i < size; i++) if (i % 3) expected.push(row(i, 0.5));
  for (const readMode of ['direct', 'cached'] as const) {
    await shop.merge(linear('base_model: $/x\ntokenizer_source: union'), {
      readMode,
      memory: 2 ** 24,
      force: true,
    });
    const out = numbers(shop.output().get(embed)!);
    expect(out.length).toBe(expected.length * width);
    for (const at of [0, 1, 350, width - 1]) {
      expect(Array.from(expected, (_, i) => out[i * width + at])).toEqual(expected);
    }
  }
});

describe('what does not fit is an error before any work', () => {
  it('an embedding with fewer rows than tokens, and than the head, once', async () => {
    const shop = await two();
    shop.model(
      'y',
      [f32(embed, [2, 1], [1, 2]), f32(head, [3, 1], [1, 2, 3]), f32('model.norm.weight', [1], [1])],
      {
        files: { 'tokenizer.json': tokenizer(['b', 'a', 'c']) },
      },
    );
    await expect(shop.merge(linear('tokenizer_source: union'))).rejects.toMatchObject({
      code: 'ERR_INCOMPATIBLE',
      details: {
        problems: [{ code: 'ERR_SHAPE_MISMATCH', tensor: embed, message: /is \[2, 1\]; 3 rows/ }],
      },
    });
    expect(existsSync(shop.path('out'))).toBe(false);
  });

  it('a model without tokenizer.json, or sizes that differ without a tokenizer key', async () => {
    const shop = await two();
    shop.model('z', [
      f32(embed, [5, 1], [1, 2, 3, 4, 5]),
      f32(head, [5, 1], [1, 2, 3, 4, 5]),
      f32('model.norm.weight', [1], [1]),
    ]);
    const text = (rest: string) => linear(rest).replace('$/y', '$/z');
    await expect(shop.merge(text('tokenizer_source: union'))).rejects.toMatchObject({
      code: 'ERR_TOKENIZER',
    });
    await expect(shop.merge(text(''))).rejects.toMatchObject({
      code: 'ERR_INCOMPATIBLE',
      details: {
        problems: expect.arrayContaining([
          expect.objectContaining({ fix: expect.stringMatching(/tokenizer_source: union/) }),
        ]),
      },
    });
  });
});

it('a plan says what becomes of the vocabulary', async () => {
  const shop = await two();
  const { documents } = await planMergeFile({
    config: shop.config(linear('tokenizer_source: union\nbase_model: $/x')),
  });
  const [plan] = documents;
  expect(plan!.explanation.lines).toContain('vocabulary: union of 4 tokens in 4 rows');
  expect(plan!.tokenizer).toEqual(['tokenizer.json', 'tokenizer_config.json']);
  expect(plan!.directory).toBeUndefined();
});
