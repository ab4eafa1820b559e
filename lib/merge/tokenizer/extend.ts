import type { Config } from '../../checkpoint/checkpoint.js';
import type { AddedToken, TokenizerFile } from './tokenizer-file.js';

/** A tokenizer with more tokens than the file that it began with. */
export interface ExtendedTokenizer {
  readonly json: Config;
  readonly tokens: ReadonlyMap<string, number>;
  readonly newAdded: readonly AddedToken[];
}

/** A token that no model has is matched in texts as it is written, and is shown like any other. */
const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: false };

/** Adds tokens with the next free ids, each as the first model has it that has it as an added token. */
export function appendTokens(
  { json, tokens, newAdded }: ExtendedTokenizer,
  appended: readonly string[],
  models: readonly TokenizerFile[],
): ExtendedTokenizer {
  let next = 0;
  for (const id of tokens.values()) next = Math.max(next, id + 1);
  const entries = appended.map((content): AddedToken => {
    const known = models.flatMap(({ added }) => added).find((one) => one.content === content);
    return { ...(known ?? { ...plain, content }), id: next++ } as AddedToken;
  });
  return {
    json: { ...json, added_tokens: [...((json.added_tokens ?? []) as AddedToken[]), ...entries] },
    tokens: new Map([...tokens, ...entries.map(({ content, id }) => [content, id] as const)]),
    newAdded: [...newAdded, ...entries],
  };
}
