import type { Config } from '../checkpoint/checkpoint.js';
import { isOutputHead } from './vocabulary-tensors.js';

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
  if (textConfig(model.config)?.tie_word_embeddings === false) return undefined;
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

/** Where a configuration says whether the head is tied to the embedding, by dotted path, and what it says. */
export function statedTie(config: Config | undefined): { path: string; tied: boolean } | undefined {
  const key = 'tie_word_embeddings';
  const value = textConfig(config)?.[key];
  if (typeof value !== 'boolean') return undefined;
  return { path: config && key in config ? key : `text_config.${key}`, tied: value };
}

function textConfig(config: Config | undefined): Config | undefined {
  if (config === undefined || 'tie_word_embeddings' in config) return config;
  const nested = config.text_config;
  return typeof nested === 'object' && nested !== null ? (nested as Config) : config;
}
