import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findTokenizerFile } from '../../../lib/merge/tokenizer/tokenizer-file.js';
import { tempDir } from '../../support/temp.js';

async function write(json: unknown): Promise<string> {
  const directory = join(await tempDir(), 'm');
  mkdirSync(directory);
  writeFileSync(join(directory, 'tokenizer.json'), JSON.stringify(json));
  return directory;
}

const bpe = { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'] };

describe('a tokenizer.json', () => {
  it.each([
    ['BPE', { model: bpe }, { a: 0, b: 1, ab: 2 }],
    ['BPE', { model: { ...bpe, merges: [['a', 'b']] } }, { a: 0, b: 1, ab: 2 }],
    ['BPE', { model: bpe, added_tokens: [{ id: 3, content: 'c' }] }, { a: 0, b: 1, ab: 2, c: 3 }],
    ['BPE', { model: bpe, added_tokens: null }, { a: 0, b: 1, ab: 2 }],
    [
      'Unigram',
      {
        model: {
          vocab: [
            ['a', -1],
            ['b', 0],
          ],
        },
      },
      { a: 0, b: 1 },
    ],
    ['WordLevel', { model: { type: 'WordLevel', vocab: { a: 0 } } }, { a: 0 }],
  ])('of the type %s gives its tokens: %j', async (type, json, tokens) => {
    const file = await findTokenizerFile(await write(json));
    expect(file!.type).toBe(type);
    expect(Object.fromEntries(file!.tokens)).toEqual(tokens);
  });

  it.each([
    {},
    { model: null },
    { model: 'BPE' },
    { model: [] },
    { model: { type: 'Bytes' } },
    { model: { type: 'Unigram' } },
    { model: { type: 'Unigram', vocab: {} } },
    { model: { type: 'Unigram', vocab: [null] } },
    { model: { type: 'Unigram', vocab: ['a'] } },
    { model: { type: 'Unigram', vocab: [['a']] } },
    { model: { type: 'Unigram', vocab: [['a', 'x']] } },
    { model: { type: 'Unigram', vocab: [[1, 1]] } },
    { model: { type: 'BPE', merges: [] } },
    { model: { ...bpe, vocab: 'a' } },
    { model: { ...bpe, vocab: ['a'] } },
    { model: { ...bpe, vocab: { a: null } } },
    { model: { ...bpe, vocab: { a: 0, b: 0 } } },
    { model: { ...bpe, merges: 5 } },
    { model: { ...bpe, merges: [null] } },
    { model: { ...bpe, merges: ['a'] } },
    { model: { ...bpe, merges: [['a', 1]] } },
    { model: bpe, added_tokens: {} },
    { model: bpe, added_tokens: [null] },
    { model: bpe, added_tokens: ['c'] },
    { model: bpe, added_tokens: [{ content: 'c' }] },
    { model: bpe, added_tokens: [{ id: 3 }] },
  ])('that is damaged is refused: %j', async (json) => {
    const directory = await write(json);
    await expect(findTokenizerFile(directory)).rejects.toMatchObject({
      code: 'ERR_TOKENIZER',
      file: join(directory, 'tokenizer.json'),
      hint: expect.any(String),
    });
  });
});
