// Output vocabularies and embeddings of models with different tokenizers; expected rows are written out by hand.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { describe, expect, it } from 'vitest';
import { mergeFile } from '../../../lib/index.js';
import { outputTokens, type VocabularySource } from '../../../lib/merge/tokenizer/output-tokens.js';
import { planVocabulary, tokenizerFiles, vocabularyChanges } from '../../../lib/merge/tokenizer/plan.js';
import { ruleProblems, type TokenRule } from '../../../lib/merge/tokenizer/rules.js';
import { findTokenizerFile } from '../../../lib/merge/tokenizer/tokenizer-file.js';
import { readModel, writeModel } from '../../support/models.js';
import { tensor } from '../../support/safetensors.js';
import { tempDir } from '../../support/temp.js';
import { expectLoadedIds } from '../../support/tokenizer-ids.js';

type Json = Record<string, unknown>;
const added = (id: number, content: string) => ({
  id,
  content,
  special: true,
  normalized: false,
  lstrip: false,
  rstrip: false,
  single_word: false,
});
const bpe = (tokens: string[], merges: unknown[], extra: unknown[] = [], rest: Json = {}): Json => ({
  version: '1.0',
  added_tokens: extra,
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: null,
  model: { type: 'BPE', vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges },
  ...rest,
});
const of = (type: string, model: Json, extra: unknown[] = []): Json => ({
  added_tokens: extra,
  model: { type, ...model },
});

// Ids and rows: a 0, b 1, ab 2, <s> 3. In y: b 0, c 1, bc 2, <y> 3, a 4. In z: c 0, d 1.
const x = bpe(['a', 'b', 'ab'], ['a b'], [added(3, '<s>')]);
const y = bpe(['b', 'c', 'bc'], [['b', 'c']], [added(3, '<y>'), added(4, 'a')]);
const z = bpe(['c', 'd'], []);

/** A model whose embedding has row r = [10 r, 1] × scale. */
async function model(
  json: Json,
  rows: number,
  scale: number,
  dtype = 'F32',
  files: Record<string, string> = {},
) {
  const values = Float32Array.from({ length: rows * 2 }, (_, i) => scale * (i % 2 === 0 ? 10 * (i >> 1) : 1));
  const data = dtype === 'F32' ? values : Float64Array.from(values);
  return writeModel(
    join(await tempDir(), 'm'),
    [tensor('model.embed_tokens.weight', dtype, [rows, 2], data)],
    {
      files: { 'tokenizer.json': JSON.stringify(json), ...files },
    },
  );
}
const models = () => Promise.all([model(x, 5, 1), model(y, 5, 100), model(z, 2, 10_000)]);

const readTokenizer = async (path: string) => (await findTokenizerFile(path))!;

interface VocabularyOptions {
  readonly source?: VocabularySource;
  readonly tokens?: ReadonlyMap<string, TokenRule>;
  readonly padToMultipleOf?: number;
}

async function planOf(
  paths: string[],
  base: number | undefined,
  { source, tokens: rules = new Map(), ...padding }: VocabularyOptions = {},
) {
  const files = await Promise.all(paths.map(readTokenizer));
  return planVocabulary(files, base, outputTokens(files, base, source, rules), { rules, ...padding });
}

/** A text of the output's tokenizer. */
async function fileOf(paths: string[], base: number, name: string, options: VocabularyOptions = {}) {
  const vocabulary = await planOf(paths, base, options);
  const { directory } = vocabulary.donor;
  const { texts, copies } = await tokenizerFiles(vocabulary, directory);
  const json = texts.get('tokenizer.json');
  if (json) expectLoadedIds(JSON.parse(json), vocabulary.tokens);
  return texts.get(name) ?? (copies.includes(name) ? readFileSync(join(directory, name), 'utf8') : undefined);
}

