import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { effectiveRobustness, fitReferenceLine } from '../../lib/selection/effective-robustness.js';
import { readReferences, robustnessOf } from '../../lib/sweep/references.js';
import { sweep } from '../../lib/sweep/sweep.js';
import { readSweepFile } from '../../lib/sweep/sweep-file.js';
import { resolveSweep, type SweepConfig } from '../../lib/sweep/sweep-options.js';
import { sweepProject } from '../support/sweep-project.js';
import { tempDir } from '../support/temp.js';

const sets = [
  { name: 'val', kind: 'id' as const },
  { name: 'sketch', kind: 'shift' as const },
  { name: 'pose', kind: 'shift' as const },
];
const sigmoid = (y: number) => 1 / (1 + Math.exp(-y));
/** Models on a line of slope 1.1 on sketch, and on none on pose. */
const models = [0, 0.5, 1, 1.5].map((x, i) => ({
  name: `net ${i}`,
  scores: { val: sigmoid(x), sketch: sigmoid(1.1 * x - 1), pose: [0.5, 0.7, 0.3, 0.55][i]! },
}));
const saved = async (name: string, text: string) => {
  const path = join(await tempDir(), name);
  await writeFile(path, text);
  return path;
};

describe('reference models', () => {
  test('from CSV, from records of the WiSE-FT repository, and from the sweep file are the same', async () => {
    const rows = models.map(({ name, scores: s }) => `${name},${s.val},x,${s.sketch},${s.pose}`);
    const csv = await saved('models.csv', `name,val,note,sketch:top1,pose\n${rows.join('\n')}\n`);
    const lines = models.map(({ name, scores: s }) =>
      JSON.stringify({
        exp_name: name,
        alpha: [0.5],
        'val:top1': s.val,
        'sketch:top1': s.sketch,
        'pose:top1': s.pose,
      }),
    );
    const jsonl = await saved('models.jsonl', lines.join('\n'));
    expect(await readReferences(csv, sets)).toEqual(models);
    expect(await readReferences(jsonl, sets)).toEqual(models);
    expect(await readReferences(models, sets)).toEqual(models);
  });

  test.each([
    ['m.csv', 'name,val\na,83.5\n', 'ERR_DATA', 'm.csv line 2'],
    ['m.csv', 'name,other\na,0.5\n', 'ERR_DATA', 'no accuracy on any set'],
    ['m.csv', 'name,val\na,0.5,1\n', 'ERR_DATA', 'not a CSV file'],
    ['m.jsonl', '{"name": "a", "val": 0.5}\n[1]\n', 'ERR_DATA', 'm.jsonl line 2'],
    ['m.txt', '', 'ERR_DATA', 'm.txt'],
  ])('%s: %j is refused', async (name, text, code, message) => {
    const path = await saved(name, text);
    const given = readReferences(path, sets);
    await expect(given).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
  });

  test('need sets to compare on, and name only those', async () => {
    const code = { code: 'ERR_SWEEP_FILE' };
    await expect(readReferences(models, sets.slice(0, 1))).rejects.toMatchObject(code);
    await expect(readReferences([{ name: 'a', scores: { far: 1 } }], sets)).rejects.toMatchObject({
      ...code,
      message: expect.stringContaining('far'),
    });
    await expect(readReferences('/nowhere/m.csv', sets)).rejects.toMatchObject({ code: 'ERR_IO' });
  });

  test('give a line per shift, or the reason why not; a model without a score is left out there', () => {
    const partial = [...models, { name: 'partial', scores: { val: 0.6, pose: 0.2 } }];
    const accuracy = [
      [0.6, 0.8, 0.75],
      [0.5, 0.4, 0.6],
      [0.4, 0.5, 0.6],
    ] as const;
    const [sketch, pose, mean] = robustnessOf(partial, sets, accuracy);
    expect(sketch!.models.map(({ name }) => name)).toEqual(models.map(({ name }) => name));
    const logit = (p: number) => Math.log(p / (1 - p));
    const predicted = sigmoid(1.1 * logit(0.75) - 1);
    expect(sketch!.chosen!.rho).toBeCloseTo(0.6 - predicted, 12);
    expect(sketch!.zeroshot!.extrapolated).toBe(false);
    expect(pose).toMatchObject({ set: 'pose', chosen: null, zeroshot: null, line: { fitted: false } });
    expect(pose!.models).toHaveLength(5);
    expect(mean!.set).toBeNull();
    expect(mean!.models[1]!.shift).toBeCloseTo((models[1]!.scores.sketch + 0.7) / 2, 14);
    expect(sketch).toMatchObject({ idSets: ['val'], leftOut: [] });
  });

  test('and the path are averaged over the ID sets that the models have scores for', () => {
    const two = [...sets, { name: 'second', kind: 'id' as const }];
    const accuracy = [
      [0.6, 0.8, 0.75],
      [0.5, 0.4, 0.6],
      [0.4, 0.5, 0.6],
      [0.9, 0.1, 0.2],
    ] as const;
    const known = robustnessOf(models, sets, accuracy.slice(0, 3));
    const left = known.map((one) => ({ ...one, leftOut: ['second'] }));
    expect(robustnessOf(models, two, accuracy)).toEqual(left);
    // Of what one model alone has nothing follows for the others; it counts with what all have.
    const odd = { name: 'odd', scores: { second: 0.5, val: 0.6, sketch: 0.4, pose: 0.5 } };
    const [sketch] = robustnessOf([odd, ...models], two, accuracy);
    expect(sketch).toMatchObject({ idSets: ['val'], leftOut: ['second'] });
    expect(sketch!.models.map(({ id }) => id)).toEqual([0.6, ...models.map(({ scores }) => scores.val)]);
    // Where all have both, the mean is over both.
    const both = models.map(({ name, scores }) => ({ name, scores: { ...scores, second: 0.5 } }));
    const [whole] = robustnessOf(both, two, accuracy);
    expect(whole).toMatchObject({ idSets: ['val', 'second'], leftOut: [] });
    expect(whole!.models[1]!.id).toBeCloseTo((models[1]!.scores.val + 0.5) / 2, 14);
  });
});

