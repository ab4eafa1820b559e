import type { MergeConfig } from './config.js';
import { type ModelReference, modelKey } from './model-reference.js';
import type { Problems } from './problems.js';

/** Directory of the document without a name, of several. */
export const unnamedDocument = 'final';

/** The models that a configuration names, distinct, in its order; an unlisted base comes last. */
export function configModels(config: MergeConfig): ModelReference[] {
  const sources = config.modules.flatMap(({ slices }) => slices.flatMap((slice) => slice.sources));
  const bases = config.modules.flatMap(({ slices }) => slices.flatMap(({ base }) => base ?? []));
  return distinct([...sources.map(({ model }) => model), ...bases, ...(config.base ? [config.base] : [])]);
}

/** Its checkpoints of statistics. */
export function configStatistics(config: MergeConfig): ModelReference[] {
  const sources = config.modules.flatMap(({ slices }) => slices.flatMap((slice) => slice.sources));
  return distinct(sources.flatMap(({ statistics }) => statistics ?? []));
}

function distinct(references: readonly ModelReference[]): ModelReference[] {
  const byKey = new Map<string, ModelReference>();
  for (const reference of references) {
    const key = modelKey(reference);
    if (!byKey.has(key)) byKey.set(key, reference);
  }
  return [...byKey.values()];
}

/** Names of the documents that must be merged before this one. */
function needs(config: MergeConfig): string[] {
  const { tokenizer } = config;
  const used = [...configModels(config), ...configStatistics(config)];
  if (tokenizer && typeof tokenizer.source !== 'string') used.push(tokenizer.source);
  for (const { source } of tokenizer?.tokens ?? [])
    if (source && source.kind !== 'zero') used.push(source.model);
  return used.flatMap(({ document, model }) => (document ? [model.path] : []));
}

/** Documents after those that they need, else in the order of the file. A cycle is a problem. */
export function orderDocuments(configs: readonly MergeConfig[], problems: Problems): MergeConfig[] {
  const byName = new Map(configs.map((config) => [config.name, config]));
  const ordered: MergeConfig[] = [];
  const done = new Set<MergeConfig>();
  const visit = (config: MergeConfig, path: readonly MergeConfig[]): void => {
    if (done.has(config)) return;
    const start = path.indexOf(config);
    if (start >= 0) {
      const names = [...path.slice(start), config].map(({ name }) => name);
      problems.add(config.place, `documents need each other: ${names.join(' → ')}`, 'Break the cycle.');
      done.add(config);
      return;
    }
    for (const name of needs(config)) visit(byName.get(name)!, [...path, config]);
    if (done.has(config)) return;
    done.add(config);
    ordered.push(config);
  };
  for (const config of configs) visit(config, []);
  return ordered;
}