/** `tokenizer:` of a merge file. */
function tokenizerText(paths: string[], { source, tokens, padToMultipleOf }: VocabularyOptions): string {
  const reference = (rule: TokenRule): unknown => {
    const from = rule.source;
    if (from?.kind === 'zero') return from;
    if (from?.kind === 'model') return paths[from.model];
    if (from === undefined) return null;
    const token = typeof from.token === 'string' ? { token: from.token } : { token_id: from.token };
    return { kind: 'model_token', model: paths[from.model], ...token };
  };
  const rules = [...(tokens ?? [])].map(([token, rule]) => [
    token,
    { source: reference(rule), force: rule.force ?? false },
  ]);
  return JSON.stringify({
    source: source ?? 'union',
    tokens: Object.fromEntries(rules),
    pad_to_multiple_of: padToMultipleOf ?? null,
  });
}

/** The rows that each model gets: a merge in which all others have no weight. */
async function remapped(paths: string[], base: number | undefined, options: VocabularyOptions = {}) {
  const plan = await planOf(paths, base, options);
  const results: number[][][] = [];
  for (const own of paths.keys()) {
    const root = await tempDir();
    const models = paths.map((model, i) => ({ model, parameters: { weight: i === own ? 1 : 0 } }));
    writeFileSync(
      join(root, 'merge.yml'),
      `merge_method: linear\nmodels: ${JSON.stringify(models)}\n` +
        `${base === undefined ? '' : `base_model: ${paths[base]}\n`}tokenizer: ${tokenizerText(paths, options)}\n`,
    );
    await mergeFile({ config: join(root, 'merge.yml'), out: join(root, 'out') });
    const { shape, data, dtype } = readModel(join(root, 'out')).get('model.embed_tokens.weight')!;
    expect(shape).toEqual([plan.rows, 2]);
    expectLoadedIds(JSON.parse(readFileSync(join(root, 'out/tokenizer.json'), 'utf8')), plan.tokens);
    const at = (k: number) => (dtype === 'F32' ? data.readFloatLE(4 * k) : data.readDoubleLE(8 * k));
    results.push(Array.from({ length: plan.rows }, (_, row) => [at(2 * row), at(2 * row + 1)]));
  }
  return { plan, results };
}

