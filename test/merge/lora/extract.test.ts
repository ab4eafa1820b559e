// Adapters from differences: what they are, what they leave out, and that base and adapter give the fine-tuned model.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type ExtractLoraOptions,
  extractLora,
  openCheckpoint,
  openLoraAdapter,
  verify,
} from '../../../lib/index.js';
import { mergeFile } from '../../../lib/merge/many/merge-file.js';
import { runCli } from '../../support/cli.js';
import { listFiles, readModel, writeModel } from '../../support/models.js';
import { fixture } from '../../support/networks.js';
import { randomWeights } from '../../support/random.js';
import { type Tensor, tensor } from '../../support/safetensors.js';
import { tempDir } from '../../support/temp.js';

type Shapes = Readonly<Record<string, readonly number[]>>;
const llama: Shapes = {
  'model.embed_tokens.weight': [30, 12],
  'model.layers.0.self_attn.q_proj.weight': [12, 12],
  'model.layers.0.mlp.up_proj.weight': [40, 12],
  'model.layers.0.mlp.up_proj.bias': [40],
  'model.layers.0.mlp.down_proj.weight': [12, 40],
  'model.layers.0.input_layernorm.weight': [12],
  'model.norm.weight': [12],
  'lm_head.weight': [30, 12],
};
const llamaConfig = { model_type: 'llama', architectures: ['LlamaForCausalLM'], vocab_size: 30 };

const floats = (data: Buffer): Float32Array => new Float32Array(Uint8Array.from(data).buffer);
const norm = (values: Iterable<number>): number => Math.sqrt([...values].reduce((sum, v) => sum + v * v, 0));

/** Random tensors, and the same plus a product of `rank` vectors (whole noise where there is none). */
function tuned(shapes: Shapes, rank: (name: string) => number | 'all') {
  const entries = Object.entries(shapes).map(([name, shape], i) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const x = randomWeights(count, i + 1);
    const r = rank(name);
    const noise = randomWeights(count, 100 + i);
    const delta = new Float64Array(count);
    if (r === 'all') delta.set(noise.map((v) => v / 8));
    else {
      const [rows, columns] = [shape[0]!, count / shape[0]!];
      for (let k = 0; k < r; k++) {
        const [u, v] = [randomWeights(rows, 7 * i + k + 500), randomWeights(columns, 7 * i + k + 900)];
        for (let e = 0; e < count; e++) delta[e]! += u[Math.floor(e / columns)]! * v[e % columns]!;
      }
    }
    const y = x.map((value, e) => value + delta[e]!);
    return { name, shape, x, y };
  });
  const stored = (side: 'x' | 'y'): Tensor[] =>
    entries.map((entry) => tensor(entry.name, 'F32', entry.shape, entry[side]));
  return { base: stored('x'), finetuned: stored('y') };
}

async function project(
  shapes: Shapes = llama,
  rank: (name: string) => number | 'all' = (name) => (/proj\.weight/.test(name) ? 3 : 0),
  config: Record<string, unknown> = llamaConfig,
) {
  const root = await tempDir();
  const sides = tuned(shapes, rank);
  const base = writeModel(join(root, 'base'), sides.base, { config });
  const finetuned = writeModel(join(root, 'tuned'), sides.finetuned, { config });
  const out = join(root, 'adapter');
  const extract = (options: Partial<ExtractLoraOptions>) => extractLora({ base, finetuned, out, ...options });
  return { root, base, finetuned, out, extract };
}

/** base + adapter as a merge file makes it. */
async function applied(root: string, base: string, adapter: string) {
  const config = join(root, 'apply.yml');
  writeFileSync(config, `merge_method: passthrough\nmodels: [{ model: "${base}+${adapter}" }]\n`);
  const out = join(root, 'applied');
  await mergeFile({ config, out, force: true });
  return readModel(out);
}

const config = (out: string) => JSON.parse(readFileSync(join(out, 'adapter_config.json'), 'utf8'));
const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => 'done',
    (error: unknown) => error,
  );

