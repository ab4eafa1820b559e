import { dirname } from 'node:path';
import type { Checkpoint, Config } from '../../checkpoint/checkpoint.js';
import { WisemergeError } from '../../errors.js';
import type { Architecture, ArchitectureFactory } from './architecture.js';
import { bert, distilbert, roberta } from './bert.js';
import { clip } from './clip.js';
import { llama } from './llama.js';
import { mlp } from './mlp.js';
import { isOpenClip, openClip } from './open-clip.js';
import { isTimmVit, timmVit } from './timm-vit.js';
import { vit } from './vit.js';
import type { WeightTable } from './weight-table.js';

/** By `model_type` of config.json. */
const families: Readonly<Record<string, ArchitectureFactory>> = {
  bert,
  clip,
  distilbert,
  llama,
  mistral: llama,
  qwen2: llama,
  qwen3: llama,
  roberta,
  vit,
  'xlm-roberta': roberta,
};

/**
 * The network that a checkpoint's configuration and tensors describe. Throws ERR_CONFIG where there is no program for
 * it.
 */
export function findArchitecture(
  checkpoint: Checkpoint,
  config: Config | undefined,
  weights: WeightTable,
): Architecture {
  const { path } = checkpoint;
  const type = config?.model_type;
  const family = typeof type === 'string' && Object.hasOwn(families, type) ? families[type] : undefined;
  if (family) return family(config!, weights);
  if (config && isOpenClip(config)) return openClip(config, weights);
  if (config && type === undefined && isTimmVit(config)) return timmVit(config, weights);
  const chain = type === undefined || type === 'mlp' ? mlp(checkpoint) : undefined;
  if (chain) return chain;
  if (!checkpoint.directory) {
    throw new WisemergeError(
      'ERR_CONFIG',
      `${path} is a file of weights, which does not say what network they are of`,
      { file: path, hint: `Give its directory, with the model's config.json: ${dirname(path)}.` },
    );
  }
  const what = type === undefined ? 'names no model_type' : `has model_type ${JSON.stringify(type)}`;
  const supported = [...Object.keys(families), 'open_clip', 'timm vit_*', 'mlp'];
  throw new WisemergeError('ERR_CONFIG', `config.json of ${path} ${what}: there is no network program`, {
    file: path,
    hint: `Supported: ${supported.join(', ')}.`,
    details: { supported },
  });
}
