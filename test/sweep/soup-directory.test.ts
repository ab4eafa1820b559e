// The directory of a soup: whose it is, and what in it is not the soup's.
import { lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type SoupOptions, soup, sweep } from '../../lib/index.js';
import { heads } from '../support/soup-heads.js';

it('is not begun where files have the names of its results, or a link of one leads nowhere', async () => {
  const { options } = await heads();
  let evaluated = 0;
  const evaluate = async () => ({ val: ++evaluated / 100 });
  const sets: SoupOptions['sets'] = [{ name: 'val', role: 'select', kind: 'id' }];
  for (const name of ['soup.json', 'model']) {
    const out = `${options.out}-${name}`;
    mkdirSync(join(out, name === 'model' ? name : ''), { recursive: true });
    writeFileSync(join(out, name === 'model' ? 'model/notes.txt' : name), 'precious');
    for (const force of [false, true]) {
      await expect(soup({ ...options, sets, evaluate, out, force })).rejects.toMatchObject(
        name === 'model'
          ? { code: 'ERR_OUTPUT_NOT_OURS', file: join(out, name) }
          : {
              code: 'ERR_OUTPUT_EXISTS',
              message: `${out} holds ${name}, but no journal of a soup: that is not an earlier run of wisemerge`,
            },
      );
    }
  }
  const out = `${options.out}-linked`;
  mkdirSync(out);
  symlinkSync('nowhere', join(out, 'model'));
  await expect(soup({ ...options, sets, evaluate, out })).rejects.toMatchObject({
    code: 'ERR_OUTPUT_EXISTS',
    file: join(out, 'model'),
  });
  expect(evaluated).toBe(0);
});

it('takes no model from where the soup goes, and leaves a linked directory linked', async () => {
  const { root, options } = await heads();
  const sets: SoupOptions['sets'] = [{ name: 'val', role: 'select', kind: 'id' }];
  const evaluate = async () => ({ val: 0.5 });
  mkdirSync(options.out);
  mkdirSync(join(root, 'disk'));
  symlinkSync(join('..', 'disk'), join(options.out, 'model'));
  await soup({ ...options, sets, evaluate });
  const own = join(options.out, 'model');
  const again = soup({ ...options, sets, evaluate, models: [...options.models, own], force: true });
  await expect(again).rejects.toMatchObject({ code: 'ERR_OUTPUT_IS_INPUT' });
  await soup({ ...options, sets, evaluate, force: true });
  expect(lstatSync(own).isSymbolicLink()).toBe(true);
  expect(readdirSync(join(root, 'disk'))).toContain('model.safetensors');
});

it('neither shares a directory with another run nor takes that of a sweep', async () => {
  const { options } = await heads();
  const sets: SoupOptions['sets'] = [{ name: 'val', role: 'select', kind: 'id' }];
  let second: Promise<unknown> | undefined;
  await soup({
    ...{ ...options, sets },
    evaluate: async () => {
      second ??= soup({ ...options, sets, evaluate: async () => ({ val: 0.5 }), resume: true }).catch(
        (e) => e,
      );
      await second;
      return { val: 0.5 };
    },
  });
  expect(await second).toMatchObject({ code: 'ERR_OUTPUT_BUSY' });
  const sweepOut = `${options.out}-sweep`;
  const [zeroshot, finetuned] = options.models as [string, string];
  await sweep({
    zeroshot,
    finetuned,
    sets,
    alphas: '0:1:1',
    out: sweepOut,
    evaluate: async () => ({ val: 0.5 }),
  });
  const before = readdirSync(sweepOut);
  for (const given of [{}, { force: true }, { resume: true }]) {
    const run = soup({ ...options, ...given, sets, out: sweepOut, evaluate: async () => ({ val: 0.5 }) });
    await expect(run).rejects.toMatchObject({
      code: 'ERR_OUTPUT_EXISTS',
      message: `${sweepOut} holds a sweep, not a soup`,
    });
  }
  expect(readdirSync(sweepOut)).toEqual(before);
});
