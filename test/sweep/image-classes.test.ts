// Which classes directories and names stand for: those of the network, or none.
import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type SweepOptions, sweep } from '../../lib/sweep/sweep.js';
import { openTrainingImages } from '../../lib/train/training-images.js';
import { classes, project } from '../support/image-project.js';
import { sweepProject } from '../support/sweep-project.js';

const names = Array.from({ length: classes }, (_, c) => `class${c}`);

/** A ViT, sets of all its classes, and one of two of them. */
async function withSubset() {
  const { directory, options } = await project('vit-tiny');
  const subset = join(directory, 'subset');
  await mkdir(subset);
  for (const name of ['class3', 'class7'])
    await cp(join(directory, 'shift', name), join(subset, name), { recursive: true });
  const [val, shift] = options.sets as [SweepOptions['sets'][number], SweepOptions['sets'][number]];
  let runs = 0;
  const attempt = (change: Partial<SweepOptions>) =>
    sweep({ ...options, divergence: false, ...change, out: join(directory, `out${runs++}`) });
  return { directory, options, subset, val, shift, attempt };
}

describe('directories of images', () => {
  test('of some classes need the names of all', async () => {
    const { subset, val, shift, attempt } = await withSubset();
    const sets = [val, { ...shift, images: subset }];
    await expect(attempt({ sets })).rejects.toMatchObject({
      code: 'ERR_DATA_MISMATCH',
      message: `set shift: class3, class7: 2 directories for ${classes} classes`,
      file: subset,
      hint: expect.stringContaining('classNames'),
    });
    const whole = await attempt({ sets: [val, shift], alphas: [0.5], classNames: names });
    const part = await attempt({ sets, alphas: [0.5], classNames: names });
    expect(part.sets[0]!.metrics).toEqual(whole.sets[0]!.metrics);
    expect(part.sets[1]!.samples).toBe(6);
  });

  test('have the same names in all sets', async () => {
    const { directory, val, shift, attempt } = await withSubset();
    const renamed = join(directory, 'renamed');
    for (const [c, name] of names.entries())
      await cp(join(directory, 'shift', name), join(renamed, c === 4 ? 'klasse4' : name), {
        recursive: true,
      });
    await expect(attempt({ sets: [val, { ...shift, images: renamed }] })).rejects.toMatchObject({
      code: 'ERR_DATA_MISMATCH',
      message: 'sets val and shift have different directories: class4, klasse4',
      file: renamed,
    });
  });

  test('train only a network of as many classes', async () => {
    const { options, subset } = await withSubset();
    const given = { zeroshot: options.zeroshot, images: subset };
    await expect(openTrainingImages(given)).rejects.toMatchObject({
      code: 'ERR_DATA_MISMATCH',
      message: `${subset}: class3, class7: 2 directories for ${classes} classes`,
    });
    await using set = await openTrainingImages({ ...given, classNames: names }).then((opened) => ({
      ...opened,
      [Symbol.asyncDispose]: () => opened.close(),
    }));
    expect([...new Set(set.labels)]).toEqual([3, 7]);
    const short = openTrainingImages({ ...given, classNames: names.slice(0, 9) });
    await expect(short).rejects.toMatchObject({ code: 'ERR_DATA_MISMATCH' });
  });
});

describe('names of classes', () => {
  test.each([9, 11])('are as many as the network has classes, not %i', async (count) => {
    const { val, attempt } = await withSubset();
    const classNames = [...names, 'more'].slice(0, count);
    const sets = [{ ...val, images: val.images!.replace(/val$/, 'subset') }];
    await expect(attempt({ sets, classNames })).rejects.toMatchObject({
      code: 'ERR_DATA_MISMATCH',
      message: `set val: there are ${count} class names for ${classes} classes`,
    });
  });

  test.each([5, 7])('are as many as a head has classes, not %i', async (count) => {
    const { directory, options } = await sweepProject();
    const classNames = Array.from({ length: count }, (_, c) => `c${c}`);
    const run = sweep({ ...options, classNames, out: join(directory, 'out') });
    await expect(run).rejects.toMatchObject({
      code: 'ERR_DATA_MISMATCH',
      message: `set "id": there are ${count} class names for 6 classes`,
    });
  });
});
