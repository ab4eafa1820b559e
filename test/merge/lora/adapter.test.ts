// PEFT adapters as addends of a base model's tensors: scales, patterns, orientations, and what is refused.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint, openLoraAdapter } from '../../../lib/index.js';
import { writeModel } from '../../support/models.js';
import { tensor, writeStored } from '../../support/safetensors.js';
import { tempDir } from '../../support/temp.js';

const f = (name: string, ...shape: number[]) => tensor(name, 'F32', shape);
const baseTensors = [
  f('model.embed_tokens.weight', 10, 4),
  f('model.layers.0.q.weight', 6, 4),
  f('model.layers.0.q.bias', 6),
  f('model.layers.0.square.weight', 4, 4),
  f('model.layers.1.q.weight', 6, 4),
  f('model.norm.weight', 4),
  f('score.weight', 3, 4),
];
const at = 'base_model.model.model.layers';
const pair = (module: string, input: number, out: number, r = 2) => [
  f(`${module}.lora_A.weight`, r, input),
  f(`${module}.lora_B.weight`, out, r),
];

async function open(
  tensors: ReturnType<typeof f>[],
  config: Record<string, unknown> = {},
  base = baseTensors,
) {
  const root = await tempDir();
  const { tensors: held } = await openCheckpoint(writeModel(join(root, 'base'), base));
  writeStored(join(root, 'adapter_model.safetensors'), tensors);
  const all = { peft_type: 'LORA', r: 2, lora_alpha: 8, target_modules: ['q'], bias: 'none', ...config };
  writeFileSync(join(root, 'adapter_config.json'), JSON.stringify(all));
  return openLoraAdapter(root, held);
}
const refusal = (...given: Parameters<typeof open>) =>
  open(...given).then(
    () => 'opened',
    (error: unknown) => error,
  );

describe('an adapter', () => {
  it('adds scale · B · A to the weights it names', async () => {
    const { addends, replacements } = await open([...pair(`${at}.0.q`, 4, 6), ...pair(`${at}.1.q`, 4, 6)]);
    expect([...addends.keys()].sort()).toEqual(['model.layers.0.q.weight', 'model.layers.1.q.weight']);
    expect(addends.get('model.layers.0.q.weight')).toMatchObject({
      a: { name: `${at}.0.q.lora_A.weight`, shape: [2, 4] },
      b: { name: `${at}.0.q.lora_B.weight`, shape: [6, 2] },
      scale: 4,
      transpose: false,
    });
    expect(replacements.size).toBe(0);
  });

  it('scales by the root of the rank (rsLoRA), and by patterns', async () => {
    const tensors = [
      ...pair(`${at}.0.q`, 4, 6, 3),
      ...pair(`${at}.1.q`, 4, 6),
      ...pair(`${at}.0.square`, 4, 4),
    ];
    const scales = async (config: Record<string, unknown>) =>
      Object.fromEntries(
        [...(await open(tensors, config)).addends].map(([name, { scale }]) => [name, scale]),
      );
    const rank_pattern = { '0.q': 3, q: 2 };
    expect(await scales({ rank_pattern, use_rslora: true })).toEqual({
      'model.layers.0.q.weight': 4.618802153517007,
      'model.layers.1.q.weight': 5.65685424949238,
      'model.layers.0.square.weight': 5.65685424949238,
    });
    expect(await scales({ rank_pattern, alpha_pattern: { 'layers\\.[01]\\.q': 6, are: 1 } })).toEqual({
      'model.layers.0.q.weight': 2,
      'model.layers.1.q.weight': 3,
      // "are" is no whole component of "square".
      'model.layers.0.square.weight': 4,
    });
  });

  it('is transposed for embeddings and Conv1D', async () => {
    const embedding = [
      f('base_model.model.model.embed_tokens.lora_embedding_A', 2, 10),
      f('base_model.model.model.embed_tokens.lora_embedding_B', 4, 2),
    ];
    expect((await open(embedding)).addends.get('model.embed_tokens.weight')).toMatchObject({
      a: { shape: [2, 10] },
      transpose: true,
    });
    // PEFT saves the embedding beside the product for it, which is added to what was saved.
    const saved = f('base_model.model.model.embed_tokens.base_layer.weight', 10, 4);
    const both = await open([...embedding, saved]);
    expect(both.addends.get('model.embed_tokens.weight')).toMatchObject({ a: { shape: [2, 10] } });
    expect(both.replacements.get('model.embed_tokens.weight')).toMatchObject({ name: saved.name });
    // Stored [in 4, out 12], and saved without the body's prefix.
    const gpt2 = [f('h.0.attn.c_attn.weight', 4, 12), f('h.0.attn.c_proj.weight', 4, 4)];
    const h = 'base_model.model.transformer.h.0.attn';
    const factors = [...pair(`${h}.c_attn`, 4, 12), ...pair(`${h}.c_proj`, 4, 4)];
    for (const fan_in_fan_out of [true, false]) {
      const { addends } = await open(factors, { fan_in_fan_out }, gpt2);
      expect(addends.get('h.0.attn.c_attn.weight')!.transpose).toBe(true);
      expect(addends.get('h.0.attn.c_proj.weight')!.transpose).toBe(fan_in_fan_out);
    }
  });

  // What transformers calls the parts of a model that sees, and what files on the Hub do.
  const text = ['model.language_model.', 'language_model.model.', 'model.'];
  const towers = [
    ...text.flatMap((one) => text.filter((other) => other !== one).map((other) => [one, other])),
    ...['visual.', 'vision_tower.', 'multi_modal_projector.'].flatMap((part) => [
      [part, `model.${part}`],
      [`model.${part}`, part],
    ]),
    ['lm_head.', 'language_model.lm_head.'],
    ['language_model.lm_head.', 'lm_head.'],
  ] as [string, string][];
  it.each(towers)('of %s fits a base with %s', async (trained, stored) => {
    const base = [f(`${stored}0.q.weight`, 6, 4), f('other.0.q.weight', 6, 4)];
    const { addends } = await open(pair(`base_model.model.${trained}0.q`, 4, 6), {}, base);
    expect([...addends.keys()]).toEqual([`${stored}0.q.weight`]);
  });

  it('prefers the name that it has to the ones that it may have', async () => {
    const base = text.map((stored) => f(`${stored}0.q.weight`, 6, 4));
    for (const trained of text) {
      const { addends } = await open(pair(`base_model.model.${trained}0.q`, 4, 6), {}, base);
      expect([...addends.keys()]).toEqual([`${trained}0.q.weight`]);
    }
  });

  it('replaces saved modules and trained biases', async () => {
    const tensors = [
      ...pair(`${at}.0.q`, 4, 6),
      f('base_model.model.score.weight', 3, 4),
      f(`${at}.0.q.base_layer.bias`, 6),
    ];
    const { replacements } = await open(tensors, { bias: 'lora_only', modules_to_save: ['score'] });
    expect([...replacements].map(([name, { name: from }]) => [name, from]).sort()).toEqual([
      ['model.layers.0.q.bias', `${at}.0.q.base_layer.bias`],
      ['score.weight', 'base_model.model.score.weight'],
    ]);
    expect(await refusal(tensors)).toMatchObject({ code: 'ERR_ADAPTER', message: /bias is "none"/ });
    // An output head that is adapted is saved whole.
    const head = [pair(`${at}.0.q`, 4, 6), f(`${at}.0.q.base_layer.bias`, 6)].flat();
    head.push(f(`${at}.0.q.base_layer.weight`, 6, 4));
    expect([...(await open(head)).replacements.keys()]).toContain('model.layers.0.q.bias');
  });
});

