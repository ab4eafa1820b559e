import type { Config } from '../../checkpoint/checkpoint.js';
import { type AddedToken, tokenizerError } from './tokenizer-file.js';

/**
 * Added tokens to which the library `tokenizers` gives other ids than `json` states. It reads only those of the model's
 * vocabulary: added tokens that are not in there are numbered on from its size, in the order of the list.
 */
export function renumberedTokens(json: Config): AddedToken[] {
  const { ids, size } = modelIds(json.model as Config);
  let largest = -1;
  for (const id of ids.values()) largest = Math.max(largest, id);
  // Versions differ in how they go on from a vocabulary with gaps.
  const dense = largest < size;
  let next = size;
  return addedTokens(json).filter(({ content, id }) => {
    const own = ids.get(content);
    return own === undefined ? next++ !== id || !dense : own !== id;
  });
}

/**
 * A tokenizer.json all of whose tokens have the ids that it states, whoever reads it: where numbering on would give others,
 * as behind a vocabulary that has grown, added tokens are also put into the model's vocabulary. `file`: the donor's.
 * Throws ERR_TOKENIZER for Unigram models with gaps, whose ids are places in a list.
 */
export function withExplicitIds(json: Config, file: string): Config {
  const model = json.model as Config;
  const added = addedTokens(json).sort((one, two) => one.id - two.id);
  const sorted = { ...json, added_tokens: added };
  const [renumbered] = renumberedTokens(sorted);
  if (!renumbered) return sorted;
  if (Array.isArray(model.vocab)) throw unigramGaps(file, renumbered.content, renumbered.id);
  const vocab = Object.fromEntries([
    ...Object.entries(model.vocab as object),
    ...added.map(({ content, id }) => [content, id]),
  ]);
  return { ...sorted, model: { ...model, vocab } };
}

export function unigramGaps(file: string, token: string, id: number): Error {
  return tokenizerError(
    file,
    `its ids leave gaps below ${id} (${JSON.stringify(token)})`,
    'Take one tokenizer for all: tokenizer source base.',
  );
}

function addedTokens({ added_tokens }: Config): AddedToken[] {
  return [...((added_tokens ?? []) as AddedToken[])];
}

/** A piece that a list has twice counts twice. */
function modelIds({ vocab }: Config): { ids: Map<string, number>; size: number } {
  const entries: [string, number][] = Array.isArray(vocab)
    ? (vocab as [string, number][]).map(([piece], id) => [piece, id])
    : Object.entries((vocab ?? {}) as Record<string, number>);
  return { ids: new Map(entries), size: entries.length };
}
