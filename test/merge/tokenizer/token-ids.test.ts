// Ids of an output's tokens: those of its rows are those that readers of its tokenizer.json get.
import { describe, expect, it } from 'vitest';
import { outputTokens, type VocabularySource } from '../../../lib/merge/tokenizer/output-tokens.js';
import type { TokenRule } from '../../../lib/merge/tokenizer/rules.js';
import { parseTokenizer, type TokenizerFile } from '../../../lib/merge/tokenizer/tokenizer-file.js';
import { randomWords } from '../../support/random.js';
import { expectLoadedIds } from '../../support/tokenizer-ids.js';

type Ids = Readonly<Record<string, number>>;

const types = ['BPE', 'WordPiece', 'WordLevel', 'Unigram'] as const;
const maps = types.slice(0, 3);

const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };

function tokenizer(type: (typeof types)[number], vocab: Ids, added: Ids = {}, merges: string[] = []) {
  const pieces = Object.entries(vocab).sort(([, one], [, two]) => one - two);
  const json = {
    added_tokens: Object.entries(added).map(([content, id]) => ({ id, content, ...flags })),
    model: {
      type,
      vocab: type === 'Unigram' ? pieces.map(([piece]) => [piece, -1]) : vocab,
      ...(type === 'BPE' && { merges }),
    },
  };
  return parseTokenizer(json, 'model', 'model/tokenizer.json');
}

/** The ids that the output's rows have, which have to be those of its file. */
function idsOf(
  models: readonly TokenizerFile[],
  source: VocabularySource = 'union',
  rules: readonly string[] = [],
) {
  const zero: TokenRule = { source: { kind: 'zero' } };
  const output = outputTokens(models, 0, source, new Map(rules.map((token) => [token, zero])));
  const json = (output.changed?.json ?? output.donor.json) as unknown as Parameters<
    typeof expectLoadedIds
  >[0];
  expectLoadedIds(json, output.tokens);
  for (const [token, id] of models[0]!.tokens) expect([token, output.tokens.get(token)]).toEqual([token, id]);
  return { ids: Object.fromEntries(output.tokens), json, warnings: output.warnings };
}

const numbered = (tokens: string, first = 0): Ids =>
  Object.fromEntries(tokens.split(' ').map((token, i) => [token, first + i]));

describe.each(types)('of a union of %s', (type) => {
  it('special tokens behind the donor’s vocabulary keep theirs', () => {
    const donor = tokenizer(type, numbered('a b'), numbered('<s> <e>', 2));
    const other = tokenizer(type, numbered('b c d'), numbered('<s> <tool> <e>', 3));
    const { ids, json } = idsOf([donor, other]);
    expect(ids).toEqual(numbered('a b <s> <e> c d <tool>'));
    expect(json.added_tokens!.map(({ content }) => content)).toEqual(['<s>', '<e>', '<tool>']);
  });

  it('tokens that are added in one model and pieces of another have one', () => {
    const donor = tokenizer(type, numbered('a b'), numbered('ab <s>', 2));
    const other = tokenizer(type, numbered('b a ab c ac'), numbered('<t>', 5), ['a b', 'a c']);
    expect(idsOf([donor, other]).ids).toEqual(numbered('a b ab <s> c ac <t>'));
    expect(idsOf([other, donor]).ids).toEqual(numbered('b a ab c ac <t> <s>'));
  });

  it('and of rules beside it', () => {
    const donor = tokenizer(type, numbered('a b'), numbered('<s>', 2));
    const other = tokenizer(type, numbered('c'));
    expect(idsOf([donor, other], 'union', ['<new>']).ids).toEqual(numbered('a b <s> c <new>'));
    expect(idsOf([donor, other], 'base', ['<new>']).ids).toEqual(numbered('a b <s> <new>'));
  });
});

