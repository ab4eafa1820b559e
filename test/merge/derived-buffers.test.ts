// Buffers that models compute from their configuration and that saves hold or not, depending on the version that wrote them.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint.js';
import { AveragedCheckpoint, openIngredients } from '../../lib/eval/averaged-checkpoint.js';
import { ModelPair } from '../../lib/eval/model-pair.js';
import { extractLora, merge, planMerge } from '../../lib/index.js';
import { isDerivedBuffer } from '../../lib/merge/derived-buffers.js';
import { Engine } from '../../lib/native.js';
import { Workshop } from '../support/merge-file.js';
import { readModel, writeModel } from '../support/models.js';
import { randomF32 } from '../support/random.js';
import { type Tensor, tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const ids = tensor('text_model.embeddings.position_ids', 'I64', [1, 3], BigInt64Array.from([0n, 1n, 2n]));
const frequencies = tensor(
  'model.layers.0.self_attn.rotary_emb.inv_freq',
  'F32',
  [2],
  Float32Array.of(1, 0.25),
);
const mask = tensor('h.0.attn.bias', 'F32', [1, 1, 2, 2], Float32Array.of(1, 0, 1, 1));
const buffers = [ids, frequencies, mask];
const counter = (batches: bigint) =>
  tensor('bn.num_batches_tracked', 'I64', [], BigInt64Array.from([batches]));
const weights = (seed: number): Tensor[] => [tensor('w.weight', 'F32', [4, 4], randomF32(16, seed))];

describe('a derived buffer', () => {
  const yes: [string, string, number[]][] = [
    ['vision_model.embeddings.position_ids', 'I64', [1, 50]],
    ['position_ids', 'I32', [77]],
    ['model.layers.3.self_attn.rotary_emb.inv_freq', 'BF16', [64]],
    ['gpt_neox.layers.0.attention.rotary_emb.inv_freq', 'F32', [8]],
    ['transformer.h.0.attn.bias', 'BOOL', [1, 1, 8, 8]],
    ['h.0.attn.bias', 'U8', [1, 1, 8, 8]],
    ['gpt_neox.layers.0.attention.bias', 'F32', [1, 1, 8, 8]],
    ['transformer.h.0.attn.masked_bias', 'F32', []],
    ['gpt_neox.layers.0.attention.masked_bias', 'F16', [1]],
  ];
  it.each(yes)('is %s of %s %j', (name, dtype, shape) => {
    expect(isDerivedBuffer({ name, shape, dtype: dtype as 'F32' })).toBe(true);
  });

  const no: [string, string, number[]][] = [
    ['h.0.attn.bias', 'F32', [8]],
    ['h.0.attn.bias', 'F32', [1, 1, 8, 4]],
    ['h.0.attn.c_attn.bias', 'F32', [24]],
    ['conv.bias', 'F32', [1, 1, 8, 8]],
    ['relative_attn.bias.weight', 'F32', [1, 1, 8, 8]],
    ['h.0.attn.masked_bias', 'F32', [8]],
    ['position_ids', 'F32', [77]],
    ['learned_position_ids.weight', 'I64', [77]],
    ['inv_freq', 'F32', [8, 8]],
  ];
  it.each(no)('is not %s of %s %j', (name, dtype, shape) => {
    expect(isDerivedBuffer({ name, shape, dtype: dtype as 'F32' })).toBe(false);
  });
});

describe('of two models', () => {
  const pair = async (x: Tensor[], y: Tensor[]) => {
    const root = await tempDir();
    const zeroshot = writeModel(join(root, 'x'), x);
    const finetuned = writeModel(join(root, 'y'), y);
    return { zeroshot, finetuned, alpha: 0.5, out: join(root, 'out') };
  };

  it('a buffer of the zero-shot model alone is kept, bit by bit', async () => {
    const given = await pair([...weights(1), ...buffers], weights(2));
    const planned = await planMerge({ ...given, dtype: 'bfloat16' });
    expect(planned.problems).toEqual([]);
    expect(planned.warnings).toEqual([
      expect.stringMatching(
        /kept, though only in the zero-shot model: 3 buffers .*\(text_model.*inv_freq.*attn\.bias\)/,
      ),
    ]);
    expect(planned.tensors).toEqual({ interpolated: 1, copied: 3 });
    await merge({ ...given, dtype: 'bfloat16' });
    const got = readModel(given.out);
    for (const { name, dtype, data } of buffers) {
      expect(got.get(name)).toMatchObject({ dtype });
      expect(got.get(name)!.data).toEqual(data);
    }
    const models = await ModelPair.open(given.zeroshot, given.finetuned);
    expect(Buffer.from(await models.readTensor(frequencies.name, 0.5))).toEqual(frequencies.data);
    await models.close();
  });

  it('a buffer of the fine-tuned model alone is left out', async () => {
    const given = await pair(weights(1), [...weights(2), ...buffers]);
    const { problems, warnings } = await planMerge(given);
    expect(problems).toEqual([]);
    expect(warnings).toEqual([
      expect.stringMatching(/left out, as only in the fine-tuned model: 3 buffers .*\(text_model/),
    ]);
    await merge(given);
    expect([...readModel(given.out).keys()]).toEqual(['w.weight']);
  });

  it('counters of batches are those of the zero-shot model', async () => {
    const given = await pair([...weights(1), counter(100n)], [...weights(2), counter(250n)]);
    const { problems, warnings } = await planMerge(given);
    expect(problems).toEqual([]);
    expect(warnings).toEqual([]);
    await merge(given);
    expect(readModel(given.out).get(counter(0n).name)!.data).toEqual(counter(100n).data);
  });

  it('other tensors of one model alone stay a problem', async () => {
    const given = await pair([...weights(1), tensor('h.0.attn.bias', 'F32', [4])], weights(2));
    expect((await planMerge(given)).problems).toMatchObject([{ code: 'ERR_MISSING_TENSOR' }]);
  });

  it('no adapter has them', async () => {
    const { zeroshot: base, finetuned, out } = await pair([...weights(1), ...buffers], weights(2));
    await extractLora({ base, finetuned, out, rank: 2 });
    expect([...readModel(out).keys()]).toHaveLength(2);
  });

  it('a mean has those that all of its models have', async () => {
    const given = await pair([...weights(1), ...buffers], [...weights(2), ids]);
    const opened = [await openCheckpoint(given.zeroshot), await openCheckpoint(given.finetuned)];
    const ingredients = await openIngredients(opened);
    using engine = new Engine();
    const mean = new AveragedCheckpoint(opened[0]!, ingredients, engine);
    expect([...mean.tensors.keys()].sort()).toEqual([ids.name, 'w.weight'].sort());
    const lone = new AveragedCheckpoint(opened[0]!, ingredients.slice(1), engine);
    expect(lone.tensors.has(mask.name)).toBe(false);
    for (const model of [mean, lone, ...opened]) await model.close();
  });
});

describe('of a merge file', () => {
  const shop = async (base: Tensor[], a: Tensor[], b: Tensor[]) => {
    const made = new Workshop(await tempDir());
    for (const [name, tensors] of Object.entries({ base, a, b })) made.model(name, tensors);
    return made;
  };
  const configs = {
    ties: 'merge_method: ties\nbase_model: $/base\nmodels: [{model: $/a, parameters: {weight: 1}}]',
    slerp:
      'merge_method: slerp\nbase_model: $/base\nparameters: {t: 0.5}\nmodels: [{model: $/base}, {model: $/a}]',
    linear:
      'merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: $/base}, {model: $/a}, {model: $/b}]',
  };

  it.each(Object.entries(configs))("%s has the donor's counters of batches", async (_, text) => {
    const [base, a, b] = [1n, 20n, 300n].map((batches, i) => [...weights(i), counter(batches)]);
    const made = await shop(base!, a!, b!);
    await made.merge(text);
    expect(made.output().get(counter(0n).name)!.data).toEqual(counter(1n).data);
  });

  it.each(Object.entries(configs))('%s keeps a buffer that the donor has', async (_, text) => {
    const made = await shop([...weights(1), ...buffers], weights(2), [...weights(3), frequencies]);
    const { warnings } = await made.merge(text);
    for (const { name, data } of buffers) expect(made.output().get(name)!.data).toEqual(data);
    expect(warnings).toEqual([
      expect.stringMatching(/kept as in \S*base, though not in all models: 3 buffers .*attn\.bias/),
    ]);
  });

  it.each(Object.entries(configs))('%s leaves a buffer out that the donor lacks', async (_, text) => {
    const made = await shop(weights(1), [...weights(2), ...buffers], weights(3));
    const { warnings } = await made.merge(text);
    expect([...made.output().keys()]).toEqual(['w.weight']);
    expect(warnings).toEqual([expect.stringMatching(/left out, as not in \S*base: 3 buffers .*attn\.bias/)]);
  });
});
