import type { Config } from '../../checkpoint/checkpoint.js';
import type { Architecture, ArchitectureFactory } from './architecture.js';
import { ConfigFields } from './config-fields.js';
import { preNormBlock } from './transformer.js';
import { imagePart, patchEmbedding } from './vit.js';

/** True for the config.json of a vision transformer of timm. */
export function isTimmVit(config: Config): boolean {
  return typeof config.architecture === 'string' && config.architecture.startsWith('vit_');
}

/** By width where they are not width / 64: the huge and giant models. */
const headsByWidth: Readonly<Record<number, number>> = { 1280: 16, 1408: 16, 1664: 16 };

/** VisionTransformer of timm with a class token: `pixel_values` give `logits`. */
export const timmVit: ArchitectureFactory = (config, weights): Architecture => {
  const fields = new ConfigFields(config);
  const options = fields.part('model_args');
  weights.refuse(/\.ls[12]\.gamma$/, 'LayerScale');
  weights.refuse(/^reg_token$/, 'register tokens');
  weights.refuse(/\.attn\.[qk]_norm\./, 'normalised queries and keys');
  weights.refuse(/^attn_pool\./, 'attention pooling');
  const kernel = 'patch_embed.proj.weight';
  const [width, channels, patch] = weights.info(kernel).shape as [number, number, number];
  const given = fields.part('pretrained_cfg').list('input_size')?.[1];
  const size = options.count('img_size', typeof given === 'number' ? given : 224);
  const heads = options.count('num_heads', headsByWidth[width] ?? width / 64);
  const average = fields.text('global_pool', 'token') === 'avg';
  let layers = 0;
  while (weights.has(`blocks.${layers}.norm1.weight`)) layers++;
  const epsilon = 1e-6;
  const image = { channels, size, patch };
  return {
    name: 'timm vit',
    parts: [
      imagePart(image, (b, pixels, batch) => {
        const embedded = patchEmbedding(b, pixels, batch, image, kernel);
        const attention = { batch, heads, headDim: width / heads };
        let x = b.prefix(embedded, batch, { front: 'cls_token', positions: 'pos_embed' });
        if (b.weights.has('norm_pre.weight')) x = b.layerNorm(x, 'norm_pre', epsilon);
        for (let i = 0; i < layers; i++) {
          const names = {
            norm1: `blocks.${i}.norm1`,
            qkv: `blocks.${i}.attn.qkv.weight`,
            out: `blocks.${i}.attn.proj.weight`,
            norm2: `blocks.${i}.norm2`,
            up: `blocks.${i}.mlp.fc1.weight`,
            down: `blocks.${i}.mlp.fc2.weight`,
          };
          x = preNormBlock(b, x, names, { attention, activation: 'gelu', epsilon });
        }
        // Averages are normalised behind the mean where the model has a norm for it.
        const behind = average && b.weights.has('fc_norm.weight');
        if (!behind && average) x = b.layerNorm(x, 'norm', epsilon);
        const pooled = average ? b.mean(x, batch, 1) : b.pick(x, batch, 0);
        const normed =
          average && !behind ? pooled : b.layerNorm(pooled, behind ? 'fc_norm' : 'norm', epsilon);
        const logits = b.linear(normed, 'head.weight');
        b.output('logits', logits, [batch, logits.width]);
      }),
    ],
  };
};
