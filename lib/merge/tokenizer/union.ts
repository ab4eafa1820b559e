import { unigramGaps } from './explicit-ids.js';
import type { ExtendedTokenizer } from './extend.js';
import { type AddedToken, type TokenizerFile, tokenizerError } from './tokenizer-file.js';

/** A tokenizer for the tokens of several models. */
export interface Union extends ExtendedTokenizer {
  readonly warnings: readonly string[];
}

/**
 * The union of vocabularies: the tokens of `donor` keep their ids; those that only others have follow in the order of
 * the models and, within one, of their ids. Merges (BPE) follow in the same order; scores (Unigram) are those of the
 * first model that has the piece. Everything else of the tokenizer is the donor's.
 *
 * Throws ERR_TOKENIZER where the kinds of tokenizer differ.
 */
export function uniteTokenizers(donor: TokenizerFile, models: readonly TokenizerFile[]): Union {
  const tokens = new Map(donor.tokens);
  const newAdded: AddedToken[] = [];
  const warnings: string[] = [];
  let next = 0;
  for (const id of tokens.values()) next = Math.max(next, id + 1);
  for (const other of models) {
    if (other === donor) continue;
    checkKind(donor, other);
    warnings.push(...differences(donor, other));
    const added = new Map(other.added.map((one) => [one.content, one]));
    for (const [token] of [...other.tokens].sort(([, one], [, two]) => one - two)) {
      if (tokens.has(token)) continue;
      const id = next++;
      tokens.set(token, id);
      const entry = added.get(token);
      if (entry) newAdded.push({ ...entry, id });
    }
  }
  const model: Record<string, unknown> = { ...donor.model };
  if (donor.type === 'Unigram') model.vocab = uniteScores(donor, tokens, models);
  else model.vocab = unitePieces(donor, tokens, models);
  if (donor.type === 'BPE') model.merges = uniteMerges(donor, models);
  const json = { ...donor.json, added_tokens: [...donor.added, ...newAdded], model };
  return { json, tokens, newAdded, warnings };
}

/** What is an added token in the donor only may be part of another's merges, which are of pieces of the model. */
function unitePieces(
  donor: TokenizerFile,
  tokens: ReadonlyMap<string, number>,
  models: readonly TokenizerFile[],
): Record<string, number> {
  const pieces = new Set(donor.vocabulary.keys());
  for (const { vocabulary } of models) for (const piece of vocabulary.keys()) pieces.add(piece);
  return Object.fromEntries([...pieces].map((piece) => [piece, tokens.get(piece)!]));
}

function checkKind(donor: TokenizerFile, other: TokenizerFile): void {
  const prefix = (file: TokenizerFile) => file.model.continuing_subword_prefix ?? null;
  if (donor.type === other.type && prefix(donor) === prefix(other)) return;
  const kind = (file: TokenizerFile) =>
    `${file.type}${prefix(file) === null ? '' : ` with prefix ${JSON.stringify(prefix(file))}`}`;
  throw tokenizerError(
    other.file,
    `it is ${kind(other)}; ${donor.file} is ${kind(donor)}: their vocabularies have no union`,
    'Take one tokenizer for all: tokenizer source base, or a model.',
  );
}

function differences(donor: TokenizerFile, other: TokenizerFile): string[] {
  const parts = ['normalizer', 'pre_tokenizer', 'decoder'];
  const differing = parts.filter(
    (part) => JSON.stringify(donor.json[part] ?? null) !== JSON.stringify(other.json[part] ?? null),
  );
  if (differing.length === 0) return [];
  return [
    `${other.file} has another ${differing.join(', ')} than ${donor.file}, which is used: its tokens may never come up`,
  ];
}

/** Pairs, as files have them: `"a b"` or `["a", "b"]`. */
function uniteMerges(donor: TokenizerFile, models: readonly TokenizerFile[]): unknown[] {
  const pairs = (file: TokenizerFile) =>
    ((file.model.merges ?? []) as (string | string[])[]).map((merge) =>
      typeof merge === 'string' ? merge.split(' ') : merge,
    );
  const seen = new Set<string>();
  const united: string[][] = [];
  for (const file of [donor, ...models.filter((model) => model !== donor)]) {
    for (const pair of pairs(file)) {
      const key = JSON.stringify(pair);
      if (seen.has(key)) continue;
      seen.add(key);
      united.push(pair);
    }
  }
  const first = (donor.model.merges as unknown[] | undefined)?.[0];
  const joined =
    (first === undefined || typeof first === 'string') &&
    united.every((pair) => pair.every((part) => !part.includes(' ')));
  return joined ? united.map((pair) => pair.join(' ')) : united;
}

/** Ids of a Unigram model are positions, so that added tokens take a place in the list too, as T5's do. */
function uniteScores(
  donor: TokenizerFile,
  tokens: ReadonlyMap<string, number>,
  models: readonly TokenizerFile[],
): [string, number][] {
  const list: [string, number][] = new Array(tokens.size);
  for (const [token, id] of tokens) {
    if (id >= tokens.size) throw unigramGaps(donor.file, token, id);
    list[id] = [token, 0];
  }
  for (const file of [...models.filter((model) => model !== donor).reverse(), donor]) {
    for (const [piece, score] of file.model.vocab as [string, number][])
      list[tokens.get(piece)!] = [piece, score];
  }
  return list;
}
