import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { NetworkModel } from '../../../lib/eval/network.js';
import { bitsOf, compareWithFile, fixture, inputsOf } from '../../support/networks.js';
import { writeModel } from '../../support/random-models.js';
import { readTensors, type Tensor } from '../../support/safetensors.js';

/** The fixture's models as another library would have stored them. */
function tensorsOf(model: string): Map<string, Tensor> {
  return readTensors(join(fixture(model), 'model.safetensors'));
}

function stacked(name: string, parts: readonly Tensor[]): Tensor {
  const [first] = parts as [Tensor];
  const shape = [first.shape[0]! * parts.length, ...first.shape.slice(1)];
  return { name, dtype: 'F32', shape, data: Buffer.concat(parts.map(({ data }) => data)) };
}

function transposed(name: string, { shape, data }: Tensor): Tensor {
  const [rows, columns] = shape as [number, number];
  const out = Buffer.alloc(data.length);
  for (let i = 0; i < rows * columns; i++) {
    data.copy(out, 4 * ((i % columns) * rows + Math.floor(i / columns)), 4 * i, 4 * i + 4);
  }
  return { name, dtype: 'F32', shape: [columns, rows], data: out };
}

const both = ['weight', 'bias'] as const;

function toTimm(model: string): Tensor[] {
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

function toOpenClip(model: string): Tensor[] {
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

const alphas = [0, 0.3, 0.5, 1];

describe('the same networks as other libraries name them', () => {
  const timm = {
    architecture: 'vit_tiny_patch8_32',
    num_classes: 10,
    global_pool: 'token',
    pretrained_cfg: { input_size: [3, 32, 32] },
    model_args: { num_heads: 4 },
  };

  test('a ViT of timm is that of transformers with its epsilon, bit for bit', async () => {
    const config = JSON.parse(readFileSync(join(fixture('vit-tiny/zeroshot'), 'config.json'), 'utf8'));
    const ends = ['vit-tiny/zeroshot', 'vit-tiny/finetuned'];
    const [own, other] = [[] as string[], [] as string[]];
    for (const end of ends) {
      own.push(await writeModel([...tensorsOf(end).values()], { ...config, layer_norm_eps: 1e-6 }));
      other.push(await writeModel(toTimm(end), timm));
    }
    const inputs = inputsOf(fixture('vit-tiny/expected.safetensors'));
    const results = [];
    for (const [zeroshot, finetuned] of [own, other]) {
      await using model = await NetworkModel.open(zeroshot!, finetuned);
      results.push((await model.forward(inputs, alphas)).map(bitsOf));
    }
    expect(results[1]).toEqual(results[0]);
  });

  test('a ViT of timm with what no program computes is refused', async () => {
    const gamma = { name: 'blocks.0.ls1.gamma', dtype: 'F32', shape: [1], data: Buffer.alloc(4) };
    const path = await writeModel([...toTimm('vit-tiny/zeroshot'), gamma], timm);
    await expect(NetworkModel.open(path)).rejects.toThrow('"blocks.0.ls1.gamma": networks with LayerScale');
  });

  const openClip = {
    model_cfg: {
      embed_dim: 24,
      quick_gelu: true,
      vision_cfg: { image_size: 32, layers: 3, width: 48, patch_size: 8, head_width: 12 },
      text_cfg: { context_length: 16, vocab_size: 99, width: 32, heads: 4, layers: 2 },
    },
  };

  test('a CLIP of open_clip gives what transformers gives', async () => {
    const models = [];
    for (const end of ['zeroshot', 'finetuned']) {
      models.push(await writeModel(toOpenClip(`clip-tiny/${end}`), openClip, 'open_clip_config.json'));
    }
    await using model = await NetworkModel.open(models[0]!, models[1]!);
    const expected = fixture('clip-tiny/expected.safetensors');
    const results = await model.forward(inputsOf(expected), alphas);
    expect(compareWithFile(expected, alphas, results)).toBeLessThan(1e-5);
  });

  test('towers that are not of open_clip itself are refused', async () => {
    const config = structuredClone(openClip);
    Object.assign(config.model_cfg.vision_cfg, { timm_model_name: 'convnext_base' });
    const path = await writeModel(toOpenClip('clip-tiny/zeroshot'), config, 'open_clip_config.json');
    await expect(NetworkModel.open(path)).rejects.toMatchObject({ code: 'ERR_CONFIG' });
  });
});
