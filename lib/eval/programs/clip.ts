import type { ActivationKind } from '../../native/network.js';
import type { Architecture, ArchitectureFactory, BoundPart, NetworkPart } from './architecture.js';
import { ConfigFields } from './config-fields.js';
import { bindTokens } from './inputs.js';
import { type BlockNames, preNormBlock } from './transformer.js';
import { type ImageShape, imagePart, patchEmbedding } from './vit.js';
import type { WeightTable } from './weight-table.js';

/** A tower of CLIP: its size, and how a library names its tensors. */
export interface Tower {
  readonly heads: number;
  readonly layers: number;
  readonly activation: ActivationKind;
  readonly epsilon: number;
  readonly positions: string;
  readonly block: (layer: number) => BlockNames;
  /** Norm of the pooled token, without `.weight`. */
  readonly norm: string;
  readonly projection: string;
  /** The projection is stored as [inputs, outputs]. */
  readonly transposed: boolean;
}

export interface VisionTower extends Tower {
  readonly image: ImageShape;
  readonly patch: string;
  readonly front: string;
  /** Norm of the tokens before the first block. */
  readonly before: string;
}

export interface TextTower extends Tower {
  readonly table: string;
  /** The number of the token that ends a text; undefined: the largest in the text. */
  readonly end: number | undefined;
}

/**
 * CLIPModel of transformers (Radford et al., 2021): `pixel_values` give `image_embeds`, `input_ids` and
 * `attention_mask` give `text_embeds`, both of length 1, and the two together `logits_per_image`.
 */
export const clip: ArchitectureFactory = (config, weights): Architecture => {
  const fields = new ConfigFields(config);
  const [vision, text] = [fields.part('vision_config'), fields.part('text_config')];
  const tower = (fields: ConfigFields, from: string, heads: number): Omit<Tower, 'norm' | 'projection'> => ({
    heads: fields.count('num_attention_heads', heads),
    layers: fields.count('num_hidden_layers', 12),
    activation: fields.activation('hidden_act', 'quick_gelu'),
    epsilon: fields.number('layer_norm_eps', 1e-5),
    positions: `${from}.embeddings.position_embedding.weight`,
    block: (layer) => blockNames(`${from}.encoder.layers.${layer}`),
    transposed: false,
  });
  const end = text.number('eos_token_id', 49407);
  return clipOf(
    'clip',
    {
      ...tower(vision, 'vision_model', 12),
      image: {
        channels: vision.count('num_channels', 3),
        size: vision.count('image_size', 224),
        patch: vision.count('patch_size', 32),
      },
      patch: 'vision_model.embeddings.patch_embedding.weight',
      front: 'vision_model.embeddings.class_embedding',
      before: 'vision_model.pre_layrnorm',
      norm: 'vision_model.post_layernorm',
      projection: 'visual_projection.weight',
    },
    {
      ...tower(text, 'text_model', 8),
      table: 'text_model.embeddings.token_embedding.weight',
      // Checkpoints older than transformers 4.24 say 2, which it is not.
      end: end === 2 ? undefined : end,
      norm: 'text_model.final_layer_norm',
      projection: 'text_projection.weight',
    },
    weights,
  );
};

function blockNames(layer: string): BlockNames {
  const self = `${layer}.self_attn`;
  return {
    norm1: `${layer}.layer_norm1`,
    qkv: [`${self}.q_proj.weight`, `${self}.k_proj.weight`, `${self}.v_proj.weight`],
    out: `${self}.out_proj.weight`,
    norm2: `${layer}.layer_norm2`,
    up: `${layer}.mlp.fc1.weight`,
    down: `${layer}.mlp.fc2.weight`,
  };
}

/** The network of two towers, whatever their tensors are called. */
export function clipOf(
  name: string,
  vision: VisionTower,
  text: TextTower,
  weights: WeightTable,
): Architecture {
  const images = visionPart(vision, weights);
  // A classifier of images needs no tower for texts.
  if (!weights.has(text.table)) return { name, parts: [images] };
  const longest = weights.info(text.positions).shape[0]!;
  return { name, longest, parts: [images, textPart(text, longest, weights), similarityPart] };
}