describe('the union', () => {
  it('keeps the base and appends what others have, in order', async () => {
    const { plan, results } = await remapped(await models(), 0);
    expect(Object.fromEntries(plan.tokens)).toEqual({
      a: 0,
      b: 1,
      ab: 2,
      '<s>': 3,
      c: 4,
      bc: 5,
      '<y>': 6,
      d: 7,
    });
    expect(plan.rows).toBe(8);
    const [c, d] = [
      [500, 5050],
      [100_000, 10_000],
    ];
    // c is not in the base and has two owners, rows 1 of y and 0 of z: [1000, 100] and [0, 10000].
    expect(results[0]).toEqual([[0, 1], [10, 1], [20, 1], [30, 1], c, [2000, 100], [3000, 100], d]);
    // y lacks ab and <s>, which the base has.
    expect(results[1]).toEqual([
      [4000, 100],
      [0, 100],
      [20, 1],
      [30, 1],
      [1000, 100],
      [2000, 100],
      [3000, 100],
      d,
    ]);
    expect(results[2]).toEqual([[0, 1], [10, 1], [20, 1], [30, 1], [0, 10_000], [2000, 100], [3000, 100], d]);
  });

  it('of BPE unites merges and added tokens, and tokenizes', async () => {
    const json = JSON.parse((await fileOf(await models(), 0, 'tokenizer.json'))!);
    expect(json.model.merges).toEqual(['a b', 'b c']);
    // Special tokens too, whose ids would else be numbered on from the size of the vocabulary.
    expect(json.model.vocab).toEqual({ a: 0, b: 1, ab: 2, '<s>': 3, c: 4, bc: 5, '<y>': 6, d: 7 });
    expect(
      json.added_tokens.map(({ id, content }: { id: number; content: string }) => [id, content]),
    ).toEqual([
      [3, '<s>'],
      [6, '<y>'],
    ]);
    const tokenizer = new Tokenizer(json, {});
    expect(tokenizer.encode('<y>abbcd<s>').ids).toEqual([6, 2, 5, 7, 3]);
  });

  it('without a base begins with the first model, and owners count alike', async () => {
    const { plan, results } = await remapped(await models(), undefined);
    expect(plan.tokens.get('ab')).toBe(2);
    // b is in x (row 1, [10, 1]) and y (row 0, [0, 100]), not in z.
    expect(results[2]![1]).toEqual([5, 50.5]);
  });

  it('of WordPiece and of Unigram', async () => {
    const prefix = { continuing_subword_prefix: '##', unk_token: 'u' };
    const pieces = (vocab: Json) => of('WordPiece', { vocab, ...prefix });
    const words = [
      await model(pieces({ u: 0, he: 1, '##y': 2 }), 3, 1),
      await model(pieces({ he: 0, u: 1, '##x': 2 }), 3, 1),
    ];
    expect(JSON.parse((await fileOf(words, 0, 'tokenizer.json'))!).model.vocab).toEqual({
      u: 0,
      he: 1,
      '##y': 2,
      '##x': 3,
    });
    expect([...(await planOf(words, 0)).maps[1]!.own]).toEqual([1, 0, -1, 2]);

    const scores = (vocab: unknown[], extra: unknown[] = []) => of('Unigram', { vocab, unk_id: 0 }, extra);
    const unigrams = [
      await model(
        scores(
          [
            ['<unk>', 0],
            ['a', -1.5],
          ],
          [added(2, '<x>')],
        ),
        3,
        1,
      ),
      await model(
        scores([
          ['<unk>', 0],
          ['b', -2.5],
          ['a', -9],
        ]),
        3,
        1,
      ),
    ];
    expect(JSON.parse((await fileOf(unigrams, 0, 'tokenizer.json'))!).model).toEqual({
      type: 'Unigram',
      unk_id: 0,
      vocab: [
        ['<unk>', 0],
        ['a', -1.5],
        ['<x>', 0],
        ['b', -2.5],
      ],
    });
    expect([...(await planOf(unigrams, 0)).maps[1]!.own]).toEqual([0, 2, -1, 1]);
  });

  it('warns of other normalisation, and refuses other kinds', async () => {
    const lower = bpe(['a'], [], [], { normalizer: { type: 'Lowercase' } });
    const { warnings } = await planOf([await model(x, 4, 1), await model(lower, 1, 1)], 0);
    expect(warnings).toEqual([expect.stringMatching(/has another normalizer/)]);
    const other = await model(of('WordPiece', { vocab: { a: 0 }, continuing_subword_prefix: '##' }), 1, 1);
    await expect(planOf([await model(x, 4, 1), other], 0)).rejects.toMatchObject({
      code: 'ERR_TOKENIZER',
      message: /no union/,
    });
  });
});

describe('a given vocabulary', () => {
  it('is that of the base, or of a model, with its files', async () => {
    const files = { 'special_tokens_map.json': '{"bos_token":"<y>"}' };
    const paths = [await model(x, 5, 1), await model(y, 5, 100, 'F32', files), await model(z, 2, 10_000)];
    const { plan, results } = await remapped(paths, 0, { source: 'base' });
    expect(plan.rows).toBe(4);
    expect(results[1]).toEqual([
      [4000, 100],
      [0, 100],
      [20, 1],
      [30, 1],
    ]);
    expect(await fileOf(paths, 0, 'tokenizer.json', { source: 'base' })).toBe(
      readFileSync(join(paths[0]!, 'tokenizer.json'), 'utf8'),
    );

    const second = await planOf(paths, 0, { source: { model: 1 } });
    expect(await fileOf(paths, 0, 'special_tokens_map.json', { source: { model: 1 } })).toBe(
      files['special_tokens_map.json'],
    );
    expect([...second.maps[0]!.own]).toEqual([1, -1, -1, -1, 0]);
    // Ids of the base's configuration become those of the same tokens: a is 4, b is 0, <s> is gone.
    const config = {
      vocab_size: 5,
      bos_token_id: 0,
      eos_token_id: [1, 3],
      pad_token_id: 3,
      mask_token_id: null,
      hidden_size: 2,
      text_config: { vocab_size: 5 },
    };
    const origin = await readTokenizer(paths[0]!);
    expect(vocabularyChanges(second, origin, config)).toEqual({
      bos_token_id: 4,
      eos_token_id: [0],
      pad_token_id: null,
    });
    expect(vocabularyChanges(plan, origin, config)).toEqual({ vocab_size: 4, 'text_config.vocab_size': 4 });
    const part = { vocab_size: 5 };
    const parts = {
      ...{ language_config: part, thinker_config: { text_config: part, vision_config: part } },
      ...{ encoder: part, decoder: part, qformer_config: part, vision_config: part },
    };
    expect(vocabularyChanges(plan, origin, parts)).toEqual({
      'language_config.vocab_size': 4,
      'thinker_config.text_config.vocab_size': 4,
      'encoder.vocab_size': 4,
      'decoder.vocab_size': 4,
    });
    // MusicGen's decoder is of codes of sounds.
    const music = { text_encoder: part, audio_encoder: part, decoder: part };
    expect(vocabularyChanges(plan, origin, music)).toEqual({ 'text_encoder.vocab_size': 4 });
  });

  it('is that of the first model where there is no base', async () => {
    const { plan, results } = await remapped(await models(), undefined, { source: 'base' });
    expect(plan.donorModel).toBe(0);
    expect(results[0]).toEqual([
      [0, 1],
      [10, 1],
      [20, 1],
      [30, 1],
    ]);
  });

  it('needs a tokenizer.json without contradictions', async () => {
    const bare = writeModel(join(await tempDir(), 'm'), []);
    await expect(findTokenizerFile(bare)).resolves.toBeUndefined();
    writeFileSync(join(bare, 'tokenizer.json'), JSON.stringify(bpe(['a'], [], [added(0, 'b')])));
    await expect(findTokenizerFile(bare)).rejects.toMatchObject({
      code: 'ERR_TOKENIZER',
      message: /have the id 0/,
    });
  });
});

