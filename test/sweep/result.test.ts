import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { writeReport } from '../../lib/report/report.js';
import { pick } from '../../lib/sweep/pick.js';
import { sweep } from '../../lib/sweep/sweep.js';
import { runCli } from '../support/cli.js';
import { sweepProject } from '../support/sweep-project.js';
import { tempDir } from '../support/temp.js';

const head = { format: 'wisemerge-sweep', version: 1 };

async function saved(result: unknown): Promise<string> {
  const directory = join(await tempDir(), 'results');
  await mkdir(directory);
  await writeFile(join(directory, 'sweep.json'), JSON.stringify(result));
  return directory;
}

test('a sweep.json with nothing in it is refused by name of what it lacks', async () => {
  const directory = await saved(head);
  for (const read of [pick, writeReport]) {
    await expect(read(directory)).rejects.toMatchObject({
      code: 'ERR_SWEEP_RESULT',
      file: join(directory, 'sweep.json'),
      message: expect.stringContaining('config: '),
      hint: expect.stringContaining('--resume'),
    });
  }
});

test('the command line names the file too, for pick and for merge', async () => {
  const directory = await saved(head);
  const out = join(await tempDir(), 'out');
  const ends = ['--zeroshot', 'a', '--finetuned', 'b', '--out', out];
  for (const args of [
    ['pick', directory],
    ['merge', ...ends, '--alpha', 'best', '--sweep', directory],
  ]) {
    const { code, stderr } = await runCli(args);
    expect(code).toBe(3);
    expect(stderr).toContain('ERR_SWEEP_RESULT');
    expect(stderr).not.toMatch(/TypeError|^\s+at /m);
  }
});

test('what a sweep writes is read; what was changed by hand is refused by its place', async () => {
  const { directory, options } = await sweepProject();
  const out = join(directory, 'results');
  await sweep({ ...options, out });
  const path = join(out, 'sweep.json');
  const whole = JSON.parse(await readFile(path, 'utf8'));
  await expect(pick(out)).resolves.toMatchObject({ selection: { alpha: expect.any(Number) } });
  const { alphas, sets, analysis } = whole;
  const changes: readonly [string, object][] = [
    ['alphas.1: ', { alphas: [0, 'x', 1] }],
    ['sets.0.metrics', { sets: [{ ...sets[0], metrics: [] }, ...sets.slice(1)] }],
    ['sets.0.outcome: ', { sets: [{ ...sets[0], outcome: 3 }, ...sets.slice(1)] }],
    ['sets: ', { sets: {} }],
    ['analysis.selection.alpha: ', { analysis: { ...analysis, selection: {} } }],
    ['layers.groups: ', { layers: { single: alphas[0] } }],
  ];
  for (const [place, change] of changes) {
    await writeFile(path, JSON.stringify({ ...whole, ...change }));
    await expect(pick(out)).rejects.toMatchObject({
      code: 'ERR_SWEEP_RESULT',
      message: expect.stringContaining(place),
    });
  }
});
