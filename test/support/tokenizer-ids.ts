// Which ids the library `tokenizers`, and transformers with it, gives to the tokens of a tokenizer.json.
import { expect } from 'vitest';

interface TokenizerJson {
  readonly added_tokens?: readonly { readonly content: string; readonly id: number }[];
  readonly model: {
    readonly type?: string;
    readonly vocab: Readonly<Record<string, number>> | readonly (readonly [string, number])[];
  };
}

/**
 * Ids after loading. Those that `added_tokens` states are not read: an added token has the id of the model's vocabulary if
 * it is in there, else the size of that vocabulary and the number of added tokens before it that are not in there. From
 * AddedVocabulary::add_tokens of tokenizers; some versions (0.14 to 0.22) went on from the largest id of an added token instead
 * (`fromLargest`), which differs where vocabularies have gaps.
 */
export function loadedIds(
  { added_tokens = [], model }: TokenizerJson,
  fromLargest = false,
): Map<string, number> {
  const ids = new Map<string, number>(
    Array.isArray(model.vocab)
      ? model.vocab.map(([piece], id) => [piece, id] as const)
      : Object.entries(model.vocab as Readonly<Record<string, number>>),
  );
  let next = Array.isArray(model.vocab) ? model.vocab.length : ids.size;
  for (const { content } of added_tokens) {
    const known = ids.get(content);
    const id = known ?? next++;
    if (fromLargest) next = Math.max(next, id + 1);
    ids.set(content, id);
  }
  return ids;
}

/** Checks that a tokenizer.json has every token at the id that it states, or that `expected` has, and none twice. */
export function expectLoadedIds(json: TokenizerJson, expected?: ReadonlyMap<string, number>): void {
  for (const ids of [loadedIds(json), loadedIds(json, true)]) {
    expect(new Set(ids.values()).size, 'ids are of one token each').toBe(ids.size);
    for (const { content, id } of json.added_tokens ?? []) {
      expect([content, ids.get(content)]).toEqual([content, id]);
    }
    if (expected) expect(Object.fromEntries(ids)).toEqual(Object.fromEntries(expected));
  }
}
