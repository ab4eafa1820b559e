import type { Config } from '../checkpoint/checkpoint.js';
import { partOf } from './config/layer-counts.js';
import { isOutputHead } from './vocabulary-tensors.js';

export const tieKey = 'tie_word_embeddings';

const embeddingNames = [
  'model.embed_tokens.weight',
  'embed_tokens.weight',
  'model.decoder.embed_tokens.weight',
  'model.language_model.embed_tokens.weight',
  'language_model.model.embed_tokens.weight',
  'transformer.wte.weight',
  'wte.weight',
  'gpt_neox.embed_in.weight',
  'model.tok_embeddings.weight',
  'tok_embeddings.weight',
  'language_model.model.tok_embeddings.weight',
  'transformer.embedding.word_embeddings.weight',
  'shared.weight',
  'model.shared.weight',
];

/**
 * The input embedding that stands in for an output head that `model` does not store because it ties them. `anyRows`:
 * the two may have vocabularies of different sizes.
 */
export function tiedSource<T extends { readonly shape: readonly number[] }>(
  tensor: { readonly name: string; readonly shape: readonly number[] },
  model: { readonly tensors: ReadonlyMap<string, T>; readonly config: Config | undefined },
  { anyRows = false } = {},
): T | undefined {
  if (!isOutputHead(tensor.name)) return undefined;
  if (statedTie(model.config)?.tied === false) return undefined;
  for (const name of embeddingNames) {
    const embedding = model.tensors.get(name);
    if (
      embedding?.shape.length === tensor.shape.length &&
      embedding.shape.every((dim, i) => dim === tensor.shape[i] || (anyRows && i === 0))
    ) {
      return embedding;
    }
  }
  return undefined;
}

/** An embedding to which models tie their output head. */
export function isTiedEmbedding(name: string): boolean {
  return embeddingNames.includes(name);
}

/** A statement of whether the head is tied to the embedding, by dotted path. */
export interface StatedTie {
  readonly path: string;
  readonly tied: boolean;
}

/** Parts of a configuration that may say so. Where several do, readers differ in which they follow. */
const parts = ['', 'text_config.', 'llm_config.', 'language_config.', 'thinker_config.text_config.'];

/** Everywhere that a configuration says whether the head is tied; the first is followed here. */
export function statedTies(config: Config | undefined): StatedTie[] {
  return parts.flatMap((part) => {
    const tied = partOf(config, part)?.[tieKey];
    return typeof tied === 'boolean' ? [{ path: part + tieKey, tied }] : [];
  });
}

export function statedTie(config: Config | undefined): StatedTie | undefined {
  return statedTies(config)[0];
}