describe('rules', () => {
  it('pad with the mean of the rows of tokens', async () => {
    const { plan, results } = await remapped(await models(), 0, { source: 'base', padToMultipleOf: 3 });
    expect(plan.rows).toBe(6);
    // Tokens of x have rows 0 to 3; row 4 of its embedding is padding already and does not count.
    expect(results[0]!.slice(4)).toEqual([
      [15, 1],
      [15, 1],
    ]);
    expect(results[2]!.slice(4)).toEqual([
      [50_000, 10_000],
      [50_000, 10_000],
    ]);
  });

  it('give a token its source: for models that lack it, or for all', async () => {
    const tokens = new Map([
      ['c', { source: { kind: 'zero' } as const }],
      ['b', { source: { kind: 'model', model: 1 } as const, force: true }],
      ['d', { source: { kind: 'model_token', model: 0, token: 'ab' } as const }],
      ['<s>', { source: { kind: 'model_token', model: 1, token: 2 } as const, force: true }],
      ['a', { force: true }],
    ]);
    const { results } = await remapped(await models(), 0, { tokens });
    for (const rows of results) {
      expect(rows[1]).toEqual([0, 100]);
      expect(rows[3]).toEqual([2000, 100]);
    }
    expect(results.map((rows) => rows[4])).toEqual([
      [0, 0],
      [1000, 100],
      [0, 10_000],
    ]);
    expect(results.map((rows) => rows[7])).toEqual([
      [20, 1],
      [20, 1],
      [100_000, 10_000],
    ]);
    expect(results[0]![0]).toEqual([0, 1]);
  });

  it.each([
    ['a token that is nowhere, without a source', '?', {}, /"\?" is a token that no model has/],
    ['a model without the token', 'a', { source: { kind: 'model', model: 2 } }, /has no token "a"/],
    ['an id without a token', 'a', { source: { kind: 'model_token', model: 0, token: 9 } }, /has no token 9/],
  ] satisfies [string, string, TokenRule, RegExp][])('refuse %s', async (_name, token, rule, message) => {
    const files = await Promise.all((await models()).map(readTokenizer));
    expect(ruleProblems(files, new Map([[token, rule]]))).toMatchObject([{ token, message }]);
  });

  it('round rows of other dtypes once', async () => {
    const { results } = await remapped([await model(x, 4, 1), await model(z, 2, 0.1, 'F64')], 0);
    // 0.1 and 1 as F32; the F64 model holds the doubles of these.
    expect(results[0]!.slice(4)).toEqual([
      [0, Math.fround(0.1)],
      [Math.fround(1), Math.fround(0.1)],
    ]);
    expect(results[1]![1]).toEqual([10, 1]);
  });
});
