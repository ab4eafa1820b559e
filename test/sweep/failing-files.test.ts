// Whatever file operation of a sweep fails, the error names the file, and the sweep goes on to the same result.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { sweep } from '../../lib/index.js';
import { writeReport } from '../../lib/report/report.js';
import { failing, failingHandles } from '../support/failing-files.js';
import { sweepProject } from '../support/sweep-project.js';

const resultIn = (out: string): string =>
  readFileSync(join(out, 'sweep.json'), 'utf8').replace(/"seconds": [^,\n]+/g, '');

it.each([
  ['stat', 'far.safetensors', () => failingHandles('stat', /far\.safetensors$/)],
  ['close', 'far.safetensors', () => failingHandles('close', /far\.safetensors$/)],
  ['close', 'journal.jsonl', () => failingHandles('close', /journal\.jsonl$/)],
  ['list', 'sweep.json', () => failing('readdir', /sweep\.json$/)],
  ['remove', '02-far.safetensors.tmp', () => failing('rm', /02-far\.safetensors\.tmp$/)],
  ['remove', '.lock', () => failing('rm', /\.lock$/)],
] as const)('failing to %s %s', async (_, file, fail) => {
  const { directory, options } = await sweepProject();
  const [whole, out] = [join(directory, 'whole'), join(directory, 'out')];
  await sweep({ ...options, out: whole });
  const restore = fail();
  await expect(sweep({ ...options, out })).rejects.toMatchObject({
    code: 'ERR_IO',
    file: expect.stringMatching(new RegExp(`${file}$`)),
  });
  restore();
  // As the hint of a lock that is held says.
  if (file === '.lock') rmSync(join(out, file), { recursive: true });
  await sweep({ ...options, out, resume: true });
  expect(resultIn(out)).toBe(resultIn(whole));
});

it('a report whose directory cannot be made names it', async () => {
  const { directory, options } = await sweepProject();
  const out = join(directory, 'out');
  await sweep({ ...options, out });
  failing('mkdir', /plots$/);
  await expect(writeReport(out)).rejects.toMatchObject({ code: 'ERR_IO', file: join(out, 'plots') });
});
