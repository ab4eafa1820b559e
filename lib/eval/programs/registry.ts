import type { Checkpoint } from '../../checkpoint/checkpoint.js';
import { WisemergeError } from '../../errors.js';
import type { Architecture, ArchitectureFactory } from './architecture.js';
import { clip } from './clip.js';
import { llama } from './llama.js';
import { mlp } from './mlp.js';
import { vit } from './vit.js';
import type { WeightTable } from './weight-table.js';

/** By `model_type` of config.json. */
const families: Readonly<Record<string, ArchitectureFactory>> = {
  clip,
  llama,
  mistral: llama,
  qwen2: llama,
  qwen3: llama,
  vit,
};

/**
 * The network that a checkpoint's config.json and tensors describe. Throws ERR_CONFIG where there is no program for
 * it.
 */
export function findArchitecture(checkpoint: Checkpoint, weights: WeightTable): Architecture {
  const { config, path } = checkpoint;
  const type = config?.model_type;
  const family = typeof type === 'string' ? families[type] : undefined;
  if (family) return family(config!, weights);
  const chain = type === undefined || type === 'mlp' ? mlp(checkpoint) : undefined;
  if (chain) return chain;
  const what = type === undefined ? 'names no model_type' : `has model_type ${JSON.stringify(type)}`;
  throw new WisemergeError('ERR_CONFIG', `config.json of ${path} ${what} that can be evaluated`, {
    file: path,
    hint: `Supported: ${Object.keys(families).join(', ')}, and MLPs named as in a torch Sequential.`,
    details: { supported: [...Object.keys(families), 'mlp'] },
  });
}
