// Embeddings and heads that are one tensor, whether a save holds it once or under all of its names.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { merge, planMerge } from '../../lib/index.js';
import { Workshop } from '../support/merge-file.js';
import { readModel, writeModel } from '../support/models.js';
import { randomF32 } from '../support/random.js';
import { tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const matrix = (name: string, seed: number) => tensor(name, 'F32', [32, 4], randomF32(128, seed));

const pairs: [string, string, string][] = [
  ['Falcon', 'transformer.word_embeddings.weight', 'lm_head.weight'],
  ['Mamba', 'backbone.embeddings.weight', 'lm_head.weight'],
  ['BERT', 'bert.embeddings.word_embeddings.weight', 'cls.predictions.decoder.weight'],
  ['RoBERTa', 'roberta.embeddings.word_embeddings.weight', 'lm_head.decoder.weight'],
  ['Whisper', 'model.decoder.embed_tokens.weight', 'proj_out.weight'],
  ['SmolVLM', 'model.text_model.embed_tokens.weight', 'lm_head.weight'],
  ['T5', 'shared.weight', 'decoder.embed_tokens.weight'],
  ['Florence', 'language_model.model.shared.weight', 'language_model.model.encoder.embed_tokens.weight'],
];

describe.each(pairs)('%s', (_name, embedding, alias) => {
  const config = { tie_word_embeddings: true };

  it('two models: the alias that one of them stores is its embedding in the other', async () => {
    const root = await tempDir();
    const one = writeModel(join(root, 'one'), [matrix(embedding, 1)], { config });
    const both = writeModel(join(root, 'both'), [matrix(embedding, 2), matrix(alias, 2)], { config });
    const out = join(root, 'out');
    const { warnings } = await planMerge({ zeroshot: one, finetuned: both, alpha: 0.5, out });
    expect(warnings.join()).toContain(`"${alias}" of the fine-tuned model is a copy`);
    await merge({ zeroshot: both, finetuned: one, alpha: 0.5, out });
    const got = readModel(out);
    expect(got.get(alias)!.data).toEqual(got.get(embedding)!.data);
  });

  it.each(['dare_ties', 'della', 'ties'])('%s: both stay equal', async (method) => {
    const shop = new Workshop(await tempDir());
    shop.model('base', [matrix(embedding, 1), matrix(alias, 1)], { config });
    shop.model('a', [matrix(embedding, 2), matrix(alias, 2)], { config });
    shop.model('b', [matrix(embedding, 3)], { config });
    await shop.merge(
      `merge_method: ${method}\nbase_model: $/base\nparameters: {weight: 0.5, density: 0.5}\nmodels: [{model: $/a}, {model: $/b}]\n`,
    );
    const got = shop.output();
    expect(got.get(alias)!.data).toEqual(got.get(embedding)!.data);
    expect(got.get(alias)!.data).not.toEqual(matrix(alias, 1).data);
  });
});

it('of several models in one, a head has its own', async () => {
  const root = await tempDir();
  const parts = [
    matrix('talker.model.embed_tokens.weight', 3),
    matrix('thinker.model.embed_tokens.weight', 1),
  ];
  const x = writeModel(join(root, 'x'), [...parts, matrix('thinker.lm_head.weight', 1)]);
  const y = writeModel(join(root, 'y'), parts);
  const { warnings } = await planMerge({ zeroshot: x, finetuned: y, alpha: 0.5, out: join(root, 'out') });
  expect(warnings.join()).toContain('tied to "thinker.model.embed_tokens.weight"');
});

it('lines: a tied head has the scale of the embedding', async () => {
  const shop = new Workshop(await tempDir());
  const [embedding, head] = ['model.embed_tokens.weight', 'lm_head.weight'];
  for (const [name, seed] of [
    ['base', 1],
    ['a', 2],
  ] as const) {
    shop.model(name, [matrix(embedding, seed), matrix('model.layers.0.w', seed), matrix(head, seed)], {
      config: { tie_word_embeddings: true },
    });
  }
  await shop.merge(
    'merge_method: lines\nbase_model: $/base\nparameters: {alpha: 0.25, beta: 0.5}\nmodels: [{model: $/a}]\n',
  );
  expect(shop.output().get(head)!.data).toEqual(shop.output().get(embedding)!.data);
});

describe('a head of the fine-tuned model alone', () => {
  const [embedding, head] = ['model.embed_tokens.weight', 'lm_head.weight'];
  const given = async (config: object, seed: number) => {
    const root = await tempDir();
    const zeroshot = writeModel(join(root, 'x'), [matrix(embedding, 1)]);
    const tensors = [matrix(embedding, 2), matrix(head, seed)];
    const finetuned = writeModel(join(root, 'y'), tensors, { config: { ...config } });
    return { zeroshot, finetuned, alpha: 0.5, out: join(root, 'out') };
  };

  it('is left out where it is the embedding, or is said to be', async () => {
    for (const options of [await given({}, 2), await given({ tie_word_embeddings: true }, 3)]) {
      await merge(options);
      expect([...readModel(options.out).keys()]).toEqual([embedding]);
    }
  });

  it('is an error where it is not, before anything is written', async () => {
    const options = await given({}, 3);
    await expect(merge(options)).rejects.toMatchObject({
      code: 'ERR_INCOMPATIBLE',
      details: { problems: [{ code: 'ERR_TIED_WEIGHTS', tensor: head }] },
    });
    expect(existsSync(options.out)).toBe(false);
  });

  it('is an error where the part for text says so', async () => {
    const { problems } = await planMerge(await given({ text_config: { tie_word_embeddings: false } }, 2));
    expect(problems).toMatchObject([{ code: 'ERR_TIED_WEIGHTS', tensor: head }]);
  });
});
