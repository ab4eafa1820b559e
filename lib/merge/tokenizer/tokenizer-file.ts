import { join } from 'node:path';
import { type Config, readConfig } from '../../checkpoint/checkpoint.js';
import { WisemergeError } from '../../errors.js';

/** An entry of `added_tokens`. */
export interface AddedToken extends Config {
  readonly id: number;
  readonly content: string;
}

/** A `tokenizer.json`, as far as vocabularies are concerned. */
export interface TokenizerFile {
  readonly directory: string;
  readonly file: string;
  readonly json: Config;
  /** Of the tokenizer's model: `BPE`, `Unigram`, `WordPiece` or `WordLevel`. */
  readonly type: string;
  readonly model: Config;
  /** Tokens of the model, without the added ones, to ids. */
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly added: readonly AddedToken[];
  /** All tokens to ids. */
  readonly tokens: ReadonlyMap<string, number>;
}

/** Of slow tokenizers, which know nothing of tokens that are added to `tokenizer.json`. */
export const slowTokenizerFiles: readonly string[] = [
  'vocab.json',
  'merges.txt',
  'vocab.txt',
  'tokenizer.model',
  'spiece.model',
  'sentencepiece.bpe.model',
];

/** All that belongs to a tokenizer in a model's directory. */
export const tokenizerFileNames: readonly string[] = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
  'chat_template.json',
  ...slowTokenizerFiles,
];

const types = ['BPE', 'Unigram', 'WordPiece', 'WordLevel'];

export function tokenizerError(file: string, message: string, hint: string): WisemergeError {
  return new WisemergeError('ERR_TOKENIZER', `${file}: ${message}`, { file, hint });
}

/** Reads a model directory's `tokenizer.json`, if there is one. Throws ERR_TOKENIZER, ERR_CONFIG, ERR_IO. */
export async function findTokenizerFile(directory: string): Promise<TokenizerFile | undefined> {
  const json = await readConfig(directory, 'tokenizer.json');
  return json && parseTokenizer(json, directory, join(directory, 'tokenizer.json'));
}

/** `path`: a model's; `why`: what keeps another tokenizer from taking its place. */
export function missingTokenizer(path: string, why = ''): WisemergeError {
  return tokenizerError(
    path,
    `it has no tokenizer.json${why}`,
    'Save a fast tokenizer: AutoTokenizer.from_pretrained(path, use_fast=True).save_pretrained(path).',
  );
}

/** Throws ERR_TOKENIZER, which names `file`. */
export function parseTokenizer(json: Config, directory: string, file: string): TokenizerFile {
  const fail = (message: string, hint = 'The file is damaged: get it again.'): never => {
    throw tokenizerError(file, message, hint);
  };
  const model = json.model as Config | undefined;
  if (typeof model !== 'object' || model === null) return fail('it has no model');
  // Older files leave out the type.
  const type = (model.type ??
    (Array.isArray(model.vocab) ? 'Unigram' : 'merges' in model ? 'BPE' : undefined)) as string;
  if (!types.includes(type)) {
    return fail(
      `the model's type is ${JSON.stringify(type)}; known are ${types.join(', ')}`,
      'Merge with tokenizer source base.',
    );
  }
  const vocabulary = new Map<string, number>();
  const entries = type === 'Unigram' ? listedTokens(model.vocab) : mappedTokens(model.vocab);
  if (!entries) return fail('its vocabulary is missing or not what its type has');
  for (const [token, id] of entries) vocabulary.set(token, checkId(token, id, fail));
  if (!areMerges(model.merges ?? [])) return fail('its merges are no list of pairs');
  const added = (json.added_tokens ?? []) as AddedToken[];
  if (!Array.isArray(added) || !added.every(isObject)) return fail('added_tokens is not a list of tokens');
  const tokens = new Map(vocabulary);
  for (const { content, id } of added) tokens.set(content, checkId(content, id, fail));
  const owners = new Map<number, string>();
  for (const [token, id] of tokens) {
    const other = owners.get(id);
    if (other !== undefined)
      fail(`tokens ${JSON.stringify(other)} and ${JSON.stringify(token)} have the id ${id}`);
    owners.set(id, token);
  }
  return { directory, file, json, type, model, vocabulary, added, tokens };
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Of Unigram: pieces with their scores, in order of id. */
function listedTokens(vocab: unknown): [string, unknown][] | undefined {
  if (!Array.isArray(vocab)) return undefined;
  const scored = vocab.every((entry) => Array.isArray(entry) && typeof entry[1] === 'number');
  return scored ? vocab.map(([piece], id) => [piece, id]) : undefined;
}

/** Of other types: ids by token. */
function mappedTokens(vocab: unknown): [string, unknown][] | undefined {
  return isObject(vocab) ? Object.entries(vocab) : undefined;
}

/** Pairs, as files have them: `"a b"` or `["a", "b"]`. */
function areMerges(merges: unknown): boolean {
  const isPair = (merge: unknown): boolean =>
    typeof merge === 'string'
      ? merge.includes(' ')
      : Array.isArray(merge) && merge.length === 2 && merge.every((part) => typeof part === 'string');
  return Array.isArray(merges) && merges.every(isPair);
}

/** Ids above are not those of any vocabulary; they would be sizes of tables here. */
const maxId = 2 ** 24;

function checkId(token: unknown, id: unknown, fail: (message: string) => never): number {
  if (typeof token === 'string' && Number.isInteger(id) && (id as number) >= 0 && (id as number) < maxId)
    return id as number;
  return fail(`token ${JSON.stringify(token)} has the id ${JSON.stringify(id)}`);
}
