import { constantTensor, type InitialModel, type Normal, normalTensor } from './initial-mlp.js';
import type { VitRecipe } from './recipe.js';
import { channels, side } from './renderer.js';

/** Of the class token and the classifier. */
const smallDeviation = 0.02;
/** Of positions: about that of the patches, which they must be told apart from at once. */
const positionDeviation = 0.5;

/**
 * A ViTForImageClassification of transformers with random weights: normal with variance 1 / inputs, the projections onto
 * the residual stream divided by sqrt(2 depth) (Radford et al., 2019); biases 0.
 */
export function initialVit(
  { patch, width, depth, heads, inner }: VitRecipe,
  classes: number,
  normal: Normal,
): InitialModel {
  const small = (name: string, shape: readonly number[]) => normalTensor(name, shape, smallDeviation, normal);
  const linear = (name: string, outputs: number, inputs: number, factor = 1) => [
    normalTensor(`${name}.weight`, [outputs, inputs], factor / Math.sqrt(inputs), normal),
    constantTensor(`${name}.bias`, outputs, 0),
  ];
  const norm = (name: string) => [
    constantTensor(`${name}.weight`, width, 1),
    constantTensor(`${name}.bias`, width, 0),
  ];
  const onto = 1 / Math.sqrt(2 * depth);
  const depthOfPatch = channels * patch * patch;
  const embeddings = 'vit.embeddings';
  const projection = `${embeddings}.patch_embeddings.projection`;
  const blocks = Array.from({ length: depth }, (_, layer) => {
    const block = `vit.encoder.layer.${layer}`;
    const self = `${block}.attention.attention`;
    return [
      ...norm(`${block}.layernorm_before`),
      ...['query', 'key', 'value'].flatMap((part) => linear(`${self}.${part}`, width, width)),
      ...linear(`${block}.attention.output.dense`, width, width, onto),
      ...norm(`${block}.layernorm_after`),
      ...linear(`${block}.intermediate.dense`, inner, width),
      ...linear(`${block}.output.dense`, width, inner, onto),
    ];
  });
  return {
    tensors: [
      small(`${embeddings}.cls_token`, [1, 1, width]),
      normalTensor(
        `${embeddings}.position_embeddings`,
        [1, Math.floor(side / patch) ** 2 + 1, width],
        positionDeviation,
        normal,
      ),
      normalTensor(
        `${projection}.weight`,
        [width, channels, patch, patch],
        1 / Math.sqrt(depthOfPatch),
        normal,
      ),
      constantTensor(`${projection}.bias`, width, 0),
      ...blocks.flat(),
      ...norm('vit.layernorm'),
      small('classifier.weight', [classes, width]),
      constantTensor('classifier.bias', classes, 0),
    ],
    config: {
      architectures: ['ViTForImageClassification'],
      model_type: 'vit',
      image_size: side,
      patch_size: patch,
      num_channels: channels,
      hidden_size: width,
      num_hidden_layers: depth,
      num_attention_heads: heads,
      intermediate_size: inner,
      hidden_act: 'gelu',
      layer_norm_eps: 1e-6,
      qkv_bias: true,
      num_labels: classes,
    },
  };
}
