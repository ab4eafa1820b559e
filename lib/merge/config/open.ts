import { type Checkpoint, openCheckpoint } from '../../checkpoint/checkpoint.js';
import { WisemergeError } from '../../errors.js';
import type { MergeConfig } from './config.js';
import { configModels, configStatistics } from './documents.js';
import type { ModelReference } from './model-reference.js';
import type { ModelHeaders } from './output-tensors.js';
import { Problems } from './problems.js';
import { type ReadOptions, readMergeFile } from './read.js';
import { type OpenedModels, resolvedHeaders, resolveMerge } from './resolve.js';
import type { ResolvedMerge } from './resolved.js';

/** One document of a file, with the models that it names. */
export interface OpenedMerge {
  readonly config: MergeConfig;
  readonly merge: ResolvedMerge;
  /** In the order of `merge.models`; a document's result is no checkpoint yet. */
  readonly models: readonly (Checkpoint | ModelHeaders)[];
  readonly statistics: readonly (Checkpoint | ModelHeaders)[];
}

/**
 * Reads a merge configuration, opens its models by their headers and resolves it, document by document.
 * Paths are relative to the working directory. Throws WisemergeError: ERR_MERGE_FILE, ERR_INCOMPATIBLE and
 * what opening a model throws; several models that cannot be opened come in one ERR_INCOMPATIBLE.
 */
export async function openMergeFile(
  path: string,
  options: ReadOptions & { signal?: AbortSignal } = {},
): Promise<OpenedMerge[]> {
  const { signal, ...read } = options;
  const results = new Map<string, ModelHeaders>();
  const merges: OpenedMerge[] = [];
  for (const config of await readMergeFile(path, read)) {
    const opened = await openModels(config, results, signal);
    const merge = resolveMerge(config, opened);
    if (config.name !== undefined) {
      results.set(config.name, resolvedHeaders(merge, opened.models[merge.donor]!, config.name));
    }
    merges.push({ config, merge, models: opened.models, statistics: opened.statistics });
  }
  return merges;
}

async function openModels(
  config: MergeConfig,
  results: ReadonlyMap<string, ModelHeaders>,
  signal: AbortSignal | undefined,
): Promise<Required<OpenedModels>> {
  const problems = new Problems(config.file);
  const failures: unknown[] = [];
  const open = async ({ model, document }: ModelReference): Promise<ModelHeaders | undefined> => {
    if (document) return results.get(model.path)!;
    try {
      return await openCheckpoint(model.path, signal ? { signal } : {});
    } catch (error) {
      if (!(error instanceof WisemergeError)) throw error;
      failures.push(error);
      const fix = error.hint ?? 'Give the directory of a model: repositories are not downloaded.';
      problems.addModel(error.code, model.path, undefined, error.message, fix);
      return undefined;
    }
  };
  const models = await Promise.all(configModels(config).map(open));
  const statistics = await Promise.all(configStatistics(config).map(open));
  if (failures.length === 1) throw failures[0];
  problems.throwIfAny();
  return { models: models as ModelHeaders[], statistics: statistics as ModelHeaders[] };
}
