import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { pickRecords } from '../../lib/sweep/pick-records.js';
import { sweep } from '../../lib/sweep/sweep.js';
import { runCli } from '../support/cli.js';
import { averageShift, grid, imagenet } from '../support/published.js';
import { sweepProject } from '../support/sweep-project.js';
import { tempDir } from '../support/temp.js';

const sets = [
  { name: 'ImageNet', role: 'select', kind: 'id' },
  { name: 'Shifts', role: 'select', kind: 'shift' },
] as const;

/** The curve of ViT-B/16 (Wortsman et al., 2022, table 5), with lines of training epochs as the repository writes. */
function lines(): string[] {
  const record = (k: number) => ({
    alpha: grid[k]!,
    exp_name: 'wiseft',
    lr: 3e-5,
    'ImageNet:top1': imagenet[k]! / 100,
    'Shifts:top1': averageShift[k]! / 100,
  });
  const epoch = { alpha: [0.5], epoch: 3, 'ImageNet:top1': 0.99, 'Shifts:top1': 0.99 };
  return [epoch, ...Array.from(grid, (_, k) => record(k))].map((line) => JSON.stringify(line));
}

const saved = async (name: string, text: string) => {
  const path = join(await tempDir(), name);
  await writeFile(path, text);
  return path;
};

describe('results in the form of the WiSE-FT repository', () => {
  // Expected answers follow from the published table by hand.
  test.each([
    ['max-shift', 0.4],
    ['max-id', 0.65],
    ['max-mean', 0.5],
    ['max-shift:id-within=0.01', 0.5],
    ['fixed:0.5', 0.5],
  ])('%s chooses %d', async (rule, alpha) => {
    // Lines may come in any order.
    const path = await saved('results.jsonl', `${lines().reverse().join('\n')}\n`);
    const { selection, alphas, note } = await pickRecords(path, { sets, rule });
    expect(selection.alpha).toBe(alpha);
    expect(alphas).toEqual([...grid]);
    expect(note).toContain('no interval');
  });

  test('a CSV, other metrics, and sets that are only reported', async () => {
    const path = await saved('r.csv', 'alpha,val,far:F1\n0,0.5,0.9\n0.5,0.7,0.8\n1,0.6,0.1\n');
    const table = [
      { name: 'val', role: 'select', kind: 'id' },
      { name: 'far:F1', role: 'report', kind: 'shift' },
    ] as const;
    const { selection, sets: read } = await pickRecords(path, { sets: table });
    expect(selection.alpha).toBe(0.5);
    expect(read[1]!.accuracy).toEqual([0.9, 0.8, 0.1]);
    await expect(pickRecords(path, { sets: table, rule: 'max-shift' })).rejects.toMatchObject({
      code: 'ERR_REPORT_SET',
    });
  });

  test('of a column twice nobody can say which is meant; others may be', async () => {
    const set = { name: 'val', role: 'select', kind: 'id' } as const;
    for (const [header, name] of [
      ['alpha,val,val', 'val'],
      ['alpha,val,alpha', 'alpha'],
    ]) {
      const path = await saved('r.csv', `${header}\n0,0.5,0.9\n1,0.6,0.1\n`);
      await expect(pickRecords(path, { sets: [set] })).rejects.toMatchObject({
        code: 'ERR_DATA',
        message: `${path} line 2: there is more than one column "${name}"`,
      });
    }
    // Trailing commas of a spreadsheet, and notes.
    const path = await saved('r.csv', 'alpha,val,note,note,,\n0,0.5,a,b,,\n1,0.6,,,,\n');
    expect((await pickRecords(path, { sets: [set] })).selection.alpha).toBe(1);
  });

  test.each([
    ['an alpha twice', [...lines(), lines()[1]!], [...sets], 'max-mean', 'ERR_DATA', 'line 23'],
    ['a set that is not there', lines(), [{ ...sets[0], name: 'Sketch' }], 'max-mean', 'ERR_DATA', 'Sketch'],
    ['no alphas', lines().slice(0, 1), [...sets], 'max-mean', 'ERR_DATA', 'alpha'],
    ['no sets', lines(), [], 'max-mean', 'ERR_USAGE', 'no evaluation sets are given'],
    ['a rule that needs samples', lines(), [...sets], 'one-se', 'ERR_USAGE', ''],
  ])('%s: refused', async (_, text, given, rule, code, message) => {
    const path = await saved('results.jsonl', text.join('\n'));
    await expect(pickRecords(path, { sets: given, rule })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });
});

test('what a sweep records is read back with the same choice', async () => {
  const { directory, options } = await sweepProject();
  const out = join(directory, 'out');
  const { analysis } = await sweep({ ...options, out });
  const { selection } = await pickRecords(join(out, 'results.jsonl'), { sets: options.sets });
  expect(selection).toEqual(analysis.selection);
});

test('wisemerge pick reads a table, and says what it cannot say', async () => {
  const path = await saved('results.jsonl', lines().join('\n'));
  const flags = ['--set', 'ImageNet:select:id', '--set', 'Shifts:select:shift'];
  const picked = await runCli(['pick', path, ...flags, '--rule', 'max-shift']);
  expect(picked.code).toBe(0);
  expect(picked.stdout).toContain('chosen alpha: 0.4');
  expect(picked.stderr).toContain('no interval');
  expect(picked.stderr).toMatch(/to write this model: wisemerge merge --alpha 0\.4 .*\n$/);
  expect((await runCli(['pick', path, '--set', 'ImageNet:id'])).code).toBe(2);
  const unnamed = await runCli(['pick', path]);
  expect(unnamed.code).toBe(2);
  expect(unnamed.stderr).toContain('ImageNet, Shifts');
  expect((await runCli(['pick', '.', ...flags])).code).toBe(2);
});
