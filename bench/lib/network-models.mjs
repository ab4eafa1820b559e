// Pairs of checkpoints with random weights of bf16, of the shapes that networks in use have.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generator } from './statistics.mjs';

/** Two checkpoints in `root`, the second near the first; gives their directories. */
export async function makePair(root, { config, tensors: shapes }) {
  const { writeSafetensors } = await import('../../dist/checkpoint/write-safetensors.js');
  const paths = ['zeroshot', 'finetuned'].map((end) => join(root, end));
  if (paths.every((path) => existsSync(join(path, 'model.safetensors')))) return paths;
  for (const [at, path] of paths.entries()) {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, 'config.json'), JSON.stringify(config));
    // The same numbers, of which fine-tuning has moved the last bits.
    const random = generator(5);
    const moved = generator(6);
    const tensors = Object.entries(shapes).map(([name, shape]) => {
      const count = shape.reduce((a, b) => a * b, 1);
      const norm = name.includes('norm') && name.endsWith('weight');
      // 1 or a number of the size 2^-5, as the upper half of its F32 bits.
      const data = Uint16Array.from({ length: count }, () => {
        const sign = random() < 0.5 ? 0 : 0x8000;
        if (norm) return 0x3f80;
        const code = sign | (0x3c80 + Math.floor(random() * 256));
        return at === 0 ? code : code ^ Math.floor(moved() * 32);
      });
      return { name, dtype: 'BF16', shape, data: new Uint8Array(data.buffer) };
    });
    await writeSafetensors(join(path, 'model.safetensors'), tensors);
  }
  return paths;
}

/** ViT of patches of 16 on images of 224, with 1000 classes. `flops`: of an image, products and attention. */
export function vit({ width, inner, heads, layers }) {
  const [size, patch, classes] = [224, 16, 1000];
  const tokens = (size / patch) ** 2 + 1;
  const config = {
    ...{ model_type: 'vit', hidden_size: width, num_attention_heads: heads, num_hidden_layers: layers },
    ...{ intermediate_size: inner, image_size: size, patch_size: patch, hidden_act: 'gelu' },
  };
  const tensors = {
    'vit.embeddings.cls_token': [1, 1, width],
    'vit.embeddings.position_embeddings': [1, tokens, width],
    'vit.embeddings.patch_embeddings.projection.weight': [width, 3, patch, patch],
    'vit.embeddings.patch_embeddings.projection.bias': [width],
    'vit.layernorm.weight': [width],
    'vit.layernorm.bias': [width],
    'classifier.weight': [classes, width],
    'classifier.bias': [classes],
  };
  const linear = (name, outputs, inputs) => {
    tensors[`${name}.weight`] = [outputs, inputs];
    tensors[`${name}.bias`] = [outputs];
  };
  for (let i = 0; i < layers; i++) {
    const layer = `vit.encoder.layer.${i}`;
    for (const part of ['query', 'key', 'value'])
      linear(`${layer}.attention.attention.${part}`, width, width);
    linear(`${layer}.attention.output.dense`, width, width);
    linear(`${layer}.intermediate.dense`, inner, width);
    linear(`${layer}.output.dense`, width, inner);
    for (const norm of ['before', 'after']) {
      tensors[`${layer}.layernorm_${norm}.weight`] = [width];
      tensors[`${layer}.layernorm_${norm}.bias`] = [width];
    }
  }
  const block = 2 * tokens * (4 * width * width + 2 * width * inner) + 4 * tokens * tokens * width;
  const flops = layers * block + 2 * (tokens - 1) * width * 3 * patch * patch + 2 * classes * width;
  return { config, tensors, flops };
}

/** A decoder as Llama's. `flops`: of a text of `tokens`, products, causal attention, and the loss over the vocabulary. */
export function llama({ width, inner, heads, kvHeads, layers, vocabulary, tokens }) {
  const headDim = width / heads;
  const config = {
    ...{ model_type: 'llama', hidden_size: width, intermediate_size: inner, num_attention_heads: heads },
    ...{ num_key_value_heads: kvHeads, num_hidden_layers: layers, vocab_size: vocabulary },
    ...{ tie_word_embeddings: true, rms_norm_eps: 1e-5, max_position_embeddings: 8192 },
  };
  const tensors = { 'model.embed_tokens.weight': [vocabulary, width], 'model.norm.weight': [width] };
  for (let i = 0; i < layers; i++) {
    const layer = `model.layers.${i}`;
    tensors[`${layer}.input_layernorm.weight`] = [width];
    tensors[`${layer}.post_attention_layernorm.weight`] = [width];
    tensors[`${layer}.self_attn.q_proj.weight`] = [width, width];
    for (const part of ['k', 'v'])
      tensors[`${layer}.self_attn.${part}_proj.weight`] = [kvHeads * headDim, width];
    tensors[`${layer}.self_attn.o_proj.weight`] = [width, width];
    for (const part of ['gate', 'up']) tensors[`${layer}.mlp.${part}_proj.weight`] = [inner, width];
    tensors[`${layer}.mlp.down_proj.weight`] = [width, inner];
  }
  const products = 2 * width * width + 2 * kvHeads * headDim * width + 3 * width * inner;
  const flops =
    layers * (2 * tokens * products + 2 * tokens * tokens * width) + 2 * tokens * vocabulary * width;
  return { config, tensors, flops };
}
