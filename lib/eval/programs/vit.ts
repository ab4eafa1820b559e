import type { Architecture, ArchitectureFactory, BoundPart, NetworkPart } from './architecture.js';
import type { ProgramBuilder, Rows } from './builder.js';
import { ConfigFields } from './config-fields.js';
import { checkShape, floatsOf } from './inputs.js';
import { type BlockOptions, preNormBlock } from './transformer.js';

/** A square image of `pixel_values`, [N, channels, size, size], and the patches it is cut into. */
export interface ImageShape {
  readonly channels: number;
  readonly size: number;
  readonly patch: number;
}

/** A part that reads `pixel_values`. */
export function imagePart(
  image: ImageShape,
  build: (b: ProgramBuilder, pixels: Rows, batch: number) => void,
): NetworkPart {
  const { channels, size, patch } = image;
  return {
    needs: ['pixel_values'],
    bind(inputs): BoundPart {
      const pixels = inputs.get('pixel_values')!;
      const [batch] = checkShape('pixel_values', pixels, ['N', channels, size, size]) as [number];
      return {
        batch,
        tokens: Math.floor(size / patch) ** 2 + 1,
        arrays: new Map([['pixel_values', floatsOf('pixel_values', pixels)]]),
        build: (b, count) => build(b, b.input('pixel_values', 'f32', count, channels * size * size), count),
      };
    },
  };
}

/** The patches of images, each projected: a convolution whose stride is its width. */
export function patchEmbedding(
  b: ProgramBuilder,
  pixels: Rows,
  batch: number,
  image: ImageShape,
  weight: string,
): Rows {
  return b.linear(b.patches(pixels, batch, image.channels, image.size, image.patch), weight);
}

/** ViTForImageClassification of transformers (Dosovitskiy et al., 2021). */
export const vit: ArchitectureFactory = (config, weights): Architecture => {
  const fields = new ConfigFields(config);
  const image: ImageShape = {
    channels: fields.count('num_channels', 3),
    size: fields.count('image_size', 224),
    patch: fields.count('patch_size', 16),
  };
  const width = fields.count('hidden_size', 768);
  const heads = fields.count('num_attention_heads', 12);
  const layers = fields.count('num_hidden_layers', 12);
  const activation = fields.activation('hidden_act', 'gelu');
  const epsilon = fields.number('layer_norm_eps', 1e-12);
  weights.info('classifier.weight');
  return {
    name: 'vit',
    parts: [
      imagePart(image, (b, pixels, batch) => {
        const options: BlockOptions = {
          attention: { batch, heads, headDim: width / heads },
          activation,
          epsilon,
        };
        const from = 'vit.embeddings';
        const embedded = patchEmbedding(
          b,
          pixels,
          batch,
          image,
          `${from}.patch_embeddings.projection.weight`,
        );
        let x = b.prefix(embedded, batch, {
          front: `${from}.cls_token`,
          positions: `${from}.position_embeddings`,
        });
        for (let i = 0; i < layers; i++) {
          const layer = `vit.encoder.layer.${i}`;
          const self = `${layer}.attention.attention`;
          const names = {
            norm1: `${layer}.layernorm_before`,
            qkv: [`${self}.query.weight`, `${self}.key.weight`, `${self}.value.weight`],
            out: `${layer}.attention.output.dense.weight`,
            norm2: `${layer}.layernorm_after`,
            up: `${layer}.intermediate.dense.weight`,
            down: `${layer}.output.dense.weight`,
          } as const;
          x = preNormBlock(b, x, names, options);
        }
        const pooled = b.layerNorm(b.pick(x, batch, 0), 'vit.layernorm', epsilon);
        const logits = b.linear(pooled, 'classifier.weight');
        b.output('logits', logits, [batch, logits.width]);
      }),
    ],
  };
};
