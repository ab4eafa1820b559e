import type { Architecture, ArchitectureFactory, BoundPart, NetworkPart } from './architecture.js';
import type { ProgramBuilder, Rows } from './builder.js';
import { ConfigFields } from './config-fields.js';
import { bindTokens } from './inputs.js';
import { type BlockOptions, preNormBlock } from './transformer.js';
import { imagePart, patchEmbedding } from './vit.js';
import type { WeightTable } from './weight-table.js';

/**
 * CLIPModel of transformers (Radford et al., 2021): `pixel_values` give `image_embeds`, `input_ids` and
 * `attention_mask` give `text_embeds`, both of length 1, and the two together `logits_per_image`.
 */
export const clip: ArchitectureFactory = (config, weights): Architecture => {
  const fields = new ConfigFields(config);
  return {
    name: 'clip',
    parts: [
      visionTower(fields.part('vision_config'), weights),
      textTower(fields.part('text_config'), weights),
      similarityPart('logit_scale'),
    ],
  };
};

function visionTower(fields: ConfigFields, weights: WeightTable): NetworkPart {
  const from = 'vision_model';
  const patch = `${from}.embeddings.patch_embedding.weight`;
  const width = weights.info(patch).shape[0]!;
  const image = {
    channels: fields.count('num_channels', 3),
    size: fields.count('image_size', 224),
    patch: fields.count('patch_size', 32),
  };
  const epsilon = fields.number('layer_norm_eps', 1e-5);
  const heads = fields.count('num_attention_heads', 12);
  const layers = fields.count('num_hidden_layers', 12);
  const activation = fields.activation('hidden_act', 'quick_gelu');
  return imagePart(image, (b, pixels, batch) => {
    const embedded = b.prefix(patchEmbedding(b, pixels, batch, image, patch), batch, {
      front: `${from}.embeddings.class_embedding`,
      positions: `${from}.embeddings.position_embedding.weight`,
    });
    const attention = { batch, heads, headDim: width / heads };
    let x = b.layerNorm(embedded, `${from}.pre_layrnorm`, epsilon);
    for (let i = 0; i < layers; i++) x = clipBlock(b, x, from, i, { attention, activation, epsilon });
    const pooled = b.layerNorm(b.pick(x, batch, 0), `${from}.post_layernorm`, epsilon);
    const embeds = b.normalise(b.linear(pooled, 'visual_projection.weight'));
    b.output('image_embeds', embeds, [batch, embeds.width]);
  });
}

function textTower(fields: ConfigFields, weights: WeightTable): NetworkPart {
  const from = 'text_model';
  const table = `${from}.embeddings.token_embedding.weight`;
  const [vocabulary, width] = weights.info(table).shape as [number, number];
  const positions = `${from}.embeddings.position_embedding.weight`;
  const longest = weights.info(positions).shape[0]!;
  const epsilon = fields.number('layer_norm_eps', 1e-5);
  const heads = fields.count('num_attention_heads', 8);
  const layers = fields.count('num_hidden_layers', 12);
  const activation = fields.activation('hidden_act', 'quick_gelu');
  const end = fields.number('eos_token_id', 49407);
  return {
    needs: ['input_ids'],
    reads: ['attention_mask'],
    bind(inputs): BoundPart {
      const { ids, mask, batch, tokens } = bindTokens(inputs, vocabulary, longest);
      const arrays = new Map([
        ['input_ids', ids],
        ['end', endsOfText(ids, batch, tokens, end)],
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
          let x = b.add(
            b.embedding(b.input('input_ids', 'i32', rows), table),
            b.embedding(places, positions),
          );
          const attention = {
            ...{ batch: count, heads, headDim: width / heads, causal: true },
            ...(masked && { mask: masked }),
          };
          for (let i = 0; i < layers; i++) x = clipBlock(b, x, from, i, { attention, activation, epsilon });
          const pooled = b.pick(x, count, b.input('end', 'i32', count));
          const normed = b.layerNorm(pooled, `${from}.final_layer_norm`, epsilon);
          const embeds = b.normalise(b.linear(normed, 'text_projection.weight'));
          b.output('text_embeds', embeds, [count, embeds.width]);
        },
      };
    },
  };
}

/** `logits_per_image` [images, texts] from both embeddings. */
export function similarityPart(logScale: string): NetworkPart {
  return {
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
          b.output('logits_per_image', b.similarity(x, y, logScale), [count, texts]);
        },
      };
    },
  };
}

function clipBlock(b: ProgramBuilder, x: Rows, tower: string, i: number, options: BlockOptions): Rows {
  const layer = `${tower}.encoder.layers.${i}`;
  const self = `${layer}.self_attn`;
  const names = {
    norm1: `${layer}.layer_norm1`,
    qkv: [`${self}.q_proj.weight`, `${self}.k_proj.weight`, `${self}.v_proj.weight`],
    out: `${self}.out_proj.weight`,
    norm2: `${layer}.layer_norm2`,
    up: `${layer}.mlp.fc1.weight`,
    down: `${layer}.mlp.fc2.weight`,
  } as const;
  return preNormBlock(b, x, names, options);
}

/**
 * Where each text ends: its first end token. Checkpoints older than transformers 4.24 carry 2 as end token, which it
 * is not; their end token is the largest number there is.
 */
function endsOfText(ids: Int32Array, batch: number, tokens: number, end: number): Int32Array {
  return Int32Array.from({ length: batch }, (_, i) => {
    const text = ids.subarray(i * tokens, (i + 1) * tokens);
    const wanted = end === 2 ? text.reduce((a, b) => Math.max(a, b), 0) : end;
    return Math.max(0, text.indexOf(wanted));
  });
}
