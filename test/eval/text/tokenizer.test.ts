import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../../lib/checkpoint/checkpoint.js';
import { TextTokenizer } from '../../../lib/eval/text/tokenizer.js';
import { clipTokenizer, llamaTokenizer, withTokenizer } from '../../support/tokenizers.js';

async function open(model: string, tokenizer: object): Promise<TextTokenizer> {
  return await TextTokenizer.open(await openCheckpoint(await withTokenizer(model, tokenizer)));
}

const letter = (c: string) => c.charCodeAt(0) - 97;

describe('tokens', () => {
  test('merges in order of rank, and what stands in front', async () => {
    const tokenizer = await open('llama-tiny/a', llamaTokenizer());
    const [gap, the] = [29, 34];
    const of = (c: string) => 3 + letter(c);
    // "▁ t", then "h e", then "▁t he": one token. "a n" makes two letters one.
    expect(tokenizer.encode('see the man')).toEqual([
      ...[1, of('s'), of('e'), of('e'), the, gap, of('m'), 35],
    ]);
    expect(tokenizer.encode('')).toEqual([1]);
    expect(tokenizer.encode('é')).toEqual([1, 0]);
    const bare = await open('llama-tiny/a', llamaTokenizer({ bare: true }));
    expect(bare.encode('b')).toEqual([of('b')]);
    expect(bare.hash).not.toBe(tokenizer.hash);
  });

  test("CLIP's: words end with their last letter, texts with their end", async () => {
    const tokenizer = await open('clip-tiny/zeroshot', clipTokenizer());
    const end = (c: string) => 27 + letter(c);
    // The full stop, "cat" and "of" stand behind the letters.
    const [stop, cat, of] = [53, 55, 56];
    const cub = [letter('c'), letter('u'), end('b')];
    expect(tokenizer.encode('A cub of cat.')).toEqual([97, end('a'), ...cub, of, cat, stop, 98]);
  });

  test('a text that is too long loses its own end, not the tokens around it', async () => {
    const tokenizer = await open('clip-tiny/zeroshot', clipTokenizer());
    const whole = tokenizer.encode('abcdefg');
    expect(tokenizer.encodeWithin('abcdefg', 9)).toEqual({ ids: whole, truncated: false, closed: true });
    const short = tokenizer.encodeWithin('abcdefg', 5);
    expect(short).toEqual({ ids: [97, 0, 1, 2, 98], truncated: true, closed: true });
    expect(tokenizer.encodeWithin('abcdefg', 2).ids).toEqual([97, 98]);
    const open1 = await open('clip-tiny/zeroshot', clipTokenizer({ open: true }));
    expect(open1.encodeWithin('abcdefg', 5)).toEqual({
      ids: [0, 1, 2, 3, 4],
      truncated: true,
      closed: false,
    });
  });
});

test('a text behind a token has that once and no other in front or behind', async () => {
  const b = 3 + letter('b');
  for (const bare of [false, true]) {
    const tokenizer = await open('llama-tiny/a', llamaTokenizer({ bare }));
    expect(tokenizer.encodeBehind('<s>', 'b')).toEqual([1, b]);
    expect(tokenizer.encodeBehind('<s>', '')).toEqual([1]);
    expect(tokenizer.encodeBehind(undefined, 'b')).toEqual([b]);
    expect(tokenizer.encodeBehind(undefined, '')).toEqual([]);
  }
  const clip = await open('clip-tiny/zeroshot', clipTokenizer());
  expect(clip.encodeBehind('<|startoftext|>', 'a')).toEqual([97, 27]);
  // A token of the vocabulary that is none of the added ones.
  expect(clip.encodeBehind('b</w>', 'a')).toEqual([28, 27]);
});

describe('what cannot be read is named', () => {
  test('no tokenizer, a broken one, a lone file', async () => {
    const model = await withTokenizer('clip-tiny/zeroshot', clipTokenizer());
    const file = join(model, 'tokenizer.json');
    const opened = async (path: string) => TextTokenizer.open(await openCheckpoint(path));
    const alone = { code: 'ERR_CONFIG', message: expect.stringContaining('without a directory') };
    await expect(opened(join(model, 'model.safetensors'))).rejects.toMatchObject(alone);
    for (const broken of ['{', '{}', JSON.stringify({ ...clipTokenizer(), model: { type: 'Odd' } })]) {
      writeFileSync(file, broken);
      await expect(opened(model)).rejects.toMatchObject({ code: 'ERR_CONFIG', file });
    }
    rmSync(file);
    await expect(opened(model)).rejects.toMatchObject({
      ...{ code: 'ERR_CONFIG', message: expect.stringContaining('there is no tokenizer.json') },
      hint: expect.stringContaining('save_pretrained'),
    });
  });
});