describe('an extracted adapter', () => {
  it('gives the fine-tuned weights to rounding where differences have its rank', async () => {
    const { root, base, finetuned, out, extract } = await project();
    const result = await extract({ rank: 8 });
    expect(result.tensors.map(({ name, rank }) => [name.split('.').at(-2), rank])).toEqual([
      ['q_proj', 3],
      ['up_proj', 3],
      ['down_proj', 3],
    ]);
    for (const { relativeError, energy } of result.tensors) {
      expect(relativeError).toBeLessThan(1e-6);
      expect(energy).toBeCloseTo(1, 6);
    }
    expect(result).toMatchObject({ left: [], saved: [], unchanged: 5, warnings: [] });
    const [sum, wanted] = [await applied(root, base, out), readModel(finetuned)];
    for (const [name, { data }] of wanted) {
      const [got, want] = [floats(sum.get(name)!.data), floats(data)];
      expect(norm(got.map((v, i) => v - want[i]!)) / norm(want), name).toBeLessThan(1e-6);
    }
    expect(await verify(out)).toMatchObject([{ problems: [] }]);
    expect(listFiles(out)).toEqual([
      'README.md',
      'adapter_config.json',
      'adapter_model.safetensors',
      'wisemerge.json',
    ]);
    expect(readFileSync(join(out, 'README.md'), 'utf8')).toContain('base_model_relation: "adapter"');
    expect(readFileSync(join(out, 'README.md'), 'utf8')).not.toContain(root);
  });

  it('says how far base and adapter are from the fine-tuned model', async () => {
    const { root, base, finetuned, out, extract } = await project(llama, () => 'all');
    const result = await extract({ rank: 2 });
    const [sum, wanted, from] = [await applied(root, base, out), readModel(finetuned), readModel(base)];
    let [lost, all] = [0, 0];
    const distance = (a: Buffer, b: Buffer) => {
      const y = floats(b);
      return norm(floats(a).map((v, i) => v - y[i]!));
    };
    for (const [name, { data }] of wanted) {
      const [left, difference] = [distance(sum.get(name)!.data, data), distance(from.get(name)!.data, data)];
      lost += left ** 2;
      all += difference ** 2;
      const one = result.tensors.find((entry) => entry.name === name);
      if (one) {
        expect(one.rank).toBe(2);
        expect(one.relativeError).toBeCloseTo(left / difference, 5);
        expect(one.difference).toBeCloseTo(difference, 4);
        expect(one.energy + one.relativeError ** 2).toBeCloseTo(1, 5);
      } else {
        const out = result.left.find((entry) => entry.name === name)!;
        expect(out.difference).toBeCloseTo(difference, 4);
      }
    }
    expect(result.total.relativeError).toBeCloseTo(Math.sqrt(lost / all), 5);
    const shares = result.left.map(({ share, difference }) => [share, difference ** 2 / lost] as const);
    for (const [share, expected] of shares) expect(share).toBeCloseTo(expected, 5);
    expect(new Set(result.left.map(({ why }) => why))).toEqual(
      new Set(['embedding', 'output head', 'not a matrix']),
    );
  });

  it('chooses ranks by the share of the energy, at most as large as is allowed', async () => {
    const { out, extract } = await project(llama, (name) => (name.includes('up_proj.w') ? 5 : 'all'));
    const { tensors } = await extract({ energy: 0.9, maxRank: 6 });
    const ranks = Object.fromEntries(tensors.map(({ name, rank }) => [name.split('.').at(-2)!, rank]));
    for (const { energy, rank } of tensors) if (rank < 6) expect(energy).toBeGreaterThanOrEqual(0.9 - 1e-6);
    const { r, lora_alpha, rank_pattern, alpha_pattern, target_modules } = config(out);
    expect(lora_alpha).toBe(r);
    expect(alpha_pattern).toEqual(rank_pattern);
    for (const [module, rank] of Object.entries(ranks)) {
      const name = Object.keys(rank_pattern).find((key) => key.endsWith(module));
      expect(name ? rank_pattern[name] : r).toBe(rank);
    }
    expect(target_modules).toEqual(['down_proj', 'q_proj', 'up_proj']);
  });

  it('is for the modules that are named, embeddings and heads included', async () => {
    const { root, base, finetuned, out, extract } = await project(llama, () => 2);
    const names = ['embed_tokens', 'lm_head', 'self_attn.q_proj'];
    const result = await extract({ rank: 4, modules: names });
    expect(result.tensors.map(({ name }) => name)).toEqual([
      'model.embed_tokens.weight',
      'model.layers.0.self_attn.q_proj.weight',
      'lm_head.weight',
    ]);
    expect([...readModel(out).keys()]).toContain('base_model.model.model.embed_tokens.lora_embedding_A');
    const [sum, wanted] = [await applied(root, base, out), readModel(finetuned)];
    for (const { name } of result.tensors) {
      const want = floats(wanted.get(name)!.data);
      expect(norm(floats(sum.get(name)!.data).map((v, i) => v - want[i]!)) / norm(want)).toBeLessThan(1e-6);
    }
    expect(result.left.map(({ name, why }) => [name.split('.').at(-2), why]).sort()).toEqual([
      ['down_proj', 'not chosen'],
      ['input_layernorm', 'not a matrix'],
      ['norm', 'not a matrix'],
      ['up_proj', 'not chosen'],
      ['up_proj', 'not chosen'],
    ]);
  });

  it('saves what has no low-rank form as a whole where that is asked for', async () => {
    const { root, base, finetuned, out, extract } = await project(llama, (name) =>
      /proj\.weight/.test(name) ? 2 : 'all',
    );
    const result = await extract({ rank: 4, saveModules: true });
    expect(result.left).toEqual([]);
    expect(result.total.relativeError).toBeLessThan(1e-6);
    expect(config(out)).toMatchObject({
      bias: 'all',
      modules_to_save: ['lm_head', 'model.embed_tokens', 'model.layers.0.input_layernorm', 'model.norm'],
    });
    const [sum, wanted] = [await applied(root, base, out), readModel(finetuned)];
    for (const name of result.saved)
      expect(sum.get(name)!.data.equals(wanted.get(name)!.data), name).toBe(true);
    expect(result.saved).toHaveLength(5);
  });

  it("takes T5's relative positions for the embedding that they are", async () => {
    const at = 'encoder.block.0.layer.0.SelfAttention';
    const shapes = { [`${at}.q.weight`]: [8, 8], [`${at}.relative_attention_bias.weight`]: [32, 4] };
    const { root, base, finetuned, out, extract } = await project(shapes, () => 2, { model_type: 't5' });
    const { left } = await extract({ rank: 2 });
    expect(left).toMatchObject([{ name: `${at}.relative_attention_bias.weight`, why: 'embedding' }]);
    expect(config(out).target_modules).toEqual(['q']);
    await extract({ rank: 2, modules: ['relative_attention_bias'], force: true });
    const module = `base_model.model.${at}.relative_attention_bias`;
    const factors = readModel(out);
    expect([...factors.values()].map(({ name, shape }) => [name, shape])).toEqual([
      [`${module}.lora_embedding_A`, [2, 32]],
      [`${module}.lora_embedding_B`, [4, 2]],
    ]);
    const [sum, wanted] = [await applied(root, base, out), readModel(finetuned)];
    const name = `${at}.relative_attention_bias.weight`;
    const want = floats(wanted.get(name)!.data);
    expect(norm(floats(sum.get(name)!.data).map((v, i) => v - want[i]!)) / norm(want)).toBeLessThan(1e-6);
  });

  it('knows the Conv1D layers of GPT-2, square ones too', async () => {
    const shapes = {
      'transformer.wte.weight': [20, 8],
      'transformer.h.0.attn.c_attn.weight': [8, 24],
      'transformer.h.0.attn.c_proj.weight': [8, 8],
    };
    const { root, base, finetuned, out, extract } = await project(shapes, () => 2, { model_type: 'gpt2' });
    await extract({ rank: 3, modules: ['wte', 'c_attn', 'c_proj'] });
    expect(config(out).fan_in_fan_out).toBe(true);
    const stored = readModel(out);
    const shape = (name: string) => stored.get(`base_model.model.transformer.${name}`)!.shape;
    expect(shape('h.0.attn.c_attn.lora_A.weight')).toEqual([2, 8]);
    expect(shape('h.0.attn.c_attn.lora_B.weight')).toEqual([24, 2]);
    const [sum, wanted] = [await applied(root, base, out), readModel(finetuned)];
    for (const [name, { data }] of wanted) {
      const want = floats(data);
      const got = floats(sum.get(name)!.data);
      expect(norm(got.map((v, i) => v - want[i]!)) / norm(want), name).toBeLessThan(1e-6);
    }
  });

  it('is fitted to its base by the names and ranks of its configuration', async () => {
    const { base, out, extract } = await project(llama, (name) => (name.includes('q_proj') ? 1 : 3));
    await extract({ rank: 3 });
    const { tensors } = await openCheckpoint(base);
    const { addends } = await openLoraAdapter(out, tensors);
    for (const [name, { scale, a }] of addends) {
      expect(scale).toBe(1);
      expect(a.shape[0]).toBe(name.includes('q_proj') ? 1 : 3);
    }
    expect(addends.size).toBe(3);
    expect(config(out)).toMatchObject({ task_type: 'CAUSAL_LM', base_model_name_or_path: base, r: 3 });
  });

  it('has the same bytes whatever the threads, others with another seed', async () => {
    const { root, extract } = await project(llama, () => 'all');
    const bytes = async (name: string, options: Partial<ExtractLoraOptions>) => {
      const out = join(root, name);
      await extract({ rank: 3, out, ...options });
      return readFileSync(join(out, 'adapter_model.safetensors'));
    };
    const one = await bytes('1', { threads: 1 });
    expect((await bytes('3', { threads: 3 })).equals(one)).toBe(true);
    expect((await bytes('seed', { seed: 1 })).equals(one)).toBe(false);
  });

  it('is stored in the dtype that is asked for, and measured as it is stored', async () => {
    const { out, extract } = await project();
    const { tensors } = await extract({ rank: 4, dtype: 'bfloat16' });
    for (const { dtype } of readModel(out).values()) expect(dtype).toBe('BF16');
    for (const { relativeError } of tensors) {
      expect(relativeError).toBeGreaterThan(1e-4);
      expect(relativeError).toBeLessThan(1e-2);
    }
  });

  it('comes from bf16 shards as well', async () => {
    const out = join(await tempDir(), 'adapter');
    const [base, finetuned] = [fixture('llama-tiny/base'), fixture('llama-tiny/a')];
    const { tensors, total } = await extractLora({ base, finetuned, out, energy: 0.5 });
    for (const { energy } of tensors) expect(energy).toBeGreaterThanOrEqual(0.5 - 1e-6);
    expect(total.energy).toBeGreaterThan(0);
  });
});

