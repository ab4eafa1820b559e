import { join } from 'node:path';
import { type Config, readConfig } from '../../checkpoint/checkpoint.js';
import { ioError } from '../../errors.js';
import { isThere } from '../../files/look-at.js';
import { readTextFile } from '../../files/read-whole.js';
import type { ExtendedTokenizer } from './extend.js';
import type { OutputTokens } from './output-tokens.js';
import { leftOut } from './rowless.js';
import { mapRows, type RowMap } from './rows.js';
import type { TokenRule } from './rules.js';
import { slowTokenizerFiles, type TokenizerFile, tokenizerFileNames } from './tokenizer-file.js';
import { withoutKeys, withoutMentions } from './without-tokens.js';

/** The output's tokens, and how each model's embeddings get there. */
export interface Vocabulary extends OutputTokens {
  /** Rows of the output's embeddings, padding included. */
  readonly rows: number;
  /** One per model. */
  readonly maps: readonly RowMap[];
}

export interface VocabularyOptions {
  /** Those of tokens that the configuration speaks of, without problems. */
  readonly rules?: ReadonlyMap<string, TokenRule>;
  readonly padToMultipleOf?: number;
}

/**
 * Plans the embeddings of a merge of models with these tokenizers, of whose tokens all have rows; `base` is the position of
 * the base model among them.
 */
export function planVocabulary(
  models: readonly TokenizerFile[],
  base: number | undefined,
  output: OutputTokens,
  { rules = new Map(), padToMultipleOf = 1 }: VocabularyOptions = {},
): Vocabulary {
  let top = -1;
  for (const id of output.tokens.values()) top = Math.max(top, id);
  const rows = Math.ceil((top + 1) / padToMultipleOf) * padToMultipleOf;
  return { ...output, rows, maps: mapRows(models, base, output.tokens, rows, rules) };
}

/** The files of an output's tokenizer, by name. */
export interface TokenizerFiles {
  readonly texts: ReadonlyMap<string, string>;
  /** To copy from the donor's directory. */
  readonly copies: readonly string[];
  /** To leave there: of a slow tokenizer with other tokens than the output's. */
  readonly stale: readonly string[];
}

/** Files of the vocabulary's tokenizer; `directory` is the donor's. Throws ERR_CONFIG, ERR_IO. */
export async function tokenizerFiles(
  { changed, donor }: OutputTokens,
  directory: string,
): Promise<TokenizerFiles> {
  const texts = changed ? await changedTexts(changed, new Set(leftOut(donor)), directory) : new Map();
  const grown = changed !== undefined && changed.tokens.size > donor.tokens.size;
  const cut = donor.whole !== undefined && donor.whole.vocabulary.size > donor.vocabulary.size;
  const stale = grown || cut ? slowTokenizerFiles : [];
  const copies: string[] = [];
  for (const name of tokenizerFileNames) {
    if (texts.has(name) || stale.includes(name)) continue;
    if (await isThere(join(directory, name))) copies.push(name);
  }
  return { texts, copies, stale };
}

async function changedTexts(
  { json, newAdded }: ExtendedTokenizer,
  lost: ReadonlySet<string>,
  directory: string,
): Promise<Map<string, string>> {
  const text = (content: object): string => `${JSON.stringify(content, null, 2)}\n`;
  const texts = new Map([['tokenizer.json', text(json)]]);
  const config = await readConfig(directory, 'tokenizer_config.json');
  if (config && (config.added_tokens_decoder !== undefined || lost.size > 0)) {
    const kept = withoutMentions(config, lost);
    const decoder = kept.added_tokens_decoder !== undefined && {
      ...(kept.added_tokens_decoder as object),
      ...Object.fromEntries(newAdded.map(({ id, ...token }) => [id, token])),
    };
    texts.set('tokenizer_config.json', text({ ...kept, ...(decoder && { added_tokens_decoder: decoder }) }));
  }
  const added = await readConfig(directory, 'added_tokens.json');
  if (added) {
    const ids = newAdded.map(({ content, id }) => [content, id]);
    texts.set('added_tokens.json', text({ ...withoutKeys(added, lost), ...Object.fromEntries(ids) }));
  }
  const map = lost.size > 0 ? await readConfig(directory, 'special_tokens_map.json') : undefined;
  if (map) texts.set('special_tokens_map.json', text(withoutMentions(map, lost)));
  return texts;
}

/** Parts of a configuration that are of text in the tokenizer's tokens: a query transformer has its own. */
const texts = /^((text|llm|language|thinker)_config|(text_)?encoder|decoder)$/;

/**
 * Sizes and ids in a configuration (`config.json`, `generation_config.json`) of the model with the tokenizer `origin`,
 * for the output's tokens, by dotted path. Ids of tokens that are gone become null.
 */
export function vocabularyChanges(
  { tokens, rows }: Vocabulary,
  origin: TokenizerFile,
  config: Config,
): Record<string, unknown> {
  const names = new Map([...origin.tokens].map(([token, id]) => [id, token]));
  const moved = (old: unknown): unknown => {
    if (Array.isArray(old)) return old.map(moved).filter((one) => one !== null);
    if (typeof old !== 'number') return old;
    const name = names.get(old);
    return name === undefined ? old : (tokens.get(name) ?? null);
  };
  const changes: Record<string, unknown> = {};
  const visit = (part: object, prefix: string): void => {
    for (const [key, held] of Object.entries(part)) {
      // Beside an encoder of text, MusicGen's decoder is one of codes of sounds.
      const ofText = texts.test(key) && !(key === 'decoder' && 'text_encoder' in part);
      if (ofText && typeof held === 'object' && held !== null) visit(held, `${prefix}${key}.`);
      let value = held;
      if (key === 'vocab_size') value = rows;
      else if (/_token_(id|index)$/.test(key)) value = moved(held);
      if (JSON.stringify(value) !== JSON.stringify(held)) changes[prefix + key] = value;
    }
  };
  visit(config, '');
  return changes;
}

/** A text file of a directory; undefined if there is none. */
export async function readText(directory: string, name: string): Promise<string | undefined> {
  return await readTextFile(join(directory, name)).catch((error) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw ioError(error, 'read', join(directory, name));
  });
}
