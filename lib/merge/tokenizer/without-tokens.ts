import type { Config } from '../../checkpoint/checkpoint.js';
import { unigramGaps } from './explicit-ids.js';
import { type AddedToken, type TokenizerFile, tokenizerError } from './tokenizer-file.js';

/** A tokenizer without some of its tokens, and without the merges that make or take them. Throws ERR_TOKENIZER. */
export function withoutTokens(file: TokenizerFile, lost: ReadonlySet<string>): TokenizerFile {
  const { json, model } = file;
  const added = file.added.filter(({ content }) => !lost.has(content));
  const kept: Config = {
    ...model,
    vocab: Array.isArray(model.vocab)
      ? withoutPieces(file, model.vocab, lost)
      : withoutKeys((model.vocab ?? {}) as Config, lost),
    ...(Array.isArray(model.merges) && { merges: withoutMerges(model, lost) }),
  };
  const remaining = <T>(all: ReadonlyMap<string, T>) =>
    new Map([...all].filter(([token]) => !lost.has(token)));
  return {
    ...file,
    json: { ...json, added_tokens: added, model: kept },
    model: kept,
    vocabulary: remaining(file.vocabulary),
    added,
    tokens: remaining(file.tokens),
  };
}

/** Ids of Unigram models are places in the list, of which only the last can be left out. */
function withoutPieces(
  { file, vocabulary }: TokenizerFile,
  vocab: readonly [string, number][],
  lost: ReadonlySet<string>,
): [string, number][] {
  const kept = vocab.filter(([piece]) => !lost.has(piece));
  const moved = kept.find((entry, place) => entry !== vocab[place]);
  if (moved) throw unigramGaps(file, moved[0], vocabulary.get(moved[0])!);
  return kept;
}

function withoutMerges(model: Config, lost: ReadonlySet<string>): unknown[] {
  const prefix = (model.continuing_subword_prefix ?? '') as string;
  return (model.merges as (string | string[])[]).filter((merge) => {
    const [left, right] = (typeof merge === 'string' ? merge.split(' ') : merge) as [string, string];
    const joined = left + (right.startsWith(prefix) ? right.slice(prefix.length) : right);
    return ![left, right, joined].some((part) => lost.has(part));
  });
}

/** Refuses a tokenizer that puts a token into texts by itself of which there is no row. Throws ERR_TOKENIZER. */
export function checkUnused({ file, json, model }: TokenizerFile, lost: ReadonlySet<string>): void {
  const strings = (part: unknown): string[] => {
    if (typeof part === 'string') return [part];
    if (typeof part !== 'object' || part === null) return [];
    return [...Object.keys(part), ...Object.values(part).flatMap(strings)];
  };
  const token = strings([json.post_processor, model.unk_token]).find((one) => lost.has(one));
  if (token === undefined) return;
  throw tokenizerError(
    file,
    `it puts ${JSON.stringify(token)} into texts, of which no model has a row`,
    'Resize the embeddings to the tokenizer, or take the tokenizer that fits them.',
  );
}

/** A tokenizer_config.json or special_tokens_map.json that names none of these tokens: transformers would add them anew. */
export function withoutMentions(config: Config, lost: ReadonlySet<string>): Config {
  const named = (value: unknown): boolean => {
    const text = typeof value === 'string' ? value : (value as Partial<AddedToken> | null)?.content;
    return text !== undefined && lost.has(text);
  };
  const kept = Object.entries(config).flatMap(([key, value]): [string, unknown][] => {
    if (key.endsWith('_token') && named(value)) return [];
    if (key.endsWith('_tokens') && Array.isArray(value)) return [[key, value.filter((one) => !named(one))]];
    if (/^(added_tokens_decoder|extra_special_tokens)$/.test(key) && value)
      return [[key, Object.fromEntries(Object.entries(value).filter(([, one]) => !named(one)))]];
    return [[key, value]];
  });
  return Object.fromEntries(kept);
}

export function withoutKeys(all: Config, lost: ReadonlySet<string>): Config {
  return Object.fromEntries(Object.entries(all).filter(([key]) => !lost.has(key)));
}
