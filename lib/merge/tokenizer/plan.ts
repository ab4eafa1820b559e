import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Config, readConfig } from '../../checkpoint/checkpoint.js';
import { ioError } from '../../errors.js';
import { mapRows, type RowMap, type TokenRule } from './rows.js';
import { type AddedToken, readTokenizerFile, type TokenizerFile, tokenizerError } from './tokenizer-file.js';
import { uniteTokenizers } from './union.js';

/** The tokenizer of a merge. Models are positions in the list of models. */
export interface TokenizerOptions {
  /** Default: `union`. */
  readonly source?: 'union' | 'base' | { readonly model: number };
  readonly tokens?: ReadonlyMap<string, TokenRule>;
  readonly padToMultipleOf?: number;
}

/** The output's tokenizer, and how each model's embeddings get there. */
export interface TokenizerPlan {
  /** Output token to id. */
  readonly tokens: ReadonlyMap<string, number>;
  /** Rows of the output's embeddings, padding included. */
  readonly rows: number;
  /** One per model. */
  readonly maps: readonly RowMap[];
  /** Files of the tokenizer to write, by name; those in `omit` must not be copied from the base. */
  readonly files: ReadonlyMap<string, string>;
  readonly omit: readonly string[];
  readonly warnings: readonly string[];
  /** `config.json` or `generation_config.json` of the base, with this vocabulary's size and ids. */
  updateConfig(config: Config): Config;
}

/** Written anew for a union, or copied from the tokenizer's model. */
const kept = ['tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json'];
/** Slow tokenizers: they would contradict a united tokenizer.json. */
const slow = [
  'vocab.json',
  'merges.txt',
  'vocab.txt',
  'tokenizer.model',
  'spiece.model',
  'sentencepiece.bpe.model',
];

/**
 * Plans the output vocabulary of a merge of models in `directories`; `base` is the position of the base model among
 * them. Throws ERR_TOKENIZER, ERR_CONFIG, ERR_IO.
 */
export async function planTokenizer(
  directories: readonly string[],
  base: number | undefined,
  { source = 'union', tokens: rules = new Map(), padToMultipleOf = 1 }: TokenizerOptions = {},
): Promise<TokenizerPlan> {
  const models = await Promise.all(directories.map(readTokenizerFile));
  const chosen = typeof source === 'object' ? source.model : (base ?? (source === 'union' ? 0 : undefined));
  const donor = chosen === undefined ? undefined : models[chosen];
  if (!donor) {
    throw tokenizerError(
      directories[0] ?? '',
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
  const united = source === 'union' ? uniteTokenizers(donor, models) : undefined;
  const tokens = united?.tokens ?? donor.tokens;
  let top = -1;
  for (const id of tokens.values()) top = Math.max(top, id);
  const rows = Math.ceil((top + 1) / padToMultipleOf) * padToMultipleOf;
  const grown = tokens.size > donor.tokens.size;
  const files = await tokenizerFiles(donor, grown ? united : undefined);
  const origin = models[base ?? 0]!;
  return {
    tokens,
    rows,
    maps: mapRows(models, base, tokens, rows, rules),
    files,
    omit: grown || donor !== origin ? slow : [],
    warnings: united?.warnings ?? [],
    updateConfig: (config) => updateConfig(config, origin, tokens, rows) as Config,
  };
}

async function tokenizerFiles(
  donor: TokenizerFile,
  united: { json: Config; newAdded: readonly AddedToken[] } | undefined,
): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const name of ['tokenizer.json', ...kept]) {
    const text = await readFile(join(donor.directory, name), 'utf8').catch((error) => {
      if (error.code === 'ENOENT') return undefined;
      throw ioError(error, 'read', join(donor.directory, name));
    });
    if (text !== undefined) files.set(name, text);
  }
  if (!united) return files;
  files.set('tokenizer.json', `${JSON.stringify(united.json, null, 2)}\n`);
  const config = await readConfig(donor.directory, 'tokenizer_config.json');
  if (config) {
    const decoder = { ...(config.added_tokens_decoder as object) } as Record<string, unknown>;
    for (const { id, ...token } of united.newAdded) decoder[id] = token;
    const changed = {
      ...config,
      ...(config.added_tokens_decoder !== undefined && { added_tokens_decoder: decoder }),
    };
    files.set('tokenizer_config.json', `${JSON.stringify(changed, null, 2)}\n`);
  }
  const added = await readConfig(donor.directory, 'added_tokens.json');
  if (added) {
    const changed = Object.fromEntries([
      ...Object.entries(added),
      ...united.newAdded.map(({ content, id }) => [content, id]),
    ]);
    files.set('added_tokens.json', `${JSON.stringify(changed, null, 2)}\n`);
  }
  return files;
}

/** Sizes and ids in a configuration of `origin`, for the output's tokens. Ids of tokens that are gone become null. */
function updateConfig(
  value: unknown,
  origin: TokenizerFile,
  tokens: ReadonlyMap<string, number>,
  rows: number,
): unknown {
  const names = new Map([...origin.tokens].map(([token, id]) => [id, token]));
  const id = (old: unknown): unknown => {
    if (Array.isArray(old)) return old.map(id).filter((one) => one !== null);
    if (typeof old !== 'number') return old;
    const name = names.get(old);
    return name === undefined ? old : (tokens.get(name) ?? null);
  };
  const visit = (config: object): object =>
    Object.fromEntries(
      Object.entries(config).map(([key, held]) => {
        if (key === 'vocab_size') return [key, rows];
        if (/_token_(id|index)$/.test(key)) return [key, id(held)];
        return [key, /^(text_config|llm_config)$/.test(key) && held ? visit(held) : held];
      }),
    );
  return visit(value as object);
}
