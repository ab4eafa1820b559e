// Mixtures of experts, tensor for tensor.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint, verify } from '../../lib/index.js';
import { assembleMoe } from '../../lib/moe/assemble.js';
import { planMoe } from '../../lib/moe/plan.js';
import { runCli } from '../support/cli.js';
import { listFiles, readModel, writeModel } from '../support/models.js';
import {
  floats,
  moeHidden as hidden,
  moeLayers as layers,
  moeProject,
  router,
} from '../support/moe-project.js';
import { randomBf16 } from '../support/random.js';
import { type Tensor, tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const bf16 = (data: Buffer): number[] =>
  Array.from(
    { length: data.length / 2 },
    (_, i) => new Float32Array(Uint32Array.of(data.readUInt16LE(2 * i) << 16).buffer)[0]!,
  );
const parts = { w1: 'gate_proj', w3: 'up_proj', w2: 'down_proj' };

describe('a Mixtral of Llamas', () => {
  it('is planned with the files of the base that it leaves out', async () => {
    const { root, base, write } = await moeProject('random');
    for (const name of ['modeling.py', 'tf_model.h5']) writeFileSync(join(base, name), '');
    const { skipped, sidecars } = await planMoe({ config: write(['a', 'b']), out: join(root, 'out') });
    expect(skipped.map(({ file }) => file)).toEqual(['modeling.py', 'tf_model.h5']);
    expect(sidecars).toContain('tokenizer.json');
  });

  it('has the base in everything but its MLPs, which are those of the experts, byte for byte', async () => {
    const { root, run } = await moeProject('random');
    const { tensors, out } = await run();
    const [base, a, b] = ['base', 'a', 'b'].map((name) => readModel(join(root, name))) as [
      ReturnType<typeof readModel>,
      ReturnType<typeof readModel>,
      ReturnType<typeof readModel>,
    ];
    const expected = new Map<string, Buffer>();
    for (const [name, { data }] of base) if (!name.includes('.mlp.')) expected.set(name, data);
    for (let l = 0; l < layers; l++) {
      for (const [e, expert] of [a, b].entries()) {
        for (const [w, part] of Object.entries(parts)) {
          expected.set(
            `model.layers.${l}.block_sparse_moe.experts.${e}.${w}.weight`,
            expert.get(`model.layers.${l}.mlp.${part}.weight`)!.data,
          );
        }
      }
    }
    for (const [name, data] of expected) expect(tensors.get(name)?.data.equals(data), name).toBe(true);
    const routers = Array.from({ length: layers }, (_, l) => router(l));
    expect([...tensors.keys()].sort()).toEqual([...expected.keys(), ...routers].sort());
    for (const name of routers) {
      expect(tensors.get(name)).toMatchObject({ dtype: 'BF16', shape: [2, hidden] });
    }
    expect(await verify(out)).toMatchObject([{ problems: [] }]);
  });

  it('has the configuration of a Mixtral, the base’s files, a card and a manifest', async () => {
    const { run, root } = await moeProject('random', { extra: 'dtype: float32\nexperts_per_token: 1\n' });
    const { out, parameters } = await run({ shardSize: 200_000 });
    const config = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'));
    const before = JSON.parse(readFileSync(join(root, 'base', 'config.json'), 'utf8'));
    expect(config).toEqual({
      ...before,
      architectures: ['MixtralForCausalLM'],
      model_type: 'mixtral',
      num_local_experts: 2,
      num_experts_per_tok: 1,
      output_router_logits: false,
      router_aux_loss_coef: 0.001,
      dtype: 'float32',
    });
    const files = listFiles(out);
    expect(files).toEqual(
      expect.arrayContaining([
        'README.md',
        'tokenizer.json',
        'wisemerge.json',
        'model.safetensors.index.json',
      ]),
    );
    expect(files.filter((name) => /^model-\d+-of-\d+\.safetensors$/.test(name)).length).toBeGreaterThan(2);
    expect(files.some((name) => name.includes('tmp'))).toBe(false);
    expect(readFileSync(join(out, 'README.md'), 'utf8')).toContain('| 1 | `b` |');
    expect(readFileSync(join(out, 'README.md'), 'utf8')).not.toContain(dirname(out));
    const { command } = JSON.parse(readFileSync(join(out, 'wisemerge.json'), 'utf8'));
    expect(command).toMatch(/^wisemerge moe \S+moe\.yml \S+out .*--force$/);
    const { parameters: counted } = await openCheckpoint(out);
    expect(parameters.total).toBe(counted);
    // Of two experts one is idle.
    expect(parameters.active).toBe(counted - layers * 3 * hidden * 160);
  });
});

describe('experts', () => {
  it('are scaled in their down projection, and have noise of the deviation that is asked for', async () => {
    const { run, root } = await moeProject('random', {
      extra: 'dtype: float32\n',
      lines: { a: '    residual_scale: 0.5\n', b: '    noise_scale: 0.25\n    residual_scale: 2\n' },
    });
    const { tensors } = await run();
    const [a, b] = [readModel(join(root, 'a')), readModel(join(root, 'b'))];
    const at = (e: number, w: string) =>
      floats(tensors.get(`model.layers.1.block_sparse_moe.experts.${e}.${w}.weight`)!.data);
    const of = (model: typeof a, part: string) => bf16(model.get(`model.layers.1.mlp.${part}.weight`)!.data);
    expect(at(0, 'w1')).toEqual(of(a, 'gate_proj'));
    expect(at(0, 'w2')).toEqual(of(a, 'down_proj').map((v) => v / 2));
    for (const [w, part] of Object.entries(parts)) {
      const scale = w === 'w2' ? 2 : 1;
      const plain = of(b, part);
      const noise = at(1, w).map((v, i) => v / scale - plain[i]!);
      const mean = noise.reduce((sum, v) => sum + v, 0) / noise.length;
      const deviation = Math.sqrt(noise.reduce((sum, v) => sum + v * v, 0) / noise.length);
      expect(Math.abs(mean)).toBeLessThan(0.01);
      expect(Math.abs(deviation / 0.25 - 1)).toBeLessThan(0.03);
    }
  });
});

describe('mixtures of Qwen', () => {
  const width = 8;
  const dense = (seed: number, extras: (layer: string) => Tensor[], inner = 12): Tensor[] => {
    let next = seed;
    const t = (name: string, ...shape: number[]) =>
      tensor(
        name,
        'BF16',
        shape,
        randomBf16(
          shape.reduce((x, y) => x * y, 1),
          ++next,
        ),
      );
    return [
      t('model.embed_tokens.weight', 10, width),
      ...[0, 1].flatMap((i) => {
        const layer = `model.layers.${i}`;
        return [
          t(`${layer}.self_attn.q_proj.weight`, width, width),
          ...extras(layer),
          t(`${layer}.mlp.gate_proj.weight`, inner, width),
          t(`${layer}.mlp.up_proj.weight`, inner, width),
          t(`${layer}.mlp.down_proj.weight`, width, inner),
          t(`${layer}.input_layernorm.weight`, width),
        ];
      }),
      t('model.norm.weight', width),
    ];
  };
  const bias = (layer: string) => [tensor(`${layer}.self_attn.q_proj.bias`, 'BF16', [width])];
  const norm = (layer: string) => [tensor(`${layer}.self_attn.q_norm.weight`, 'BF16', [width])];

  async function models(type: string, extras: (layer: string) => Tensor[]) {
    const root = await tempDir();
    const config = { model_type: type, num_hidden_layers: 2, torch_dtype: 'bfloat16' };
    for (const [i, name] of ['base', 'a', 'b'].entries())
      writeModel(join(root, name), dense(100 * i, extras), { config });
    writeModel(join(root, 's'), dense(900, extras, 20), { config });
    const moe = async (rest: string) => {
      const path = join(root, 'moe.yml');
      writeFileSync(
        path,
        `base_model: ${root}/base\ngate_mode: random\nexperts: [{ source_model: ${root}/a }, { source_model: ${root}/b }]\n${rest.replaceAll('$', root)}`,
      );
      await assembleMoe({ config: path, out: join(root, 'out'), force: true });
      return {
        tensors: readModel(join(root, 'out')),
        config: JSON.parse(readFileSync(join(root, 'out', 'config.json'), 'utf8')),
        shared: readModel(join(root, 's')),
        a: readModel(join(root, 'a')),
      };
    };
    return { root, moe };
  }

  it('of Qwen2 have one shared expert, of any width', async () => {
    const { moe } = await models('qwen2', bias);
    const { tensors, config, shared, a } = await moe(
      'shared_experts: [{ source_model: $/s, residual_scale: 0.5 }]\n',
    );
    expect(config).toMatchObject({
      ...{ architectures: ['Qwen2MoeForCausalLM'], model_type: 'qwen2_moe', num_experts: 2 },
      ...{ num_experts_per_tok: 2, moe_intermediate_size: 12, shared_expert_intermediate_size: 20 },
      ...{ norm_topk_prob: true, decoder_sparse_step: 1, mlp_only_layers: [] },
    });
    const same = (name: string, from: Tensor) =>
      expect(tensors.get(name)!.data.equals(from.data), name).toBe(true);
    same('model.layers.1.mlp.experts.0.up_proj.weight', a.get('model.layers.1.mlp.up_proj.weight')!);
    same('model.layers.1.mlp.shared_expert.up_proj.weight', shared.get('model.layers.1.mlp.up_proj.weight')!);
    const down = bf16(tensors.get('model.layers.1.mlp.shared_expert.down_proj.weight')!.data);
    expect(down).toEqual(bf16(shared.get('model.layers.1.mlp.down_proj.weight')!.data).map((v) => v / 2));
    expect(tensors.get('model.layers.0.mlp.gate.weight')!.shape).toEqual([2, width]);
    expect(tensors.get('model.layers.0.mlp.shared_expert_gate.weight')!.shape).toEqual([1, width]);
    expect(tensors.has('model.layers.0.self_attn.q_proj.bias')).toBe(true);
    await expect(moe('')).rejects.toThrow(/qwen has one shared expert; here are 0/);
  });

  it('of Qwen3 have none', async () => {
    const { moe } = await models('qwen3', norm);
    const { tensors, config } = await moe('');
    expect(config).toMatchObject({
      architectures: ['Qwen3MoeForCausalLM'],
      num_experts: 2,
      moe_intermediate_size: 12,
    });
    expect(tensors.has('model.layers.0.self_attn.q_norm.weight')).toBe(true);
    expect([...tensors.keys()].filter((name) => name.includes('shared'))).toEqual([]);
    await expect(moe('shared_experts: [{ source_model: $/s }]\n')).rejects.toThrow(
      /no shared expert; here are 1/,
    );
  });

  it('are refused where a tensor has no place, or experts do not fit', async () => {
    const { root, moe } = await models('llama', bias);
    await expect(moe('')).rejects.toMatchObject({
      code: 'ERR_INCOMPATIBLE',
      message: expect.stringMatching(
        /"model\.layers\.0\.self_attn\.q_proj\.bias" of the base model has no place in mixtral/,
      ),
    });
    const fine = await models('llama', () => []);
    await expect(fine.moe('architecture: qwen\n')).rejects.toThrow(
      /is of type "llama", of which no qwen is made/,
    );
    writeModel(
      join(fine.root, 'b'),
      dense(5, () => [], 14),
      { config: { model_type: 'llama' } },
    );
    await expect(fine.moe('')).rejects.toMatchObject({
      code: 'ERR_INCOMPATIBLE',
      message: expect.stringMatching(/is \[14, 8\]; the other experts need \[12, 8\]/),
      details: { problems: { length: 6 } },
    });
    expect(existsSync(join(root, 'out'))).toBe(false);
  });
});

describe('wisemerge moe', () => {
  it('plans from headers, and assembles', async () => {
    const { root, write } = await moeProject('cheap_embed');
    const [config, out] = [write(['a', 'b']), join(root, 'out')];
    const planned = await runCli(['moe', config, out, '--plan', '--json']);
    expect(planned.code, planned.stderr).toBe(0);
    const plan = JSON.parse(planned.stdout);
    expect(plan).toMatchObject({
      architecture: 'mixtral',
      gateMode: 'cheap_embed',
      prompts: 3,
      layers,
      expertsPerToken: 2,
    });
    expect(existsSync(out)).toBe(false);
    expect(plan).toEqual(
      JSON.parse(JSON.stringify({ ...(await planMoe({ config, out })), disk: plan.disk })),
    );
    const text = await runCli(['moe', config, out, '--plan']);
    expect(text.stdout).toMatch(/routers +cheap_embed, 3 prompts/);
    const made = await runCli(['moe', config, out]);
    expect(made.code, made.stderr).toBe(0);
    expect(made.stdout).toBe(`${out}\n`);
    expect(made.stderr).toMatch(/mixtral of 2 experts/);
    const again = await runCli(['moe', config, out, '--json']);
    expect([again.code, JSON.parse(again.stdout).error.code]).toEqual([2, 'ERR_OUTPUT_EXISTS']);
    writeFileSync(config, 'base_model: x\nexperts: []\n');
    const wrong = await runCli(['moe', config, out, '--force']);
    expect([wrong.code, wrong.stderr]).toEqual([
      2,
      expect.stringContaining('moe.yml:2:10: experts is empty'),
    ]);
  });
});
