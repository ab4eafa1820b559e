import type { Config } from '../../checkpoint/checkpoint.js';
import { statedTie, statedTies, tieKey } from '../tied.js';
import { isOutputHead } from '../vocabulary-tensors.js';
import { partOf, stackLayerCounts, stackParts, unstatedDecoder } from './layer-counts.js';
import { layerKindChanges, stageChanges } from './layer-kinds.js';
import { countLayers } from './layer-names.js';
import type { ModelHeaders } from './output-tensors.js';
import type { Problems } from './problems.js';
import type { ResolvedTensor } from './resolved.js';

/** Lists whose numbers are layer indices, unlike those with one entry per layer. */
const indexLists = [
  'mlp_only_layers',
  'moe_layers',
  'attn_layer_indices',
  'full_attn_idxs',
  'cross_attention_layers',
  'fullatt_block_indexes',
  'deepstack_visual_indexes',
  'hybrid_layer_ids',
];
/** Lists of tokens may be as long as there are layers: a distilled Whisper has two of both. */
const tokens = /token|_ids?$/;
/** Strings with one letter per layer. */
const letters = ['hybrid_override_pattern'];

/** A layer of the output and the model and layer that it comes from. */
export interface LayerOrigin {
  readonly model: ModelHeaders;
  readonly layer: number;
}

/**
 * What config.json must say about layers that were cut, repeated or put together: their number, lists with one
 * entry per layer, lists of layer indices, and what it says of layers by their place. By dotted path.
 */
export function configChanges(
  donor: ModelHeaders,
  { stack, count: layers }: { readonly stack: string; readonly count: number },
  all: readonly LayerOrigin[],
  warnings: string[],
): Record<string, unknown> {
  const changes: Record<string, unknown> = {};
  const counts = countLayers(donor.tensors.keys());
  const stacks = [...counts.keys()];
  const parts = stackParts(donor.config, stack, stacks);
  const { further, origins } = furtherTokens(donor.config, parts, layers, all, warnings);
  const own = layers - further.stored;
  Object.assign(changes, further.changes);
  const stated = stackLayerCounts(donor.config, stack, stacks).filter(({ value }) => value === own);
  for (const { path, value } of stated) {
    if (value !== origins.length) changes[path] = origins.length;
  }
  const decoder = origins.length === own ? {} : unstatedDecoder(donor.config, stack, origins.length, counts);
  Object.assign(changes, decoder);
  const followed = stated.length > 0 || Object.keys(decoder).length > 0;
  if (!followed && donor.config && origins.length !== own) {
    warnings.push(
      `config.json of ${donor.path} states no number of layers for ${stack}, or another one; the output has ${origins.length}`,
    );
  }
  for (const prefix of parts) {
    const config = partOf(donor.config, prefix)!;
    const listed = listChanges(config, prefix, own, origins, warnings);
    const indices = origins.map(({ layer }) => layer);
    const kinds = {
      ...layerKindChanges(config, indices, warnings),
      ...stageChanges(config, own, origins.length),
    };
    for (const [key, value] of Object.entries({ ...listed, ...kinds })) changes[prefix + key] = value;
  }
  return changes;
}

/** Lists and strings of one part of the configuration, by key. */
function listChanges(
  config: Config,
  prefix: string,
  layers: number,
  origins: readonly LayerOrigin[],
  warnings: string[],
): Record<string, unknown> {
  const changes: Record<string, unknown> = {};
  for (const [key, list] of Object.entries(config)) {
    const of = (model: ModelHeaders): unknown => partOf(model.config, prefix)?.[key];
    let changed: unknown;
    if (Array.isArray(list) && indexLists.includes(key)) {
      changed = origins.flatMap(({ model, layer }, index) => {
        const own = of(model);
        return (Array.isArray(own) ? own : list).includes(layer) ? [index] : [];
      });
    } else if (Array.isArray(list) && list.length === layers && layers > 1 && !tokens.test(key)) {
      changed = origins.map(({ model, layer }) => {
        const own = of(model);
        return Array.isArray(own) && layer < own.length ? own[layer] : list[Math.min(layer, layers - 1)];
      });
      warnUnlisted(key, list, origins, of, warnings);
    } else if (typeof list === 'string' && letters.includes(key) && list.length === layers) {
      changed = origins.map(({ model, layer }) => String(of(model) ?? list)[layer] ?? list[layer]).join('');
    } else continue;
    if (JSON.stringify(changed) !== JSON.stringify(list)) changes[key] = changed;
  }
  return changes;
}

/** Warns of a layer beyond the donor's whose own configuration has no such list: it gets the donor's last entry. */
function warnUnlisted(
  key: string,
  list: readonly unknown[],
  origins: readonly LayerOrigin[],
  of: (model: ModelHeaders) => unknown,
  warnings: string[],
): void {
  const last = JSON.stringify(list.at(-1));
  if (list.every((entry) => JSON.stringify(entry) === last)) return;
  const unlisted = origins.find(({ model, layer }) => {
    const own = of(model);
    return layer >= Math.max(list.length, Array.isArray(own) ? own.length : 0);
  });
  if (!unlisted) return;
  warnings.push(
    `config.json of ${unlisted.model.path} has no ${key} for its layer ${unlisted.layer}: layers beyond those of the donor get ${last}`,
  );
}

/**
 * Layers behind the last one that predict further tokens (DeepSeek-V3, GLM-4.5), which `num_hidden_layers` does not count:
 * `stored` of them are in the donor. `origins` are those of all other layers of the output.
 */
function furtherTokens(
  config: Config | undefined,
  parts: readonly string[],
  layers: number,
  all: readonly LayerOrigin[],
  warnings: string[],
): { further: { stored: number; changes: Record<string, unknown> }; origins: readonly LayerOrigin[] } {
  const key = 'num_nextn_predict_layers';
  for (const prefix of parts) {
    const part = partOf(config, prefix)!;
    const [stored, own] = [part[key], part.num_hidden_layers];
    if (typeof stored !== 'number' || stored === 0 || typeof own !== 'number' || own + stored !== layers) {
      continue;
    }
    const last = all.findLastIndex(({ layer }) => layer < own);
    const origins = all.slice(0, last + 1);
    if (origins.some(({ layer }) => layer >= own)) {
      warnings.push(
        `a layer that predicts further tokens (${key}) is put before others: it belongs behind all of them`,
      );
    }
    const kept = all.length - origins.length;
    return { further: { stored, changes: kept === stored ? {} : { [prefix + key]: kept } }, origins };
  }
  return { further: { stored: 0, changes: {} }, origins: all };
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
