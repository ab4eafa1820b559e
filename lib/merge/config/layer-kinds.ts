import type { Config } from '../../checkpoint/checkpoint.js';

/** Layers of the output by the index that each had in its own model. */
export type Origins = readonly number[];

/** Periods by which a configuration tells layers apart, and an own list of kinds that goes before them where it is given. */
const periods: readonly { key: string; list?: string }[] = [
  { key: 'sliding_window_pattern', list: 'layer_types' },
  { key: '_sliding_window_pattern', list: 'layer_types' },
  { key: 'full_attention_interval', list: 'layer_types' },
  { key: 'interleave_moe_layer_step', list: 'moe_layers' },
  { key: 'no_rope_layer_interval', list: 'no_rope_layers' },
  { key: 'decoder_sparse_step' },
  { key: 'global_attn_every_n_layers' },
  { key: 'attn_layer_period' },
  { key: 'expert_layer_period' },
  { key: 'moe_layer_freq' },
];

/** What `layer_types` says of every layer but each last of a period. */
const betweenFull: Readonly<Record<string, string>> = {
  sliding_window_pattern: 'sliding_attention',
  _sliding_window_pattern: 'sliding_attention',
  full_attention_interval: 'linear_attention',
};

/**
 * Changes to one part of config.json by which layers keep their kind where it follows from their place: experts from a
 * layer on, one letter per layer, every n-th layer with full attention. By key. What cannot be said so is a warning.
 */
export function layerKindChanges(
  config: Config,
  origins: Origins,
  warnings: string[],
): Record<string, unknown> {
  const changes: Record<string, unknown> = {};
  const doubt = (key: string, value: unknown): void => {
    const at = origins.findIndex((layer, i) => layer !== i);
    warnings.push(
      `config.json has ${key} ${JSON.stringify(value)}, which tells layers apart by their place: layer ${at} of the output was layer ${origins[at]}, and may be taken for one of another kind`,
    );
  };
  const dense = config.first_k_dense_replace;
  if (typeof dense === 'number') {
    const first = origins.findIndex((layer) => layer >= dense);
    const leading = first === -1 ? origins.length : first;
    if (leading !== dense) changes.first_k_dense_replace = leading;
    if (origins.slice(leading).some((layer) => layer < dense)) doubt('first_k_dense_replace', dense);
  }
  for (const { key, list } of periods) {
    const given = config[key];
    // EXAONE writes a letter for each layer of a period: `LLLG`.
    const period = typeof given === 'string' && /^L+G$/.test(given) ? given.length : given;
    if (typeof period !== 'number' || period < 2 || (list && Array.isArray(config[list]))) continue;
    if (origins.every((layer, i) => layer % period === i % period)) continue;
    const between = betweenFull[key];
    if (between)
      changes.layer_types = origins.map((layer) => ((layer + 1) % period ? between : 'full_attention'));
    else doubt(key, period);
  }
  const windows = config.use_sliding_window === true ? config.max_window_layers : undefined;
  if (typeof windows === 'number' && !Array.isArray(config.layer_types)) {
    if (origins.some((layer, i) => layer >= windows !== i >= windows)) doubt('max_window_layers', windows);
  }
  // Gemma 2 alternates, and its older configurations leave it at that.
  if (/^gemma2/.test(String(config.model_type)) && !Array.isArray(config.layer_types)) {
    if (origins.some((layer, i) => layer % 2 !== i % 2)) {
      changes.layer_types = origins.map((layer) => (layer % 2 ? 'full_attention' : 'sliding_attention'));
    }
  }
  const kinds = attentionTypes(config.attention_types);
  if (kinds && origins.every((layer) => layer < kinds.length)) {
    const moved = origins.map((layer) => kinds[layer]!);
    if (moved.join() !== kinds.join()) changes.attention_types = [[moved, 1]];
  }
  return changes;
}

/** One kind per layer of GPT-Neo's patterns, each with how often it comes: `[[["global", "local"], 6]]`. */
function attentionTypes(patterns: unknown): string[] | undefined {
  if (!Array.isArray(patterns)) return undefined;
  const kinds = patterns.map((entry) => {
    const [pattern, times] = Array.isArray(entry) ? entry : [];
    const fits = Array.isArray(pattern) && Number.isInteger(times) && times >= 0 && times < 1000;
    return fits ? Array.from({ length: times }, () => pattern).flat() : undefined;
  });
  return kinds.every((list) => list !== undefined) ? kinds.flat() : undefined;
}

/** A backbone's names of its stages, one for what comes before the layers and one for each. */
export function stageChanges(config: Config, layers: number, count: number): Record<string, unknown> {
  const { stage_names: names, out_features: features, out_indices: indices } = config;
  if (!Array.isArray(names) || names.length !== layers + 1 || layers === count) return {};
  const only = (list: unknown, last: unknown) => Array.isArray(list) && list.length === 1 && list[0] === last;
  return {
    stage_names: [names[0], ...Array.from({ length: count }, (_, i) => `stage${i + 1}`)],
    ...(only(features, names.at(-1)) && { out_features: [`stage${count}`] }),
    ...(only(indices, layers) && { out_indices: [count] }),
  };
}
