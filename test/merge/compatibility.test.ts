// What is said about two models that do not fit, before any tensor data is read.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type MergeOptions, type MergePlan, merge, type Problem, planMerge } from '../../lib/index.js';
import { contents, type ModelOptions, readModel, writeModel, writeShards } from '../support/models.js';
import { randomF32 } from '../support/random.js';
import { type Tensor, tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const weight = (name: string, shape = [2, 2], dtype = 'F32'): Tensor => tensor(name, dtype, shape);

async function plan(
  x: { tensors: readonly Tensor[]; options?: ModelOptions },
  y: { tensors: readonly Tensor[]; options?: ModelOptions },
  options: Partial<MergeOptions> = {},
): Promise<MergePlan & { root: string; merge: () => Promise<unknown> }> {
  const root = await tempDir();
  const zeroshot = writeModel(join(root, 'x'), x.tensors, x.options);
  const finetuned = writeModel(join(root, 'y'), y.tensors, y.options);
  const given = { zeroshot, finetuned, alpha: 0.5, out: join(root, 'out'), ...options };
  return { ...(await planMerge(given)), root, merge: () => merge(given) };
}

const codes = (problems: readonly Problem[]): Record<string, string> =>
  Object.fromEntries(problems.map(({ tensor: name, code }) => [name ?? '', code]));

describe('two models that cannot be merged', () => {
  const renamed: [string, string][] = [
    ['h.0.ln_1.weight', 'transformer.h.0.ln_1.weight'],
    ['bert.pooler.dense.weight', 'pooler.dense.weight'],
    ['encoder.layer.0.output.dense.weight', 'roberta.encoder.layer.0.output.dense.weight'],
    ['model.layers.0.mlp.up_proj.weight', 'model.language_model.layers.0.mlp.up_proj.weight'],
    ['language_model.model.norm.weight', 'model.language_model.norm.weight'],
    ['bert.embeddings.LayerNorm.gamma', 'bert.embeddings.LayerNorm.weight'],
    ['embeddings.LayerNorm.bias', 'bert.embeddings.LayerNorm.beta'],
    ['_orig_mod.w', 'w'],
  ];
  it.each(renamed)('name the tensor that %s is called in the other', async (x, y) => {
    const { problems } = await plan({ tensors: [weight(x)] }, { tensors: [weight(y)] });
    expect(problems.map(({ tensor: name, fix }) => [name, fix])).toEqual([
      [x, `The fine-tuned model has "${y}": rename the tensors so that both use the same names.`],
      [y, `The zero-shot model has "${x}": rename the tensors so that both use the same names.`],
    ]);
  });

  it('have all their problems listed at once, each with tensor, file and fix', async () => {
    const same = weight('same');
    const x = [
      same,
      weight('only.x'),
      weight('model.embed_tokens.weight', [32_000, 4]),
      weight('classifier.weight', [10, 4]),
      weight('other', [4]),
      weight('rank', [4]),
      weight('kind'),
      weight('wrapped'),
      weight('layer.qweight'),
    ];
    const y = [
      same,
      weight('only.y'),
      weight('model.embed_tokens.weight', [32_002, 4]),
      weight('classifier.weight', [12, 4]),
      weight('other', [5]),
      weight('rank', [4, 1]),
      tensor('kind', 'I32', [2, 2]),
      weight('model.wrapped'),
      weight('layer.qweight'),
    ];
    const { problems, root, merge: run } = await plan({ tensors: x }, { tensors: y });
    expect(codes(problems)).toEqual({
      'only.x': 'ERR_MISSING_TENSOR',
      'only.y': 'ERR_MISSING_TENSOR',
      'model.embed_tokens.weight': 'ERR_SHAPE_MISMATCH',
      'classifier.weight': 'ERR_SHAPE_MISMATCH',
      other: 'ERR_SHAPE_MISMATCH',
      rank: 'ERR_SHAPE_MISMATCH',
      kind: 'ERR_DTYPE_MISMATCH',
      wrapped: 'ERR_MISSING_TENSOR',
      'model.wrapped': 'ERR_MISSING_TENSOR',
      'layer.qweight': 'ERR_QUANTISED',
    });
    for (const { tensor: name, file, fix, message } of problems) {
      expect(file).toBe(
        join(
          root,
          name === 'only.x' || name === 'wrapped' || name === 'layer.qweight' ? 'x' : 'y',
          'model.safetensors',
        ),
      );
      expect(message).toContain(`"${name}"`);
      expect(fix).toMatch(/\w+ .*\.$/);
    }
    const fixOf = (name: string) => problems.find((one) => one.tensor === name)!;
    expect(fixOf('model.embed_tokens.weight')).toMatchObject({
      message: expect.stringMatching(/\[32000, 4\] in the zero-shot model, \[32002, 4\] in the fine-tuned/),
      fix: expect.stringMatching(/vocabularies differ \(32000 and 32002 rows\)/),
    });
    expect(fixOf('classifier.weight').fix).toMatch(/different numbers of classes/);
    expect(fixOf('wrapped').fix).toMatch(/fine-tuned model has "model.wrapped"/);
    expect(fixOf('model.wrapped').fix).toMatch(/zero-shot model has "wrapped"/);
    await expect(run()).rejects.toMatchObject({
      code: 'ERR_INCOMPATIBLE',
      message: expect.stringMatching(/10 problems/),
      details: { problems },
    });
  });

  it('have the first twenty problems in the message and all in the details', async () => {
    const many = Array.from({ length: 30 }, (_, i) => weight(`w${i}`));
    const { merge: run, problems } = await plan({ tensors: many }, { tensors: [] });
    expect(problems).toHaveLength(30);
    await expect(run()).rejects.toMatchObject({
      message: expect.stringMatching(/30 problems[\s\S]*"w19"[\s\S]*… and 10 more$/),
      details: { problems },
    });
  });

  it('are of different architectures, or an adapter', async () => {
    const tensors = [weight('w')];
    const { problems } = await plan(
      { tensors, options: { config: { model_type: 'llama' } } },
      { tensors, options: { config: { model_type: 'mistral' } } },
    );
    expect(problems.map(({ code }) => code)).toEqual(['ERR_ARCHITECTURE_MISMATCH']);
    expect(problems[0]!.message).toMatch(/"llama".*"mistral"/);

    const root = await tempDir();
    const x = writeModel(join(root, 'x'), tensors);
    // Its factors are not looked for in the model.
    const factors = [weight('w.lora_A.weight'), weight('w.lora_B.weight')];
    const adapter = writeShards(join(root, 'adapter'), [factors], { stem: 'adapter_model' });
    const withAdapter = await planMerge({
      zeroshot: x,
      finetuned: adapter,
      alpha: 0.5,
      out: join(root, 'out'),
    });
    const refused = { code: 'ERR_ADAPTER', file: adapter, fix: expect.stringContaining('base+adapter') };
    expect(withAdapter.problems).toMatchObject([refused]);
  });
});

describe('quantised tensors', () => {
  const quantised: [string, string, number[]][] = [
    ...[
      'weight_scale',
      'qweight',
      'qzeros',
      'scales',
      'g_idx',
      'absmax',
      'SCB',
      'weight_packed',
      'input_scale',
      'weight_scale_inv',
      'scale_weight',
      'scale_input',
      '_scale',
      'weight._scale',
      'qscale_weight',
      'activation_scale',
      'experts.gate_up_proj_scale',
      'experts.down_proj_input_scale',
    ].map((ending): [string, string, number[]] => [`layer.${ending}`, 'F32', [2]]),
    ['gate_up_proj_blocks', 'U8', [2, 2]],
    ['gate_up_proj_scales', 'U8', [2]],
    ['w_scale_inv', 'F32', [2]],
    ['scaled_fp8', 'F8_E4M3', [2]],
    ['layer.weight.quant_state.bitsandbytes__nf4', 'U8', [2]],
    ['w', 'F8_E8M0', [2]],
    ['layer.weight', 'U8', [2, 2]],
    ['layer.weight', 'I8', [2, 2]],
    ['layer.weight', 'I32', [2, 2]],
  ];
  it.each(quantised)('are refused: %s of %s', async (name, dtype, shape) => {
    const tensors = [tensor(name, dtype, shape)];
    const { problems } = await plan({ tensors }, { tensors });
    expect(problems).toMatchObject([
      { code: 'ERR_QUANTISED', tensor: name, fix: expect.stringMatching(/unquantised/) },
    ]);
  });

  it.each(['F4', 'F6_E2M3', 'F6_E3M2'])('of the sub-byte dtype %s are refused', async (dtype) => {
    const bits = dtype === 'F4' ? 4 : 6;
    const packed: Tensor = { name: 'w', dtype, shape: [16], data: Buffer.alloc(2 * bits) };
    const { problems } = await plan({ tensors: [packed] }, { tensors: [packed] });
    expect(codes(problems)).toEqual({ w: 'ERR_QUANTISED' });
  });

  it('of FP8 are told by a scale beside them, which elsewhere is the weight of a norm', async () => {
    const scale = tensor('norm.scale', 'F32', [2]);
    const plain = tensor('norm.weight', 'BF16', [2, 2]);
    expect((await plan({ tensors: [scale, plain] }, { tensors: [scale, plain] })).problems).toEqual([]);
    const coded = tensor('norm.weight', 'F8_E4M3', [2, 2]);
    const { problems } = await plan({ tensors: [scale, plain] }, { tensors: [scale, coded] });
    expect(problems).toMatchObject([
      {
        code: 'ERR_QUANTISED',
        tensor: 'norm.weight',
        message: expect.stringMatching(/"norm\.scale" beside/),
      },
    ]);
    const bare = tensor('norm.weight', 'F8_E4M3', [2, 2]);
    expect((await plan({ tensors: [bare] }, { tensors: [bare] })).problems).toEqual([]);
  });

  it('are not seen in ordinary names', async () => {
    const names = [
      'logit_scale',
      'per_layer_input_scale',
      'layer_scale.lambda',
      'scales.weight',
      'blocks.0.weight',
      'layer_norm.weight',
    ];
    const tensors = [...names.map((name) => weight(name)), tensor('position_ids', 'I32', [2, 2])];
    expect((await plan({ tensors }, { tensors })).problems).toEqual([]);
  });
});

describe('a tied output head', () => {
  const embed = (seed: number) => tensor('model.embed_tokens.weight', 'F32', [6, 4], randomF32(24, seed));
  const head = (seed: number) => tensor('lm_head.weight', 'F32', [6, 4], randomF32(24, seed));
  const tied = { config: { tie_word_embeddings: true } };
  const untied = { config: { tie_word_embeddings: false } };

  it('that only the zero-shot model stores is interpolated with the embedding of the other', async () => {
    const planned = await plan({ tensors: [embed(1), head(2)] }, { tensors: [embed(3)], options: tied });
    expect(planned.problems).toEqual([]);
    expect(planned.warnings.join()).toMatch(
      /"lm_head.weight" is tied to "model.embed_tokens.weight" in the fine-tuned/,
    );
    await planned.merge();
    const got = readModel(join(planned.root, 'out'));
    const separate = await plan({ tensors: [embed(1), head(2)] }, { tensors: [embed(3), head(3)] });
    await separate.merge();
    expect(contents(got)).toEqual(contents(readModel(join(separate.root, 'out'))));
  });

  it('that only the fine-tuned model stores as a copy is left out', async () => {
    const planned = await plan(
      { tensors: [embed(1)], options: tied },
      { tensors: [embed(3), head(3)], options: tied },
    );
    expect(planned.problems).toEqual([]);
    expect(planned.warnings.join()).toMatch(/copy of its tied/);
    await planned.merge();
    expect([...readModel(join(planned.root, 'out')).keys()]).toEqual(['model.embed_tokens.weight']);
  });

  it('that the fine-tuned model trained separately is a problem', async () => {
    const { problems } = await plan(
      { tensors: [embed(1)] },
      { tensors: [embed(3), head(4)], options: untied },
    );
    expect(problems).toMatchObject([{ code: 'ERR_TIED_WEIGHTS', tensor: 'lm_head.weight' }]);
  });

  it('is missing where the configuration says that nothing is tied, or the shapes differ', async () => {
    const { problems } = await plan(
      { tensors: [embed(1), head(2)] },
      { tensors: [embed(3)], options: untied },
    );
    expect(codes(problems)).toEqual({ 'lm_head.weight': 'ERR_MISSING_TENSOR' });
    const small = tensor('lm_head.weight', 'F32', [5, 4]);
    const other = await plan({ tensors: [embed(1), small] }, { tensors: [embed(3)], options: tied });
    expect(codes(other.problems)).toEqual({ 'lm_head.weight': 'ERR_MISSING_TENSOR' });
  });

  it('is recognised by a nested text configuration', async () => {
    const nested = { config: { text_config: { tie_word_embeddings: false } } };
    const { problems } = await plan(
      { tensors: [embed(1), head(2)] },
      { tensors: [embed(3)], options: nested },
    );
    expect(codes(problems)).toEqual({ 'lm_head.weight': 'ERR_MISSING_TENSOR' });
  });
});

describe('integer and boolean tensors that differ', () => {
  it('are all named before anything is written', async () => {
    const of = (value: number) => [
      weight('w'),
      tensor('position_ids', 'I64', [2], BigInt64Array.from([1n, BigInt(value)])),
      tensor('mask', 'BOOL', [2], Buffer.from([1, value & 1])),
      tensor('equal', 'I32', [1], Int32Array.from([7])),
    ];
    const planned = await plan({ tensors: of(2) }, { tensors: of(3) });
    expect(planned.tensors).toEqual({ interpolated: 1, copied: 3 });
    const differs = (name: string) => ({
      tensor: name,
      code: 'ERR_INTEGER_TENSOR_DIFFERS',
      file: expect.stringContaining('/y/'),
    });
    await expect(planned.merge()).rejects.toMatchObject({
      code: 'ERR_INCOMPATIBLE',
      details: { problems: [differs('position_ids'), differs('mask')] },
    });
    expect(() => readModel(join(planned.root, 'out'))).toThrow();
  });

  it('in their last byte only, beyond one megabyte, are found', async () => {
    const of = (last: number) => [
      tensor('ids', 'U8', [3_000_001], Buffer.alloc(3_000_001).fill(last, 3_000_000)),
    ];
    await expect((await plan({ tensors: of(0) }, { tensors: of(1) })).merge()).rejects.toMatchObject({
      tensor: 'ids',
    });
  });

  it('of two integer dtypes cannot be compared', async () => {
    const { problems } = await plan(
      { tensors: [tensor('n', 'I64', [1])] },
      { tensors: [tensor('n', 'I32', [1])] },
    );
    expect(codes(problems)).toEqual({ n: 'ERR_DTYPE_MISMATCH' });
  });
});

describe('a warning is given', () => {
  const tensors = [weight('w')];

  it('of models that look swapped', async () => {
    const card = (base: string) => ({ files: { 'README.md': `---\nbase_model: ${base}\n---\n` } });
    const swapped = await plan({ tensors, options: card('org/y') }, { tensors });
    expect(swapped.warnings.join()).toMatch(/names y as its base model: zeroshot and finetuned look swapped/);
    const right = await plan({ tensors }, { tensors, options: card('org/x') });
    expect(right.warnings).toEqual([]);
    // A merge of the two models, as of a base with what was tuned from it, is no child of either.
    for (const merged of ['[org/x, org/y]', 'org/y\nbase_model_relation: merge']) {
      expect((await plan({ tensors, options: card(merged) }, { tensors })).warnings).toEqual([]);
    }
  });

  it('of different float dtypes in the two models', async () => {
    const { warnings, problems } = await plan({ tensors }, { tensors: [weight('w', [2, 2], 'BF16')] });
    expect(problems).toEqual([]);
    expect(warnings.join()).toMatch(/1 tensors have different float dtypes .*"w": F32 and BF16/);
  });

  it('of one model given twice', async () => {
    const root = await tempDir();
    const model = writeModel(join(root, 'x'), tensors);
    const { warnings } = await planMerge({
      zeroshot: model,
      finetuned: model,
      alpha: 0.5,
      out: join(root, 'out'),
    });
    expect(warnings.join()).toMatch(/same path/);
  });

  it('of an 8-bit output without scales', async () => {
    const { warnings } = await plan({ tensors }, { tensors }, { dtype: 'float8_e4m3fn' });
    expect(warnings.join()).toMatch(/F8_E4M3 without scales/);
  });
});

describe('options', () => {
  const bad: [string, object, string][] = [
    ['no alpha', { alpha: [] }, 'ERR_USAGE'],
    ['an alpha twice', { alpha: [0.5, 0.5] }, 'ERR_USAGE'],
    ['an alpha above 1', { alpha: 1.01 }, 'ERR_ALPHA_RANGE'],
    ['an alpha below 0', { alpha: [0.5, -0.01] }, 'ERR_ALPHA_RANGE'],
    ['NaN for an alpha', { alpha: Number.NaN }, 'ERR_ALPHA_RANGE'],
    ['an infinite alpha', { alpha: Number.POSITIVE_INFINITY, extrapolate: true }, 'ERR_ALPHA_RANGE'],
    ['more alphas than the limit', { alpha: Array.from({ length: 1002 }, (_, i) => i / 1001) }, 'ERR_USAGE'],
    ['an unknown dtype', { dtype: 'int8' }, 'ERR_USAGE'],
    ['an unknown device', { device: 'tpu' }, 'ERR_USAGE'],
    ['no threads', { threads: 0 }, 'ERR_USAGE'],
    ['half a thread', { threads: 1.5 }, 'ERR_USAGE'],
    ['too little memory', { memory: 1000 }, 'ERR_USAGE'],
    ['a shard size of 0', { shardSize: 0 }, 'ERR_USAGE'],
    ['an option that does not exist', { aplha: 0.5 }, 'ERR_USAGE'],
    ['an option that every object has', { toString: 1 }, 'ERR_USAGE'],
    ['an empty path', { zeroshot: '' }, 'ERR_USAGE'],
  ];
  it.each(bad)('with %s are refused', async (_name, options, code) => {
    const root = await tempDir();
    const model = writeModel(join(root, 'x'), [weight('w')]);
    const given = { zeroshot: model, finetuned: model, alpha: 0.5, out: join(root, 'out'), ...options };
    // A plan lists what is wrong with alpha beside everything else.
    const planned = await planMerge(given).then(
      ({ problems }) => problems[0],
      (error: unknown) => error,
    );
    expect(planned).toMatchObject({ code });
    await expect(merge(given)).rejects.toMatchObject({ code });
  });
});
