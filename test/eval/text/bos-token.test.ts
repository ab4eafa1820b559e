// The token that texts begin with, by all the places where models say it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openCheckpoint } from '../../../lib/checkpoint/checkpoint.js';
import { bosToken } from '../../../lib/eval/text/bos-token.js';
import { TextTokenizer } from '../../../lib/eval/text/tokenizer.js';
import { clipTokenizer, llamaTokenizer, withTokenizer } from '../../support/tokenizers.js';

/** `files`: beside the tokenizer. */
async function found(
  tokenizer: object,
  files: Readonly<Record<string, object>> = {},
  model = 'llama-tiny/a',
) {
  const directory = await withTokenizer(model, tokenizer);
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(directory, name), JSON.stringify(content));
  }
  const checkpoint = await openCheckpoint(directory);
  return await bosToken(checkpoint, await TextTokenizer.open(checkpoint));
}

const bare = llamaTokenizer({ bare: true });
const named = (token: unknown) => ({ bos_token: token });

test.each<[string, object, Record<string, object>]>([
  ['tokenizer_config.json', bare, { 'tokenizer_config.json': named('<s>') }],
  ['an added token written out', bare, { 'tokenizer_config.json': named({ content: '<s>', lstrip: false }) }],
  ['special_tokens_map.json', bare, { 'tokenizer_config.json': {}, 'special_tokens_map.json': named('<s>') }],
  ['the tokenizer’s template', llamaTokenizer(), {}],
])('by %s', async (_name, tokenizer, files) => {
  expect(await found(tokenizer, files)).toBe('<s>');
});

test('by a template that closes texts, too', async () => {
  expect(await found(clipTokenizer(), {}, 'clip-tiny/zeroshot')).toBe('<|startoftext|>');
});

test('there is none where no file and no template has one, where it is null, where the tokenizer does not have it', async () => {
  expect(await found(bare)).toBeUndefined();
  const files = { 'tokenizer_config.json': named(null), 'special_tokens_map.json': named('<s>') };
  expect(await found(llamaTokenizer(), files)).toBeUndefined();
  expect(await found(bare, { 'tokenizer_config.json': named('<bos>') })).toBeUndefined();
});

test('a file that is no JSON is named', async () => {
  const directory = await withTokenizer('llama-tiny/a', bare);
  const checkpoint = await openCheckpoint(directory);
  const tokenizer = await TextTokenizer.open(checkpoint);
  const file = join(directory, 'special_tokens_map.json');
  writeFileSync(file, '{');
  await expect(bosToken(checkpoint, tokenizer)).rejects.toMatchObject({ code: 'ERR_CONFIG', file });
});
