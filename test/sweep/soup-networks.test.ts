// Means of two networks are the middle of a sweep between them, whatever classifies.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { soup } from '../../lib/sweep/soup.js';
import { type SweepOptions, sweep } from '../../lib/sweep/sweep.js';
import { noise } from '../support/heads.js';
import { classes, project } from '../support/image-project.js';
import { tensor, writeStored } from '../support/safetensors.js';
import { clipTokenizer } from '../support/tokenizers.js';

const names = ['cat', 'dog', 'bird', 'kite', 'lamp', 'sun', 'sea', 'hill', 'boat', 'moss'];

/** Both ends and the mean by a soup, against a sweep at 0, 0.5 and 1. */
async function compare(
  directory: string,
  options: Omit<SweepOptions, 'out'>,
  more: { heads?: readonly [string, string] } = {},
): Promise<void> {
  const { zeroshot, finetuned, sets, classNames, templates } = options;
  const [first, second] = more.heads ?? [];
  const heads = first === undefined ? {} : { heads: { zeroshot: first, finetuned: second! } };
  const swept = await sweep({
    ...options,
    ...heads,
    alphas: '0:1:0.5',
    divergence: false,
    out: join(directory, 'sweep'),
  });
  const souped = await soup({
    models: [zeroshot, finetuned],
    ...{ sets, out: join(directory, 'soup'), threads: 2 },
    ...(more.heads && { heads: [...more.heads] }),
    ...(classNames && { classNames }),
    ...(templates && { templates }),
  });
  for (const [s, { uniform, best, name }] of souped.sets.entries()) {
    const at = (k: number) => swept.sets[s]!.metrics[k]!;
    expect(swept.sets[s]!.name).toBe(name);
    expect(uniform.top1).toBe(at(1).top1);
    expect(uniform.nll).toBeCloseTo(at(1).nll!, 6);
    expect(best.nll).toBeCloseTo(at(2 * souped.order[0]!).nll!, 6);
  }
  expect(souped.scores).toEqual([swept.sets[0]!.metrics[0]!.top1, swept.sets[0]!.metrics[2]!.top1]);
}

describe('a soup of two', () => {
  test('ViTs with heads of their own', async () => {
    const { directory, options } = await project('vit-tiny');
    await compare(directory, options);
  });

  test('CLIPs with prompts', async () => {
    const { directory, options } = await project('clip-tiny');
    await writeFile(join(options.zeroshot, 'tokenizer.json'), JSON.stringify(clipTokenizer()));
    const sets = options.sets.map((set) => ({ ...set, images: `${set.images}.csv` }));
    for (const { images } of sets) {
      const folder = images.replace(/\.csv$/, '');
      const rows = names.map((name, c) => `${folder}/class${c}/0.png,${name}`);
      await writeFile(images, `path,label\n${rows.join('\n')}\n`);
    }
    await compare(directory, {
      ...options,
      sets,
      classNames: names,
      templates: ['a cub of {} .', 'one {} .'],
    });
  });

  test('CLIPs with heads in files of their own, which are averaged too', async () => {
    const { directory, options } = await project('clip-tiny');
    const random = noise(4);
    const heads = ['x', 'y'].map((name) => {
      const path = join(directory, `${name}.safetensors`);
      const dimension = 24;
      const weight = Float32Array.from({ length: classes * dimension }, () => random());
      writeStored(path, [tensor('head.weight', 'F32', [classes, dimension], weight)]);
      return path;
    }) as unknown as [string, string];
    await compare(directory, options, { heads });
  });
});