describe.each(maps)('of %s with ids that are left out', (type) => {
  const gaps = tokenizer(type, { a: 0, b: 2, c: 7 }, { '<s>': 5, '<e>': 9 });
  const inside = tokenizer(type, { a: 0, b: 3 }, { '<s>': 1, '<e>': 2 });
  const other = tokenizer(type, numbered('d b'), numbered('<t>', 2));

  it('they stay so in a union, and with a token more', () => {
    expect(idsOf([gaps, other]).ids).toEqual({ a: 0, b: 2, '<s>': 5, c: 7, '<e>': 9, d: 10, '<t>': 11 });
    expect(idsOf([inside, other]).ids).toEqual(numbered('a <s> <e> b d <t>'));
    expect(idsOf([gaps], 'base', ['<n>']).ids).toEqual({ a: 0, b: 2, '<s>': 5, c: 7, '<e>': 9, '<n>': 10 });
  });

  it('a warning says that transformers gives others', () => {
    expect(idsOf([gaps, other]).warnings).toEqual([
      expect.stringMatching(/states other ids for 2 of its tokens \(<s>, <e>\) than transformers gives/),
    ]);
    expect(outputTokens([gaps, other], 0, 'base').warnings).toHaveLength(1);
    expect(outputTokens([gaps, other], 0, { model: 1 }).warnings).toEqual([]);
  });
});

it('pieces of BPE that others’ merges make are in the vocabulary, as readers demand', () => {
  const donor = tokenizer('BPE', numbered('a b'), numbered('ab', 2));
  const other = tokenizer('BPE', numbered('a b ab c'), {}, ['a b']);
  const { json } = idsOf([donor, other]);
  expect(json.model.vocab).toMatchObject({ ab: 2 });
});

it('added tokens stay out of a vocabulary behind which they are numbered on anyway', () => {
  const donor = tokenizer('BPE', numbered('a b'), { '<e>': 3, '<s>': 2 });
  const { json } = idsOf([donor], 'base', ['<new>']);
  expect(json.model.vocab).toEqual({ a: 0, b: 1 });
  expect(json.added_tokens!.map(({ id }) => id)).toEqual([2, 3, 4]);
});

it('Unigram models, whose ids are places, have no gaps', () => {
  const donor = tokenizer('Unigram', numbered('a b'), { '<s>': 3 });
  const refused = expect.objectContaining({
    code: 'ERR_TOKENIZER',
    message: expect.stringMatching(/its ids leave gaps below [34]/),
  });
  expect(() => outputTokens([donor, tokenizer('Unigram', numbered('c'))], 0)).toThrow(refused);
  const rules = new Map([['<new>', { source: { kind: 'zero' } as const }]]);
  expect(() => outputTokens([donor], 0, 'base', rules)).toThrow(refused);
  expect(outputTokens([donor], 0, 'base').changed).toBeUndefined();
});

it('a piece that a Unigram model has twice counts twice', () => {
  const json = {
    added_tokens: [{ id: 2, content: '<s>', ...flags }],
    model: {
      type: 'Unigram',
      vocab: [
        ['a', -1],
        ['a', -2],
      ],
    },
  };
  expect(outputTokens([parseTokenizer(json, 'm', 'm/tokenizer.json')], 0, 'base').warnings).toEqual([]);
});

it('of any tokenizers are those of the file', () => {
  const next = randomWords(5);
  const below = (n: number) => next() % n;
  const letters = [...'abcdefghijkl'];
  const some = (type: (typeof types)[number]) => {
    const own = letters.filter(() => below(2) === 0).concat('z');
    const added = letters.map((letter) => (below(2) ? letter : `<${letter}>`)).filter(() => below(3) === 0);
    const gap = type === 'Unigram' ? 0 : below(3);
    const vocab = Object.fromEntries(own.map((token, i) => [token, i + (i > 2 ? gap : 0)]));
    let id = Math.max(...Object.values(vocab)) + 1;
    const extra = added.map((token) => [token, vocab[token] ?? id++] as const);
    return tokenizer(type, vocab, Object.fromEntries(extra));
  };
  for (let round = 0; round < 200; round++) {
    const type = types[round % types.length]!;
    idsOf([some(type), some(type), some(type)], 'union', below(2) ? ['<rule>'] : []);
  }
});