describe('extraction is refused', () => {
  it('for differences that are not finite, naming the tensor', async () => {
    const { finetuned, extract } = await project();
    const tensors = [...readModel(finetuned).values()];
    const broken = (at: string) =>
      tensors.map((one) => {
        const data = Buffer.from(one.data);
        if (one.name === at) data.writeFloatLE(Number.NaN, 40);
        return { ...one, data };
      });
    for (const name of ['model.layers.0.mlp.up_proj.weight', 'model.norm.weight']) {
      writeModel(finetuned, broken(name), { config: llamaConfig });
      expect(await refusal(extract({ rank: 2 }))).toMatchObject({ code: 'ERR_DATA', tensor: name });
    }
  });

  it('for equal models', async () => {
    const { base, extract, root } = await project();
    expect(await refusal(extract({ rank: 2, finetuned: base }))).toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/3 weights to adapt are equal/),
    });
    expect(listFiles(root).filter((name) => name.startsWith('adapter'))).toEqual([]);
  });

  it.each<[string, Partial<ExtractLoraOptions>, RegExp]>([
    ['no rank', {}, /either rank, or energy/],
    ['two ranks', { rank: 2, energy: 0.5 }, /either rank, or energy/],
    ['a bound without a share', { rank: 2, maxRank: 4 }, /maxRank: is for energy/],
    ['a share of 1', { energy: 1 }, /energy: must be a share/],
    ['an unknown module', { rank: 2, modules: ['q_prj'] }, /did you mean "q_proj"/],
    ['a module without a matrix', { rank: 2, modules: ['input_layernorm'] }, /no module with a matrix/],
    ['an unknown option', { rank: 2, ranks: 3 } as never, /unknown option/],
  ])('for %s', async (_name, options, message) => {
    const { extract } = await project();
    expect(await refusal(extract(options))).toMatchObject({ code: 'ERR_USAGE', message });
  });

  it('for models that do not belong together, before any work', async () => {
    const { root, extract } = await project();
    const other = writeModel(join(root, 'other'), tuned({ 'model.norm.weight': [9] }, () => 1).base);
    expect(await refusal(extract({ rank: 2, finetuned: other }))).toMatchObject({ code: 'ERR_INCOMPATIBLE' });
  });
});

describe('wisemerge extract-lora', () => {
  it('prints a table for people and an object for programs', async () => {
    const { base, finetuned, out } = await project(llama, () => 'all');
    const args = ['extract-lora', '--base', base, '--finetuned', finetuned, '--rank', '2', '--out', out];
    const text = await runCli(args);
    expect(text.code, text.stderr).toBe(0);
    expect(text.stdout).toMatch(/^weight +shape +rank +energy +error\n/);
    expect(text.stderr).toMatch(/changed, but not in the adapter: .*embed_tokens/);
    const json = await runCli([...args, '--force', '--json', '--modules', 'up_proj']);
    expect(JSON.parse(json.stdout)).toMatchObject({ directory: out, tensors: [{ rank: 2 }] });
    const wrong = await runCli([...args, '--force', '--energy', '0.5']);
    expect(wrong.code).toBe(2);
    const { command } = JSON.parse(readFileSync(join(out, 'wisemerge.json'), 'utf8'));
    expect(command).toMatch(/--rank 2 --modules up_proj .*--force$/);
  });
});
