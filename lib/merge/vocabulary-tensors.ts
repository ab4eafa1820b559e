import { splitLayer } from './config/layer-names.js';

/** Parts of names under which models keep one row per token, wherever they stand. */
const tables =
  /(^|\.)(lm_head|lm_head\.decoder|lm_head\.out_proj|embed_out|embed_tokens|embed_in|wte|word_embeddings|tok_embeddings|token_embedding|shared_head\.head|vocab_projector|cls\.predictions|cls\.predictions\.decoder)\.(weight|bias)$/;
/** BART's and T5's embedding, under any prefix. In a layer, `shared` is an expert. */
const shared = /(^|\.)shared\.weight$/;
/** `output` is also the last matrix of many a module: a head is directly below the model. */
const heads =
  /^((base_model|model|module|transformer|language_model|llm|text_model|decoder)\.)*(output|output_layer)\.(weight|bias)$/;
/** Heads under names of their own: RoBERTa's, T5Gemma's, BERT's, DistilBERT's and Whisper's among them. */
const matrices =
  /(^|\.)(lm_head|lm_head\.decoder|lm_head\.out_proj|embed_out|cls\.predictions\.decoder|vocab_projector)\.weight$|^proj_out\.weight$/;
/** A bias of logits with a leading axis for batches. */
const batched = /(^|\.)final_logits_bias$/;

/** The axis of a tensor along which there is one entry per token of the vocabulary; undefined where there is none. */
export function vocabularyAxis(name: string, shape: readonly number[]): number | undefined {
  if (batched.test(name)) {
    // Entries along the last axis lie as rows do where all others are 1.
    return shape.length > 0 && shape.slice(0, -1).every((dim) => dim === 1) ? shape.length - 1 : undefined;
  }
  if (tables.test(name)) return 0;
  return (shared.test(name) || heads.test(name)) && splitLayer(name) === undefined ? 0 : undefined;
}

export function isVocabularyTensor(name: string, shape: readonly number[]): boolean {
  return vocabularyAxis(name, shape) !== undefined;
}

/** The matrix that turns hidden states into logits, which may be tied to the input embedding. */
export function isOutputHead(name: string): boolean {
  return matrices.test(name) || (heads.test(name) && name.endsWith('.weight'));
}
