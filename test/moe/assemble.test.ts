// Mixtures of experts, tensor for tensor, and their routers against the definition in f64.
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TextTokenizer } from '../../lib/eval/text/tokenizer.js';
import { openCheckpoint, verify } from '../../lib/index.js';
import { assembleMoe } from '../../lib/moe/assemble.js';
import type { MoeOptions } from '../../lib/moe/options.js';
import { planMoe } from '../../lib/moe/plan.js';
import { runCli } from '../support/cli.js';
import { fixtureWeights, hiddenStates } from '../support/llama-reference.js';
import { listFiles, readModel, writeModel } from '../support/models.js';
import { fixture } from '../support/networks.js';
import { randomBf16 } from '../support/random.js';
import { type Tensor, tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';
import { llamaTokenizer } from '../support/tokenizers.js';

const [layers, hidden] = [4, 64];
const prompts = { a: ['the cat is on the roof.', 'a man'], b: ['rain in the north'], not: ['sand'] };

/** Three Llamas: a base with a tokenizer, and two experts. */
async function project(mode: string, extra = '', expertLines: Readonly<Record<string, string>> = {}) {
  const root = await tempDir();
  for (const name of ['base', 'a', 'b'])
    cpSync(fixture(`llama-tiny/${name}`), join(root, name), { recursive: true });
  writeFileSync(join(root, 'base', 'tokenizer.json'), JSON.stringify(llamaTokenizer()));
  const expert = (name: 'a' | 'b') =>
    `  - source_model: ${join(root, name)}\n    positive_prompts: ${JSON.stringify(prompts[name])}\n${expertLines[name] ?? ''}`;
  const write = (order: readonly ('a' | 'b')[], file = 'moe.yml') => {
    const path = join(root, file);
    const head = `base_model: ${join(root, 'base')}\ngate_mode: ${mode}\n${extra}experts:\n`;
    writeFileSync(path, head + order.map(expert).join(''));
    return path;
  };
  const run = async (options: Partial<MoeOptions> = {}, order: readonly ('a' | 'b')[] = ['a', 'b']) => {
    const out = options.out ?? join(root, 'out');
    const result = await assembleMoe({ config: write(order), force: true, ...options, out });
    return { ...result, out, tensors: readModel(out) };
  };
  return { root, write, run, base: join(root, 'base') };
}

const bf16 = (data: Buffer): number[] =>
  Array.from(
    { length: data.length / 2 },
    (_, i) => new Float32Array(Uint32Array.of(data.readUInt16LE(2 * i) << 16).buffer)[0]!,
  );
const f32 = (data: Buffer): number[] =>
  Array.from({ length: data.length / 4 }, (_, i) => data.readFloatLE(4 * i));
const parts = { w1: 'gate_proj', w3: 'up_proj', w2: 'down_proj' };
const router = (l: number) => `model.layers.${l}.block_sparse_moe.gate.weight`;

describe('a Mixtral of Llamas', () => {
  it('is planned with the files of the base that it leaves out', async () => {
    const { root, base, write } = await project('random');
    for (const name of ['modeling.py', 'tf_model.h5']) writeFileSync(join(base, name), '');
    const { skipped, sidecars } = await planMoe({ config: write(['a', 'b']), out: join(root, 'out') });
    expect(skipped.map(({ file }) => file)).toEqual(['modeling.py', 'tf_model.h5']);
    expect(sidecars).toContain('tokenizer.json');
  });

  it('has the base in everything but its MLPs, which are those of the experts, byte for byte', async () => {
    const { root, run } = await project('random');
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
    const { run, root } = await project('random', 'dtype: float32\nexperts_per_token: 1\n');
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

describe('routers', () => {
  async function wantedGate(
    base: string,
    name: 'a' | 'b',
    states: (ids: number[]) => number[][][],
    negative = false,
  ) {
    const tokenizer = await TextTokenizer.open(await openCheckpoint(base));
    const mean = (texts: readonly string[]) => {
      const all = texts.map((text) => states(tokenizer.encode(text)));
      return Array.from({ length: layers }, (_, l) =>
        Array.from({ length: hidden }, (_, j) => {
          const means = all.map((one) => one[l]!.reduce((sum, row) => sum + row[j]!, 0) / one[l]!.length);
          return means.reduce((sum, value) => sum + value, 0) / texts.length;
        }),
      );
    };
    const [plus, minus] = [mean(prompts[name]), negative ? mean(prompts.not) : []];
    return plus.map((row, l) => {
      const vector = row.map((v, j) => v - (minus[l]?.[j] ?? 0));
      const length = Math.hypot(...vector);
      return vector.map((v) => v / length);
    });
  }

  it.each(['hidden', 'cheap_embed'])('by %s are the directions of the prompts in f64', async (mode) => {
    const negatives = `    negative_prompts: ${JSON.stringify(prompts.not)}\n`;
    const { run, base } = await project(mode, 'dtype: float32\n', { b: negatives });
    const table = fixtureWeights(base).get('model.embed_tokens.weight')!;
    const embedded = (ids: number[]) => {
      const rows = ids.map((id) => Array.from(table.subarray(id * hidden, (id + 1) * hidden)));
      return Array.from({ length: layers }, () => rows);
    };
    const states = mode === 'hidden' ? (ids: number[]) => hiddenStates(base, ids) : embedded;
    const wanted = [await wantedGate(base, 'a', states), await wantedGate(base, 'b', states, true)];
    const { tensors } = await run();
    for (let l = 0; l < layers; l++) {
      const got = f32(tensors.get(router(l))!.data);
      for (let e = 0; e < 2; e++) {
        for (let j = 0; j < hidden; j++) {
          expect(Math.abs(got[e * hidden + j]! - wanted[e]![l]![j]!)).toBeLessThan(1e-5);
        }
      }
    }
  });

  it('follow their experts when these change places', async () => {
    const { run, root } = await project('hidden');
    const [there, back] = [await run(), await run({ out: join(root, 'back') }, ['b', 'a'])];
    for (let l = 0; l < layers; l++) {
      const [x, y] = [there.tensors.get(router(l))!.data, back.tensors.get(router(l))!.data];
      const half = x.length / 2;
      expect(Buffer.concat([y.subarray(half), y.subarray(0, half)]).equals(x)).toBe(true);
      for (const w of Object.keys(parts)) {
        const name = (e: number) => `model.layers.${l}.block_sparse_moe.experts.${e}.${w}.weight`;
        expect(back.tensors.get(name(1))!.data.equals(there.tensors.get(name(0))!.data)).toBe(true);
      }
    }
  });

  it('at random follow from the seed, whatever the threads, memory and shards', async () => {
    const { run, root } = await project('random', 'dtype: float32\n');
    const data = async (name: string, options: Partial<MoeOptions>) => {
      const { tensors } = await run({ ...options, out: join(root, name) });
      return Buffer.concat([...Array(layers).keys()].map((l) => tensors.get(router(l))!.data));
    };
    const one = await data('1', { threads: 1 });
    expect((await data('2', { threads: 2, shardSize: 100_000, memory: 20e6 })).equals(one)).toBe(true);
    expect((await data('3', { seed: 1 })).equals(one)).toBe(false);
    const values = f32(one);
    const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
    const variance = values.reduce((sum, v) => sum + v * v, 0) / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.2);
    expect(Math.abs(variance - 1)).toBeLessThan(0.3);
    // Layers are drawn apart.
    expect(new Set(values).size).toBe(values.length);
  });

  it('by uniform_random are within 1 / √hidden', async () => {
    const { run } = await project('uniform_random', 'dtype: float32\n');
    const { tensors } = await run();
    const values = Array.from({ length: layers }, (_, l) => f32(tensors.get(router(l))!.data)).flat();
    const bound = 1 / Math.sqrt(hidden);
    expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(bound);
    const variance = values.reduce((sum, v) => sum + v * v, 0) / values.length;
    expect(variance / (bound ** 2 / 3)).toBeGreaterThan(0.8);
    expect(variance / (bound ** 2 / 3)).toBeLessThan(1.2);
  });

  it('need prompts that do not cancel out', async () => {
    const { run, root } = await project('cheap_embed', '', {
      b: `    negative_prompts: ${JSON.stringify(prompts.b)}\n`,
    });
    await expect(run()).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/b in line 6: .* cancel out in layer 0/),
    });
    expect(readdirSync(root).filter((name) => name.includes('out'))).toEqual([]);
  });
});

describe('experts', () => {
  it('are scaled in their down projection, and have noise of the deviation that is asked for', async () => {
    const { run, root } = await project('random', 'dtype: float32\n', {
      a: '    residual_scale: 0.5\n',
      b: '    noise_scale: 0.25\n    residual_scale: 2\n',
    });
    const { tensors } = await run();
    const [a, b] = [readModel(join(root, 'a')), readModel(join(root, 'b'))];
    const at = (e: number, w: string) =>
      f32(tensors.get(`model.layers.1.block_sparse_moe.experts.${e}.${w}.weight`)!.data);
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
    const { root, write } = await project('cheap_embed');
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