describe('an adapter is refused', () => {
  const q = pair(`${at}.0.q`, 4, 6);
  const options: [string, unknown][] = [
    ['use_dora', true],
    ['lora_bias', true],
    ['layer_replication', [[0, 1]]],
    ['target_parameters', ['experts.gate_up_proj']],
    ['init_lora_weights', 'pissa_niter_4'],
    ['peft_type', 'LOHA'],
    ['bias', 'some'],
    ['r', 0],
    ['lora_alpha', '16'],
    ['rank_pattern', { '(': 2 }],
  ];
  it.each(options)('for %s', async (option, value) => {
    expect(await refusal(q, { [option]: value })).toMatchObject({
      code: 'ERR_ADAPTER',
      message: expect.stringContaining(option),
    });
  });

  it('that fits two tensors of the base, which are named', async () => {
    const base = ['model.language_model.', 'language_model.model.'].map((at) => f(`${at}0.q.weight`, 6, 4));
    expect(await refusal(pair('base_model.model.model.0.q', 4, 6), {}, base)).toMatchObject({
      code: 'ERR_ADAPTER',
      message: /"model\.language_model\.0\.q\.weight" and "language_model\.model\.0\.q\.weight"/,
      hint: /Rename/,
    });
  });

  const bad: [string, ReturnType<typeof f>[], RegExp][] = [
    ['a lone factor', q.slice(0, 1), /partner lora_B is missing/],
    ['an unknown module', pair(`${at}.7.q`, 4, 6), /no tensor "model\.layers\.7\.q\.weight"/],
    ['a tied head', pair('base_model.model.lm_head', 4, 10), /no tensor "lm_head\.weight"/],
    ['a wrong shape', pair(`${at}.0.q`, 5, 6), /does not fit "model\.layers\.0\.q\.weight" \[6, 4\]/],
    ['another rank', pair(`${at}.0.q`, 4, 6, 3), /gives rank 2/],
    ['DoRA by its tensors', [...q, f(`${at}.0.q.lora_magnitude_vector`, 6)], /DoRA/],
    ['an unknown part', [...q, f(`${at}.0.q.lora_C.weight`, 6)], /no known kind/],
    ['a stray tensor', [...q, f('base_model.model.stray', 6)], /no tensor "stray"/],
    ['integers', [tensor(`${at}.0.q.lora_A.weight`, 'I8', [2, 4])], /dtype is I8/],
    ['two of one module', [...q, f(`${at}.0.q.lora_A.default.weight`, 2, 4)], /adapted twice/],
    ['a saved module of another shape', [f('base_model.model.score.weight', 2, 4)], /its shape is \[2, 4\]/],
  ];
  it.each(bad)('with %s', async (_name, tensors, message) => {
    expect(await refusal(tensors)).toMatchObject({
      code: 'ERR_ADAPTER',
      message,
      tensor: tensors.at(-1)!.name.includes('lora_B') ? expect.any(String) : tensors.at(-1)!.name,
    });
  });
});
