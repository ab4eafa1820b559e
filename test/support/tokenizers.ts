// Small tokenizers in the form of tokenizer.json, for the models of test/fixtures, which have none.
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fixture } from './networks.js';
import { tempDir } from './temp.js';

const special = (id: number, content: string) => ({
  ...{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
});

/** Token numbers by text: `first` on, one by one. */
function numbered(first: number, tokens: readonly string[]): Record<string, number> {
  return Object.fromEntries(tokens.map((token, i) => [token, first + i]));
}

const letters = [...'abcdefghijklmnopqrstuvwxyz'];

/** For llama-tiny (160 tokens): letters, `▁` for a space, some pairs; `<s>` in front unless `bare`. */
export function llamaTokenizer({ bare = false } = {}): object {
  const merges = ['▁ t', 'h e', '▁t he', 'a n', 'i n', '▁ a', 'o n', 'r e', '▁ s'];
  const pairs = merges.map((merge) => merge.replace(' ', ''));
  return {
    version: '1.0',
    added_tokens: [special(0, '<unk>'), special(1, '<s>'), special(2, '</s>')],
    normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
    pre_tokenizer: null,
    post_processor: bare
      ? null
      : {
          type: 'TemplateProcessing',
          single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
          pair: [],
          special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
        },
    decoder: null,
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      vocab: { '<unk>': 0, '<s>': 1, '</s>': 2, ...numbered(3, [...letters, '▁', '.', '\n', ...pairs]) },
      merges: merges.map((merge) => merge.split(' ')),
    },
  };
}

/** For clip-tiny (99 tokens): letters inside and at the end of words, as CLIP's own with fewer pairs. */
export function clipTokenizer({ open = false } = {}): object {
  const [begin, end] = [special(97, '<|startoftext|>'), special(98, '<|endoftext|>')];
  const ends = [...letters, '.'].map((letter) => `${letter}</w>`);
  return {
    version: '1.0',
    added_tokens: [begin, end],
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: {
      type: 'Split',
      pattern: { Regex: '[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+' },
      behavior: 'Removed',
      invert: true,
    },
    post_processor: open
      ? null
      : { type: 'RobertaProcessing', sep: [end.content, 98], cls: [begin.content, 97] },
    decoder: null,
    model: {
      type: 'BPE',
      unk_token: '<|endoftext|>',
      end_of_word_suffix: '</w>',
      vocab: {
        ...numbered(0, [...letters, '.', ...ends, 'ca', 'cat</w>', 'of</w>']),
        ...{ '<|startoftext|>': 97, '<|endoftext|>': 98 },
      },
      merges: [
        ['c', 'a'],
        ['ca', 't</w>'],
        ['o', 'f</w>'],
      ],
    },
  };
}

/** A copy of a model of test/fixtures with a tokenizer beside its weights. */
export async function withTokenizer(model: string, tokenizer: object): Promise<string> {
  const directory = join(await tempDir(), 'model');
  cpSync(fixture(model), directory, { recursive: true });
  writeFileSync(join(directory, 'tokenizer.json'), JSON.stringify(tokenizer));
  return directory;
}
