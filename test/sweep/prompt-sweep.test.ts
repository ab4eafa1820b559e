// Sweeps of CLIP whose classifier the text tower builds at every alpha, against heads made from merged models.
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { writeSafetensors } from '../../lib/checkpoint/write-safetensors.js';
import { makeZeroshotHead } from '../../lib/eval/text/zeroshot-head.js';
import { merge } from '../../lib/merge/merge.js';
import { type SweepOptions, sweep } from '../../lib/sweep/sweep.js';
import { classes, project } from '../support/image-project.js';
import { readTensors } from '../support/safetensors.js';
import { clipTokenizer } from '../support/tokenizers.js';

const names = ['cat', 'dog', 'bird', 'kite', 'lamp', 'sun', 'sea', 'hill', 'boat', 'moss'];
const templates = ['a cub of {} .', 'one {} .'];

async function clipProject() {
  const { directory, options } = await project('clip-tiny');
  const { zeroshot, finetuned } = options;
  await writeFile(join(zeroshot, 'tokenizer.json'), JSON.stringify(clipTokenizer()));
  const sets = options.sets.map((set) => ({ ...set, images: `${set.images}.csv` }));
  for (const { images } of sets) {
    const folder = images.replace(/\.csv$/, '');
    const rows = Array.from({ length: classes }, (_, c) => `${folder}/class${c}/0.png,${names[c]}`);
    await writeFile(images, `path,label\n${rows.join('\n')}\n`);
  }
  const prompts = { classNames: names, templates, divergence: false } as const;
  return { directory, zeroshot, finetuned, options: { ...options, sets, ...prompts } };
}

/** Accuracy and likelihood of a model on disk by the head that is made of it. */
async function byHead(directory: string, model: string, options: Omit<SweepOptions, 'out'>) {
  const head = join(directory, `${model}-head.safetensors`);
  const path = join(directory, model);
  await makeZeroshotHead({ model: path, classNames: names, templates, out: head });
  const { templates: _templates, ...rest } = options;
  const heads = { zeroshot: head, finetuned: head };
  const given = { ...rest, zeroshot: path, finetuned: path, heads, alphas: '0:1:1' };
  const { sets } = await sweep({ ...given, out: join(directory, `${model}-out`) });
  return sets.map(({ metrics }) => metrics[0]!);
}

describe('a sweep of CLIP with prompts', () => {
  test('has at every alpha the classifier of the merged model', async () => {
    const { directory, zeroshot, finetuned, options } = await clipProject();
    const result = await sweep({ ...options, out: join(directory, 'out') });
    const models: (readonly [number, string])[] = [
      [0, 'zeroshot'],
      [1, 'at0.5'],
      [2, 'at1'],
    ];
    for (const alpha of [0.5, 1]) {
      await merge({ zeroshot, finetuned, alpha, out: join(directory, `at${alpha}`) });
    }
    for (const [k, model] of models) {
      const expected = await byHead(directory, model, options);
      for (const [s, { top1, nll }] of expected.entries()) {
        expect(result.sets[s]!.metrics[k]!.top1).toBe(top1);
        expect(result.sets[s]!.metrics[k]!.nll).toBeCloseTo(nll!, 5);
      }
    }
    // Both towers moved: with the head of one end the models between would be others.
    const nll = result.sets[0]!.metrics.map((metrics) => metrics.nll);
    const fixed = join(directory, 'zeroshot-head.safetensors');
    const { templates: _templates, ...rest } = options;
    const heads = { zeroshot: fixed, finetuned: fixed };
    const other = await sweep({ ...rest, heads, out: join(directory, 'fixed') });
    expect(Math.abs(other.sets[0]!.metrics[2]!.nll! - nll[2]!)).toBeGreaterThan(1e-4);
  });

  test('with equal text towers, by names in files, and by layer', async () => {
    const { directory, zeroshot, finetuned, options } = await clipProject();
    // The fine-tuned model with the text tower of the zero-shot one, as where the vision tower alone was trained.
    const [base, tuned] = [zeroshot, finetuned].map((path) => readTensors(join(path, 'model.safetensors')));
    const tensors = [...base!.values()].map((tensor) => {
      const text = tensor.name.startsWith('text') || tensor.name === 'logit_scale';
      return { ...tensor, data: (text ? tensor : tuned!.get(tensor.name)!).data };
    });
    await rm(join(finetuned, 'model.safetensors'));
    await writeSafetensors(join(finetuned, 'model.safetensors'), tensors as never);
    await writeFile(join(directory, 'names.txt'), names.join('\n'));
    await writeFile(join(directory, 'templates.json'), JSON.stringify(templates));
    const files = {
      classNames: join(directory, 'names.txt'),
      templates: join(directory, 'templates.json'),
    };
    const result = await sweep({
      ...options,
      ...files,
      ...{ search: 'layers', tolerance: 0.25 },
      out: join(directory, 'out'),
    });
    expect(result.config).toMatchObject({ classNames: names, templates });
    const tensorNames = result.layers!.groups.flatMap((group) => group.tensors);
    expect(tensorNames.some((name) => name.startsWith('text'))).toBe(false);
    const { templates: _templates, ...rest } = options;
    const head = join(directory, 'head.safetensors');
    await makeZeroshotHead({ model: zeroshot, classNames: names, templates, out: head });
    const heads = { zeroshot: head, finetuned: head };
    const fixed = await sweep({ ...rest, heads, out: join(directory, 'fixed') });
    expect(fixed.sets.map(({ metrics }) => metrics.map(({ nll, top1 }) => [nll, top1]))).toEqual(
      result.sets.map(({ metrics }) => metrics.map(({ nll, top1 }) => [nll, top1])),
    );
  });

  test('is refused without names, with heads as well, for other networks and too few names', async () => {
    const { directory, options } = await clipProject();
    const code = async (change: Partial<SweepOptions>) =>
      await sweep({ ...options, ...change, out: join(directory, 'no') }).then(
        () => 'none',
        (error) => error.code,
      );
    expect(await code({ classNames: undefined })).toBe('ERR_SWEEP_FILE');
    expect(await code({ heads: { zeroshot: 'a', finetuned: 'b' } })).toBe('ERR_SWEEP_FILE');
    expect(await code({ head: 'head.weight' })).toBe('ERR_SWEEP_FILE');
    expect(await code({ templates: ['a photo'] })).toBe('ERR_USAGE');
    expect(await code({ classNames: names.slice(1) })).toBe('ERR_DATA');
    const vit = await project('vit-tiny');
    expect(await code({ ...vit.options, classNames: names.map((_, c) => `class${c}`), templates })).toBe(
      'ERR_USAGE',
    );
  });
});
