import type { Config } from '../../checkpoint/checkpoint.js';
import { WisemergeError } from '../../errors.js';
import type { Architecture, ArchitectureFactory } from './architecture.js';
import { clipOf, type Tower } from './clip.js';
import { ConfigFields } from './config-fields.js';
import type { BlockNames } from './transformer.js';

/** True for the open_clip_config.json of a model with two towers. */
export function isOpenClip(config: Config): boolean {
  const model = config.model_cfg;
  return typeof model === 'object' && model !== null && 'vision_cfg' in model && 'text_cfg' in model;
}

/**
 * CLIP as open_clip names it (its ViT towers; open_clip_config.json), with the inputs and outputs of
 * {@link import('./clip.js').clip}.
 */
export const openClip: ArchitectureFactory = (config, weights): Architecture => {
  const model = new ConfigFields(config).part('model_cfg');
  const [vision, text] = [model.part('vision_cfg'), model.part('text_cfg')];
  for (const [fields, field] of [
    [vision, 'timm_model_name'],
    [text, 'hf_model_name'],
  ] as const) {
    if (!fields.has(field)) continue;
    throw new WisemergeError('ERR_CONFIG', `open_clip_config.json names a ${field}`, {
      hint: 'Supported are the towers of open_clip itself.',
    });
  }
  weights.refuse(/\.ls_[12]\.gamma$/, 'LayerScale');
  weights.refuse(/\.attn_pool\./, 'attentional pooling');
  const width = weights.info('visual.conv1.weight').shape[0]!;
  const activation = model.flag('quick_gelu') ? 'quickGelu' : 'gelu';
  const shared: Pick<Tower, 'activation' | 'epsilon' | 'transposed'> = {
    activation,
    epsilon: 1e-5,
    transposed: true,
  };
  return clipOf(
    'open_clip',
    {
      ...shared,
      heads: width / vision.count('head_width', 64),
      layers: vision.count('layers', 12),
      image: { channels: 3, size: vision.count('image_size', 224), patch: vision.count('patch_size', 16) },
      patch: 'visual.conv1.weight',
      front: 'visual.class_embedding',
      before: 'visual.ln_pre',
      positions: 'visual.positional_embedding',
      block: (layer) => blockNames(`visual.transformer.resblocks.${layer}`),
      norm: 'visual.ln_post',
      projection: 'visual.proj',
    },
    {
      ...shared,
      heads: text.count('heads', 8),
      layers: text.count('layers', 12),
      table: 'token_embedding.weight',
      end: undefined,
      positions: 'positional_embedding',
      block: (layer) => blockNames(`transformer.resblocks.${layer}`),
      norm: 'ln_final',
      projection: 'text_projection',
    },
    weights,
  );
};

function blockNames(layer: string): BlockNames {
  return {
    norm1: `${layer}.ln_1`,
    qkv: `${layer}.attn.in_proj_weight`,
    out: `${layer}.attn.out_proj.weight`,
    norm2: `${layer}.ln_2`,
    up: `${layer}.mlp.c_fc.weight`,
    down: `${layer}.mlp.c_proj.weight`,
  };
}
