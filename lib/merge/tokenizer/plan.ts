import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Config, readConfig } from '../../checkpoint/checkpoint.js';
import { ioError } from '../../errors.js';
import { mapRows, type RowMap, type TokenRule } from './rows.js';
import {
  slowTokenizerFiles,
  type TokenizerFile,
  tokenizerError,
  tokenizerFileNames,
} from './tokenizer-file.js';
import { type Union, uniteTokenizers } from './union.js';

/** The tokenizer of a merge. Models are positions in the list of models. */
export interface VocabularyOptions {
  /** Default: `union`. A model's, or one of no model. */
  readonly source?: 'union' | 'base' | { readonly model: number } | { readonly file: TokenizerFile };
  readonly tokens?: ReadonlyMap<string, TokenRule>;
  readonly padToMultipleOf?: number;
}

/** The output's tokens, and how each model's embeddings get there. */
export interface Vocabulary {
  /** Output token to id. */
  readonly tokens: ReadonlyMap<string, number>;
  /** Rows of the output's embeddings, padding included. */
  readonly rows: number;
  /** One per model. */
  readonly maps: readonly RowMap[];
  /** Whose tokenizer it is, with the tokens of others where it is a union. */
  readonly donor: TokenizerFile;
  /** Position of the donor among the models. */
  readonly donorModel?: number;
  /** What the donor lacked. */
  readonly union?: Union;
  readonly warnings: readonly string[];
}

/**
 * Plans the output vocabulary of a merge of models with these tokenizers; `base` is the position of the base model
 * among them. Throws ERR_TOKENIZER.
 */
export function planVocabulary(
  models: readonly TokenizerFile[],
  base: number | undefined,
  { source = 'union', tokens: rules = new Map(), padToMultipleOf = 1 }: VocabularyOptions = {},
): Vocabulary {
  let donorModel = base ?? (source === 'union' ? 0 : undefined);
  if (typeof source === 'object') donorModel = 'model' in source ? source.model : undefined;
  const own = typeof source === 'object' && 'file' in source ? source.file : undefined;
  const donor = own ?? (donorModel === undefined ? undefined : models[donorModel]);
  if (!donor) {
    throw tokenizerError(
      models[0]?.directory ?? '',
      'the tokenizer is to be that of the base, but there is no base model',
      'Set base_model, or name a listed model.',
    );
  }
  if (!Number.isInteger(padToMultipleOf) || padToMultipleOf < 1) {
    throw tokenizerError(
      donor.file,
      `pad_to_multiple_of is ${padToMultipleOf}, not a whole number from 1`,
      'Correct it.',
    );
  }
  const union = source === 'union' ? uniteTokenizers(donor, models) : undefined;
  const tokens = union?.tokens ?? donor.tokens;
  let top = -1;
  for (const id of tokens.values()) top = Math.max(top, id);
  const rows = Math.ceil((top + 1) / padToMultipleOf) * padToMultipleOf;
  return {
    tokens,
    rows,
    maps: mapRows(models, base, tokens, rows, rules),
    donor,
    ...(donorModel !== undefined && { donorModel }),
    ...(union && tokens.size > donor.tokens.size && { union }),
    warnings: union?.warnings ?? [],
  };
}

/** The files of an output's tokenizer, by name. */
export interface TokenizerFiles {
  readonly texts: ReadonlyMap<string, string>;
  /** To copy from the donor's directory. */
  readonly copies: readonly string[];
}

/**
 * Files of the vocabulary's tokenizer; `directory` is the donor's. A slow tokenizer is left out where it would
 * contradict a united tokenizer.json. Throws ERR_CONFIG, ERR_IO.
 */
export async function tokenizerFiles({ union }: Vocabulary, directory: string): Promise<TokenizerFiles> {
  const texts = new Map<string, string>();
  if (union) {
    texts.set('tokenizer.json', `${JSON.stringify(union.json, null, 2)}\n`);
    const config = await readConfig(directory, 'tokenizer_config.json');
    if (config?.added_tokens_decoder !== undefined) {
      const decoder = { ...(config.added_tokens_decoder as object) } as Record<string, unknown>;
      for (const { id, ...token } of union.newAdded) decoder[id] = token;
      const changed = { ...config, added_tokens_decoder: decoder };
      texts.set('tokenizer_config.json', `${JSON.stringify(changed, null, 2)}\n`);
    }
    const added = await readConfig(directory, 'added_tokens.json');
    if (added) {
      const changed = Object.fromEntries([
        ...Object.entries(added),
        ...union.newAdded.map(({ content, id }) => [content, id]),
      ]);
      texts.set('added_tokens.json', `${JSON.stringify(changed, null, 2)}\n`);
    }
  }
  const copies: string[] = [];
  for (const name of tokenizerFileNames) {
    if (texts.has(name) || (union && slowTokenizerFiles.includes(name))) continue;
    const there = await access(join(directory, name)).then(
      () => true,
      () => false,
    );
    if (there) copies.push(name);
  }
  return { texts, copies };
}

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
      const nested = /^(text_config|llm_config)$/.test(key) && typeof held === 'object' && held !== null;
      if (nested) visit(held, `${prefix}${key}.`);
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
  return await readFile(join(directory, name), 'utf8').catch((error) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw ioError(error, 'read', join(directory, name));
  });
}