test('a sweep with reference models says how robust its models are; a file is relative to the sweep file', async () => {
  const { directory, options } = await sweepProject();
  const out = join(directory, 'out');
  const rows = [0.1, 0.4, 0.8, 1.3].map((x, i) =>
    [`m${i}`, sigmoid(x), sigmoid(x - 0.3), sigmoid(0.9 * x - 0.2)].join(','),
  );
  await writeFile(join(directory, 'models.csv'), ['name,id,far,kept', ...rows].join('\n'));
  const file = join(directory, 'sweep.yml');
  await writeFile(file, JSON.stringify({ ...options, references: 'models.csv' }));
  const config = (await readSweepFile(file)) as SweepConfig;
  expect(resolveSweep(config).references).toBe(join(directory, 'models.csv'));
  const { robustness, sets, analysis } = await sweep({ ...config, out });
  expect(robustness!.map(({ set }) => set)).toEqual(['far', 'kept', null]);
  const { models, line, chosen } = robustness![0]!;
  expect(line).toEqual(fitReferenceLine(models));
  const [id, shift] = sets.map(({ metrics }) => metrics[analysis.selection.index]!.top1);
  if (!line.fitted) throw new Error(line.reason);
  expect(chosen).toEqual(effectiveRobustness(line, { id: id!, shift: shift! }));
  await writeFile(join(directory, 'models.csv'), ['name,id,far,kept', ...rows.slice(1)].join('\n'));
  await expect(sweep({ ...config, out, resume: true })).rejects.toMatchObject({
    code: 'ERR_SWEEP_CHANGED',
    message: expect.stringContaining('references'),
  });
});
