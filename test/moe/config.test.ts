// What a base's config.json leaves out means in the mixture what it meant in the base. Expected numbers are those of
// transformers' configuration classes.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { planMoe } from '../../lib/moe/plan.js';
import { writeModel } from '../support/models.js';
import { tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

/** What the mixture's config.json has that the base's lacks, of keys that are not about experts. */
async function written(config: Readonly<Record<string, unknown>>): Promise<Record<string, unknown>> {
  const root = await tempDir();
  const mlp = (part: string, shape: number[]) =>
    tensor(`model.layers.0.mlp.${part}_proj.weight`, 'BF16', shape);
  const tensors = [mlp('gate', [6, 4]), mlp('up', [6, 4]), mlp('down', [4, 6])];
  const model = writeModel(join(root, 'base'), tensors, { config: { num_hidden_layers: 1, ...config } });
  const path = join(root, 'moe.yml');
  const shared = config.model_type === 'qwen2' ? `shared_experts: [{ source_model: ${model} }]\n` : '';
  writeFileSync(
    path,
    `base_model: ${model}\ngate_mode: random\n${shared}experts: [{ source_model: ${model} }, { source_model: ${model} }]\n`,
  );
  const { configChanges } = await planMoe({ config: path, out: join(root, 'out') });
  const experts =
    /expert|router|moe|norm_topk|decoder_sparse|mlp_only|^architectures$|^model_type$|^intermediate_size$/;
  return Object.fromEntries(Object.entries(configChanges).filter(([key]) => !experts.test(key)));
}

const llama = { max_position_embeddings: 2048, rms_norm_eps: 1e-6, rope_theta: 10_000 };

it.each([
  [{ model_type: 'llama' }, { ...llama, num_key_value_heads: 32 }],
  [
    { model_type: 'llama', num_attention_heads: 4 },
    { ...llama, num_key_value_heads: 4 },
  ],
  [
    {
      ...{ model_type: 'llama', num_attention_heads: 4, num_key_value_heads: 2, rms_norm_eps: 1e-5 },
      ...{ rope_parameters: { rope_theta: 5e5, rope_type: 'default' }, max_position_embeddings: 8192 },
    },
    {},
  ],
  [
    { model_type: 'llama', num_key_value_heads: 2, rope_parameters: { rope_type: 'linear', factor: 2 } },
    llama,
  ],
  [
    { model_type: 'mistral', num_attention_heads: 4 },
    { num_key_value_heads: 8, rms_norm_eps: 1e-6, rope_theta: 10_000, sliding_window: 4096 },
  ],
  [
    { model_type: 'mistral', num_key_value_heads: 2, sliding_window: null, rms_norm_eps: 1e-5 },
    { rope_theta: 10_000 },
  ],
  [{ model_type: 'qwen2' }, { hidden_size: 4096, num_attention_heads: 32, num_key_value_heads: 32 }],
  [
    { model_type: 'qwen2', hidden_size: 4, num_attention_heads: 4, num_key_value_heads: null },
    { num_key_value_heads: 4 },
  ],
  [
    { model_type: 'qwen3', hidden_size: 4 },
    { head_dim: 128, num_key_value_heads: 32 },
  ],
  [{ model_type: 'qwen3', hidden_size: 4, head_dim: 1, num_key_value_heads: 2 }, {}],
])('of %j the mixture states %j', async (config, expected) => {
  expect(await written(config)).toEqual(expected);
});

it('the width of a Mixtral’s experts is that of the weights', async () => {
  const root = await tempDir();
  const parts = { gate: [6, 4], up: [6, 4], down: [4, 6] };
  const tensors = Object.entries(parts).map(([part, shape]) =>
    tensor(`model.layers.0.mlp.${part}_proj.weight`, 'BF16', shape),
  );
  const model = writeModel(join(root, 'base'), tensors, {
    config: { model_type: 'llama', num_hidden_layers: 1 },
  });
  const path = join(root, 'moe.yml');
  writeFileSync(
    path,
    `base_model: ${model}\ngate_mode: random\nexperts: [{ source_model: ${model} }, { source_model: ${model} }]\n`,
  );
  const { configChanges } = await planMoe({ config: path, out: join(root, 'out') });
  expect(configChanges.intermediate_size).toBe(6);
});
