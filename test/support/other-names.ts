import { join } from 'node:path';
import { fixture } from './networks.js';
import { readTensors, type Tensor } from './safetensors.js';

/** The fixture's models as another library would have stored them. */
export function tensorsOf(model: string): Map<string, Tensor> {
  return readTensors(join(fixture(model), 'model.safetensors'));
}

export function stacked(name: string, parts: readonly Tensor[]): Tensor {
  const [first] = parts as [Tensor];
  const shape = [first.shape[0]! * parts.length, ...first.shape.slice(1)];
  return { name, dtype: 'F32', shape, data: Buffer.concat(parts.map(({ data }) => data)) };
}

export function transposed(name: string, { shape, data }: Tensor): Tensor {
  const [rows, columns] = shape as [number, number];
  const out = Buffer.alloc(data.length);
  for (let i = 0; i < rows * columns; i++) {
    data.copy(out, 4 * ((i % columns) * rows + Math.floor(i / columns)), 4 * i, 4 * i + 4);
  }
  return { name, dtype: 'F32', shape: [columns, rows], data: out };
}

const both = ['weight', 'bias'] as const;

/** As timm stores a ViT. */
export function toTimm(model: string): Tensor[] {
  const from = tensorsOf(model);
  const get = (name: string) => from.get(name)!;
  const renamed = (name: string, old: string): Tensor => ({ ...get(old), name });
  const pair = (name: string, old: string) =>
    both.map((part) => renamed(`${name}.${part}`, `${old}.${part}`));
  const tensors = [
    renamed('cls_token', 'vit.embeddings.cls_token'),
    renamed('pos_embed', 'vit.embeddings.position_embeddings'),
    ...pair('patch_embed.proj', 'vit.embeddings.patch_embeddings.projection'),
    ...pair('norm', 'vit.layernorm'),
    ...pair('head', 'classifier'),
  ];
  for (let i = 0; i < 3; i++) {
    const [to, old] = [`blocks.${i}`, `vit.encoder.layer.${i}`];
    for (const part of both) {
      const qkv = ['query', 'key', 'value'].map((x) => get(`${old}.attention.attention.${x}.${part}`));
      tensors.push(stacked(`${to}.attn.qkv.${part}`, qkv));
    }
    tensors.push(
      ...pair(`${to}.norm1`, `${old}.layernorm_before`),
      ...pair(`${to}.attn.proj`, `${old}.attention.output.dense`),
      ...pair(`${to}.norm2`, `${old}.layernorm_after`),
      ...pair(`${to}.mlp.fc1`, `${old}.intermediate.dense`),
      ...pair(`${to}.mlp.fc2`, `${old}.output.dense`),
    );
  }
  return tensors;
}

/** As open_clip stores a CLIP. */
export function toOpenClip(model: string): Tensor[] {
  const from = tensorsOf(model);
  const get = (name: string) => from.get(name)!;
  const renamed = (name: string, old: string): Tensor => ({ ...get(old), name });
  const pair = (name: string, old: string) =>
    both.map((part) => renamed(`${name}.${part}`, `${old}.${part}`));
  const [vision, text] = ['vision_model', 'text_model'];
  const tensors = [
    renamed('logit_scale', 'logit_scale'),
    renamed('visual.class_embedding', `${vision}.embeddings.class_embedding`),
    renamed('visual.positional_embedding', `${vision}.embeddings.position_embedding.weight`),
    renamed('visual.conv1.weight', `${vision}.embeddings.patch_embedding.weight`),
    ...pair('visual.ln_pre', `${vision}.pre_layrnorm`),
    ...pair('visual.ln_post', `${vision}.post_layernorm`),
    transposed('visual.proj', get('visual_projection.weight')),
    renamed('positional_embedding', `${text}.embeddings.position_embedding.weight`),
    renamed('token_embedding.weight', `${text}.embeddings.token_embedding.weight`),
    ...pair('ln_final', `${text}.final_layer_norm`),
    transposed('text_projection', get('text_projection.weight')),
  ];
  for (const [tower, to, layers] of [
    [vision, 'visual.transformer', 3],
    [text, 'transformer', 2],
  ] as const) {
    for (let i = 0; i < layers; i++) {
      const [block, old] = [`${to}.resblocks.${i}`, `${tower}.encoder.layers.${i}`];
      for (const part of both) {
        const qkv = ['q', 'k', 'v'].map((x) => get(`${old}.self_attn.${x}_proj.${part}`));
        tensors.push(stacked(`${block}.attn.in_proj_${part}`, qkv));
      }
      tensors.push(
        ...pair(`${block}.ln_1`, `${old}.layer_norm1`),
        ...pair(`${block}.attn.out_proj`, `${old}.self_attn.out_proj`),
        ...pair(`${block}.ln_2`, `${old}.layer_norm2`),
        ...pair(`${block}.mlp.c_fc`, `${old}.mlp.fc1`),
        ...pair(`${block}.mlp.c_proj`, `${old}.mlp.fc2`),
      );
    }
  }
  return tensors;
}

/** config.json of the former. */
export const timm = {
  architecture: 'vit_tiny_patch8_32',
  num_classes: 10,
  global_pool: 'token',
  pretrained_cfg: { input_size: [3, 32, 32] },
  model_args: { num_heads: 4 },
};

/** open_clip_config.json of the latter. */
export const openClip = {
  model_cfg: {
    embed_dim: 24,
    quick_gelu: true,
    vision_cfg: { image_size: 32, layers: 3, width: 48, patch_size: 8, head_width: 12 },
    text_cfg: { context_length: 16, vocab_size: 99, width: 32, heads: 4, layers: 2 },
  },
};
