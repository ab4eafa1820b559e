import { statedTie, statedTies, tieKey } from '../tied.js';
import { isOutputHead } from '../vocabulary-tensors.js';
import { partOf, stackLayerCounts, stackParts, unstatedDecoder } from './layer-counts.js';
import { countLayers } from './layer-names.js';
import type { ModelHeaders } from './output-tensors.js';
import type { Problems } from './problems.js';
import type { ResolvedTensor } from './resolved.js';

/** Lists whose numbers are layer indices, unlike those with one entry per layer. */
const indexLists = ['mlp_only_layers', 'attn_layer_indices', 'full_attn_idxs', 'cross_attention_layers'];

/** A layer of the output and the model and layer that it comes from. */
export interface LayerOrigin {
  readonly model: ModelHeaders;
  readonly layer: number;
}

/**
 * What config.json must say about layers that were cut, repeated or put together: their number, lists with one
 * entry per layer, and lists of layer indices. By dotted path.
 */
export function configChanges(
  donor: ModelHeaders,
  { stack, count: layers }: { readonly stack: string; readonly count: number },
  origins: readonly LayerOrigin[],
  warnings: string[],
): Record<string, unknown> {
  const changes: Record<string, unknown> = {};
  const all = countLayers(donor.tensors.keys());
  const stacks = [...all.keys()];
  const stated = stackLayerCounts(donor.config, stack, stacks);
  const counts = stated.filter(({ value }) => value === layers);
  for (const { path, value } of counts) {
    if (value !== origins.length) changes[path] = origins.length;
  }
  const decoder = origins.length === layers ? {} : unstatedDecoder(donor.config, stack, origins.length, all);
  Object.assign(changes, decoder);
  const followed = counts.length > 0 || Object.keys(decoder).length > 0;
  if (!followed && donor.config && origins.length !== layers) {
    warnings.push(
      `config.json of ${donor.path} states no number of layers for ${stack}, or another one; the output has ${origins.length}`,
    );
  }
  for (const prefix of stackParts(donor.config, stack, stacks)) {
    for (const [key, list] of Object.entries(partOf(donor.config, prefix) ?? {})) {
      if (!Array.isArray(list)) continue;
      const path = prefix + key;
      if (indexLists.includes(key)) {
        changes[path] = origins.flatMap(({ model, layer }, index) => {
          const own = partOf(model.config, prefix)?.[key];
          return (Array.isArray(own) ? own : list).includes(layer) ? [index] : [];
        });
      } else if (list.length === layers && layers > 1) {
        changes[path] = origins.map(({ model, layer }) => {
          const own = partOf(model.config, prefix)?.[key];
          return Array.isArray(own) && layer < own.length ? own[layer] : list[layer];
        });
      } else continue;
      if (JSON.stringify(changes[path]) === JSON.stringify(list)) delete changes[path];
    }
  }
  return changes;
}

/**
 * A donor that ties its output head to its embedding must no longer say so where the output has a head of its own:
 * readers would pass over it. Some kinds of models tie theirs unless the configuration denies it.
 */
export function untiedHead(
  tensors: readonly ResolvedTensor[],
  models: readonly ModelHeaders[],
  donor: number,
  problems: Problems,
): Record<string, unknown> {
  const { tensors: own, config } = models[donor]!;
  const stated = statedTie(config);
  const head = tensors.find(({ name }) => isOutputHead(name));
  if (!head || !config || stated?.tied === false) return {};
  const untied = [...head.inputs, ...(head.base ? [head.base] : [])].some(
    ({ model, tensor }) => tensor === head.name && statedTie(models[model]!.config)?.tied === false,
  );
  // A donor that stores a copy of its embedding beside it stays tied among its like.
  if (own.has(head.name) && !(stated && untied)) return {};
  const paths = stated ? statedTies(config).flatMap(({ path, tied }) => (tied ? [path] : [])) : [tieKey];
  problems.warnings.push(
    `${problems.file}: the output has ${head.name} of its own: ${paths.join(' and ')} becomes false in config.json`,
  );
  return Object.fromEntries(paths.map((path) => [path, false]));
}