function visionPart(tower: VisionTower, weights: WeightTable): NetworkPart {
  const { image, heads, layers, activation, epsilon, front, positions } = tower;
  const headDim = weights.info(tower.patch).shape[0]! / heads;
  return imagePart(image, (b, pixels, batch) => {
    const embedded = patchEmbedding(b, pixels, batch, image, tower.patch);
    const attention = { batch, heads, headDim };
    let x = b.layerNorm(b.prefix(embedded, batch, { front, positions }), tower.before, epsilon);
    for (let i = 0; i < layers; i++)
      x = preNormBlock(b, x, tower.block(i), { attention, activation, epsilon });
    const pooled = b.layerNorm(b.pick(x, batch, 0), tower.norm, epsilon);
    const { projection, transposed } = tower;
    const embeds = b.normalise(b.linear(pooled, projection, { transposed }));
    b.output('image_embeds', embeds, [batch, embeds.width]);
  });
}

function textPart(tower: TextTower, longest: number, weights: WeightTable): NetworkPart {
  const { table, positions, heads, layers, activation, epsilon } = tower;
  const [vocabulary, width] = weights.info(table).shape as [number, number];
  return {
    needs: ['input_ids'],
    reads: ['attention_mask'],
    bind(inputs): BoundPart {
      const { ids, mask, batch, tokens } = bindTokens(inputs, vocabulary, longest);
      const arrays = new Map([
        ['input_ids', ids],
        ['end', endsOfText(ids, batch, tokens, tower.end)],
        ...(mask ? ([['attention_mask', mask]] as const) : []),
      ]);
      return {
        batch,
        tokens,
        arrays,
        build(b, count) {
          const rows = count * tokens;
          const masked = mask && b.input('attention_mask', 'i32', rows);
          const places = b.constant(Int32Array.from({ length: rows }, (_, i) => i % tokens));
          const words = b.embedding(b.input('input_ids', 'i32', rows), table);
          const attention = {
            ...{ batch: count, heads, headDim: width / heads, causal: true },
            ...(masked && { mask: masked }),
          };
          let x = b.add(words, b.embedding(places, positions));
          for (let i = 0; i < layers; i++) {
            x = preNormBlock(b, x, tower.block(i), { attention, activation, epsilon });
          }
          const pooled = b.pick(x, count, b.input('end', 'i32', count));
          const { projection, transposed } = tower;
          const normed = b.layerNorm(pooled, tower.norm, epsilon);
          const embeds = b.normalise(b.linear(normed, projection, { transposed }));
          b.output('text_embeds', embeds, [count, embeds.width]);
        },
      };
    },
  };
}

/** `logits_per_image` [images, texts] from both embeddings. */
const similarityPart: NetworkPart = {
  needs: ['image_embeds', 'text_embeds'],
  bind(_inputs, outputs): BoundPart {
    const [images, width] = outputs.get('image_embeds')!.shape as [number, number];
    const texts = outputs.get('text_embeds')!.shape[0]!;
    return {
      batch: images,
      tokens: 1,
      whole: true,
      arrays: new Map(),
      build(b, count) {
        const x = b.input('image_embeds', 'candidates', count, width);
        const y = b.input('text_embeds', 'candidates', texts, width);
        b.output('logits_per_image', b.similarity(x, y, 'logit_scale'), [count, texts]);
      },
    };
  },
};

/** Where each text ends: at its first end token. */
function endsOfText(ids: Int32Array, batch: number, tokens: number, end: number | undefined): Int32Array {
  return Int32Array.from({ length: batch }, (_, i) => {
    const text = ids.subarray(i * tokens, (i + 1) * tokens);
    return Math.max(0, text.indexOf(end ?? text.reduce((a, b) => Math.max(a, b), 0)));
  });
}
