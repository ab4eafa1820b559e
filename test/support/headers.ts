import type { Config } from '../../lib/checkpoint/checkpoint.js';
import { WisemergeError } from '../../lib/errors.js';
import type { MergeConfig } from '../../lib/merge/config/config.js';
import { configModels, configStatistics } from '../../lib/merge/config/documents.js';
import type { ModelHeaders } from '../../lib/merge/config/output-tensors.js';
import type { ConfigProblem } from '../../lib/merge/config/problems.js';
import { parseMergeFile } from '../../lib/merge/config/read.js';
import { resolveMerge } from '../../lib/merge/config/resolve.js';
import type { ResolvedMerge, ResolvedTensor } from '../../lib/merge/config/resolved.js';
import type { DTypeName } from '../../lib/native.js';

type Shapes = Readonly<Record<string, readonly number[] | { shape: readonly number[]; dtype: DTypeName }>>;

/** Headers of a model that is not on disk. */
export function headers(path: string, shapes: Shapes, config?: Config): ModelHeaders {
  const tensors = Object.entries(shapes).map(([name, value]) => {
    const { shape, dtype } = 'shape' in value ? value : { shape: value, dtype: 'BF16' as const };
    return [name, { name, shape, dtype }] as const;
  });
  return { path, tensors: new Map(tensors), config };
}

/** Tensors of a small Llama in the order in which transformers saves them. */
export function llamaShapes(layers: number, vocabulary = 8): Record<string, number[]> {
  const shapes: Record<string, number[]> = {
    'lm_head.weight': [vocabulary, 4],
    'model.embed_tokens.weight': [vocabulary, 4],
  };
  for (let i = 0; i < layers; i++) {
    shapes[`model.layers.${i}.input_layernorm.weight`] = [4];
    shapes[`model.layers.${i}.mlp.up_proj.weight`] = [6, 4];
    shapes[`model.layers.${i}.self_attn.q_proj.weight`] = [4, 4];
  }
  shapes['model.norm.weight'] = [4];
  return shapes;
}

export function llama(path: string, layers: number, config: Config = {}, vocabulary = 8): ModelHeaders {
  return headers(path, llamaShapes(layers, vocabulary), { num_hidden_layers: layers, ...config });
}

/** Reads the only document of a file whose paths all count as names of repositories. */
export function readConfig(text: string): MergeConfig {
  const configs = parseMergeFile(text, 'merge.yml', { exists: () => false });
  if (configs.length !== 1) throw new Error(`${configs.length} documents`);
  return configs[0]!;
}

/** Resolves a configuration with models by their paths. */
export function resolveText(text: string, models: readonly ModelHeaders[]): ResolvedMerge {
  const config = readConfig(text);
  const find = (path: string): ModelHeaders => models.find((one) => one.path === path)!;
  return resolveMerge(config, {
    models: configModels(config).map(({ model }) => find(model.path)),
    statistics: configStatistics(config).map(({ model }) => find(model.path)),
  });
}

export function tensorOf(merge: ResolvedMerge, name: string): ResolvedTensor {
  const tensor = merge.tensors.find((one) => one.name === name);
  if (!tensor) throw new Error(`no ${name}`);
  return tensor;
}

/** The problems of the error that `run` throws. */
export function problemsOf(run: () => unknown): (ConfigProblem & { errorCode: string })[] {
  try {
    run();
  } catch (error) {
    if (!(error instanceof WisemergeError)) throw error;
    const list = error.details?.problems as ConfigProblem[];
    return list.map((problem) => ({ ...problem, errorCode: error.code }));
  }
  return [];
}
