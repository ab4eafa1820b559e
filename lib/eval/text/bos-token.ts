import { type Checkpoint, readConfig } from '../../checkpoint/checkpoint.js';
import type { TextTokenizer } from './tokenizer.js';

/** Files that name it; the first that speaks of it decides. */
const files = ['tokenizer_config.json', 'special_tokens_map.json'];

/**
 * The token that a model's texts begin with: as its tokenizer's files name it, or else the one that the tokenizer puts in
 * front by itself. Undefined where they begin with none, or with one that the tokenizer does not have. Throws ERR_CONFIG, ERR_IO.
 */
export async function bosToken(
  { directory }: Pick<Checkpoint, 'directory'>,
  tokenizer: TextTokenizer,
): Promise<string | undefined> {
  for (const file of directory === undefined ? [] : files) {
    const token = (await readConfig(directory!, file))?.bos_token;
    if (token === undefined) continue;
    const text =
      typeof token === 'string' ? token : (token as { readonly content?: unknown } | null)?.content;
    return typeof text === 'string' && tokenizer.has(text) ? text : undefined;
  }
  return tokenizer.opening;
}
