import type { Config } from '../checkpoint/checkpoint.js';

const embeddingNames = [
  'model.embed_tokens.weight',
  'embed_tokens.weight',
  'model.decoder.embed_tokens.weight',
  'model.language_model.embed_tokens.weight',
  'language_model.model.embed_tokens.weight',
  'transformer.wte.weight',
  'wte.weight',
  'gpt_neox.embed_in.weight',
  'shared.weight',
];

/**
 * The input embedding that stands in for an output head that `model` does not store because it ties them.
 */
export function tiedSource<T extends { readonly shape: readonly number[] }>(
  tensor: { readonly name: string; readonly shape: readonly number[] },
  model: { readonly tensors: ReadonlyMap<string, T>; readonly config: Config | undefined },
): T | undefined {
  if (!/(^|\.)(lm_head|embed_out|output)\.weight$/.test(tensor.name)) return undefined;
  if (textConfig(model.config)?.tie_word_embeddings === false) return undefined;
  for (const name of embeddingNames) {
    const embedding = model.tensors.get(name);
    if (
      embedding?.shape.length === tensor.shape.length &&
      embedding.shape.every((dim, i) => dim === tensor.shape[i])
    ) {
      return embedding;
    }
  }
  return undefined;
}

function textConfig(config: Config | undefined): Config | undefined {
  if (config === undefined || 'tie_word_embeddings' in config) return config;
  const nested = config.text_config;
  return typeof nested === 'object' && nested !== null ? (nested as Config) : config;
}

/** Tensors with one row per token of the vocabulary. */
export function isVocabularyTensor(name: string): boolean {
  return (
    embeddingNames.includes(name) ||
    /(^|\.)(lm_head|embed_out|embed_tokens|embed_in|wte|word_embeddings|tok_embeddings)\.(weight|bias)$/.test(
      name,
    )
  );
}
