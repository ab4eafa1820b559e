import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readSweepFile, type SweepFile } from '../../lib/sweep/sweep-file.js';
import { resolveSweep, type SweepConfig, sweepJsonSchema } from '../../lib/sweep/sweep-options.js';
import { tempDir } from '../support/temp.js';

const config: SweepConfig = {
  zeroshot: 'a.safetensors',
  finetuned: 'b.safetensors',
  sets: [{ name: 'val', role: 'select', kind: 'id', features: 'x.npy', labels: 'y.npy' }],
};

async function read(text: string): Promise<SweepFile> {
  const path = join(await tempDir(), 'sweep.yml');
  await writeFile(path, text);
  return await readSweepFile(path);
}

describe('resolving', () => {
  test('fills in defaults; alphas ascend and have both ends', () => {
    expect(resolveSweep(config)).toMatchObject({
      rule: 'max-mean',
      repeats: 1,
      replicates: 1000,
      seed: 0,
    });
    expect(resolveSweep(config).alphas).toHaveLength(21);
    expect(resolveSweep({ ...config, alphas: [0.7, 0.2, 0.7] }).alphas).toEqual([0, 0.2, 0.7, 1]);
    expect(resolveSweep({ ...config, memory: '1GiB' }).memory).toBe(2 ** 30);
    expect(resolveSweep({ ...config, memory: 5 }).memory).toBe(5);
    expect(resolveSweep({ ...config, alphas: '-0.5,1.5' }).alphas).toEqual([-0.5, 0, 1, 1.5]);
  });

  test.each<[string, object]>([
    ['sets', { sets: [] }],
    ['folds', { folds: 1 }],
    ['seed', { seed: -1 }],
    ['device', { device: 'gpu' }],
    ['precision', { precision: 'double' }],
    ['sets.0.kind', { sets: [{ ...config.sets[0], kind: 'ood' }] }],
    ['sets.0.name', { sets: [{ ...config.sets[0], name: 'a/b' }] }],
    ['alpha', { alpha: '0:1:0.1' }],
    ['memory: must be bytes, from 1, or text such as 512MiB', { memory: '1G' }],
    ['memory: must be at least 1', { memory: 0 }],
    [
      'no {model} and no {alpha}',
      { command: ['python', 'eval.py'], sets: [{ name: 'a', role: 'select', kind: 'id' }] },
    ],
  ])('%s is named when it is wrong', (key, change) => {
    expect(() => resolveSweep({ ...config, ...change } as SweepConfig)).toThrow(
      expect.objectContaining({ code: 'ERR_SWEEP_FILE', message: expect.stringContaining(key) }),
    );
  });
});

test('limits of numbers are named, each problem on its line', () => {
  expect(() => resolveSweep({ ...config, folds: 1 })).toThrow(
    expect.objectContaining({
      message: 'folds: must be at least 2',
      hint: expect.stringContaining('sweep.md'),
    }),
  );
  expect(() => resolveSweep({ ...config, folds: 256, repeats: 0 })).toThrow(
    expect.objectContaining({
      message: '2 options are wrong\n  - folds: must be at most 255\n  - repeats: must be at least 1',
    }),
  );
});

describe('a sweep file', () => {
  test('has paths relative to itself; JSON is YAML', async () => {
    const path = join(await tempDir(), 'sweep.json');
    await writeFile(path, JSON.stringify({ ...config, zeroshot: '/models/a' }));
    const found = await readSweepFile(path);
    expect(found.zeroshot).toBe('/models/a');
    expect(found.finetuned).toBe(join(path, '..', 'b.safetensors'));
    expect(found.sets[0]!.features).toBe(join(path, '..', 'x.npy'));
  });

  const lines = [
    'zeroshot: a',
    'finetuned: b',
    'sets:',
    '  - { name: val, role: select, kind: id, features: x.npy, labels: y.npy }',
  ];
  test.each([
    ['an unknown key, on its own line', 'alpha: 0.5', 'line 5, column 1: alpha: unknown key'],
    ['one number as alphas', 'alphas: 0.5', 'line 5, column 9: alphas: must be a list of finite numbers'],
    ['an alpha that is no number', 'alphas: [0, .nan]', 'line 5, column 9: alphas: must be a list of finite'],
    ['a rule that there is not', 'rule: best', 'line 5, column 7: rule "best"'],
    ['a list in a list, thousands deep', `x: ${'['.repeat(20_000)}`, 'nested too deeply at line 5'],
    ['the same by indentation', `x:\n  ${'- '.repeat(20_000)}y\nz: 1`, 'nested too deeply at line 6'],
    ['a second document', '---\nzeroshot: c', 'holds more than one document'],
  ])('with %s', async (_what, line, message) => {
    await expect(read([...lines, line].join('\n'))).rejects.toMatchObject({
      code: 'ERR_SWEEP_FILE',
      file: expect.stringMatching(/sweep\.yml$/),
      message: expect.stringContaining(message),
      hint: expect.any(String),
    });
  });

  test('that is not YAML is an error with a line', async () => {
    await expect(read('zeroshot: [a\nsets: }')).rejects.toMatchObject({
      code: 'ERR_SWEEP_FILE',
      message: expect.stringMatching(/line \d+/),
    });
    await expect(read('just text')).rejects.toMatchObject({ code: 'ERR_SWEEP_FILE' });
    await expect(read('')).rejects.toMatchObject({ code: 'ERR_SWEEP_FILE' });
    await expect(readSweepFile('/nowhere/sweep.yml')).rejects.toMatchObject({ code: 'ERR_IO' });
  });
});

test('the schema that is shipped is the one that checks', async () => {
  const shipped = await readFile(new URL('../../schema/sweep.schema.json', import.meta.url), 'utf8');
  expect(JSON.parse(shipped), 'run: npm run schema').toEqual(JSON.parse(JSON.stringify(sweepJsonSchema())));
});
