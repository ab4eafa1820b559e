import type { Config } from '../checkpoint/checkpoint.js';
import { sameShape } from '../checkpoint/tensor.js';
import { partOf } from './config/layer-counts.js';
import { splitLayer } from './config/layer-names.js';
import { isOutputHead } from './vocabulary-tensors.js';

export const tieKey = 'tie_word_embeddings';

/** Names of input embeddings, outside layers. */
const embeddings =
  /(^|\.)(embed_tokens|wte|word_embeddings|tok_embeddings|token_embedding|embed_in|embeddings?|shared)\.weight$/;
/** T5's and BART's second and third name of `shared.weight`. */
const copies = /(^|\.)(en|de)coder\.embed_tokens\.weight$/;

interface Stored {
  readonly name: string;
  readonly shape: readonly number[];
}

interface Tying<T> {
  readonly tensors: ReadonlyMap<string, T>;
  readonly config: Config | undefined;
}

/**
 * The input embedding that stands in for a tensor that `model` does not store because it ties the two: an output head, or
 * the embedding of an encoder and a decoder that share it. `anyRows`: they may have vocabularies of different sizes.
 */
export function tiedSource<T extends Stored>(
  tensor: Stored,
  model: Tying<T>,
  { anyRows = false } = {},
): T | undefined {
  const fits = ({ shape }: T): boolean => sameShape(shape, tensor.shape, anyRows ? 0 : undefined);
  if (copies.test(tensor.name)) {
    const shared = model.tensors.get(tensor.name.replace(copies, '$1shared.weight'));
    return shared && fits(shared) ? shared : undefined;
  }
  if (!isOutputHead(tensor.name) || statedTie(model.config)?.tied === false) return undefined;
  let best: { embedding: T; rank: number } | undefined;
  for (const embedding of model.tensors.values()) {
    if (!isTiedEmbedding(embedding.name) || !fits(embedding)) continue;
    // Of a model in several, its own; an encoder has none for the head.
    const rank = 2 * commonParts(embedding.name, tensor.name) - (/encoder\./.test(embedding.name) ? 1 : 0);
    if (!best || rank > best.rank) best = { embedding, rank };
  }
  return best?.embedding;
}

/** The embedding whose bytes a tensor of `model` always has: both are stored, and the model ties them. */
export function storedTwice<T extends Stored>(tensor: Stored, model: Tying<T>): T | undefined {
  if (!model.tensors.has(tensor.name)) return undefined;
  if (!copies.test(tensor.name) && statedTie(model.config)?.tied !== true) return undefined;
  return tiedSource(tensor, model);
}

/** An embedding to which models tie their output head. */
export function isTiedEmbedding(name: string): boolean {
  return embeddings.test(name) && !splitLayer(name);
}

function commonParts(a: string, b: string): number {
  const other = b.split('.');
  const differs = a.split('.').findIndex((part, i) => part !== other[i]);
  return differs === -1 ? other.length : differs;
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
