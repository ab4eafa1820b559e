import type { Config } from '../checkpoint/checkpoint.js';

/** What transformers' configuration class of a dense model takes for keys that are absent, where that of its mixture takes others. */
const sources: Readonly<Record<string, Config>> = {
  llama: { max_position_embeddings: 2048, rms_norm_eps: 1e-6, rope_theta: 10_000 },
  mistral: { num_key_value_heads: 8, rms_norm_eps: 1e-6, rope_theta: 10_000, sliding_window: 4096 },
  qwen2: { hidden_size: 4096, num_attention_heads: 32, num_key_value_heads: 32 },
  qwen3: { head_dim: 128, hidden_size: 4096, num_key_value_heads: 32 },
};

/** Heads of all four where config.json does not say. */
const heads = 32;

/**
 * What a base's config.json leaves to the defaults of its `model_type`, as entries of its mixture's: the same tensors would
 * mean something else under the mixture's own defaults.
 */
export function sourceDefaults(base: Config): Config {
  const defaults = sources[String(base.model_type)] ?? {};
  const absent = Object.entries(defaults).filter(([key]) => base[key] === undefined);
  const written = Object.fromEntries(absent.filter(([key]) => key !== 'rope_theta' || !statesTheta(base)));
  // Without a number, or with null for one, as many as there are heads; mixtures do not all read null so.
  if (base.num_key_value_heads === null || !('num_key_value_heads' in { ...defaults, ...base })) {
    written.num_key_value_heads = base.num_attention_heads ?? heads;
  }
  return written;
}

/** Newer files have it beside the other numbers of the rotary embedding. */
function statesTheta({ rope_parameters: parameters }: Config): boolean {
  return typeof parameters === 'object' && parameters !== null && 'rope_theta' in parameters;
}
