// What a directory holds already: an earlier sweep, or files of the user that have the names of ours.
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { writeReport } from '../../lib/report/report.js';
import { type SweepOptions, sweep } from '../../lib/sweep/sweep.js';
import { sweepProject } from '../support/sweep-project.js';

/** Every file of a directory with its content. */
async function contentsOf(directory: string): Promise<Record<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const contents = await Promise.all(files.sort().map((file) => readFile(file, 'latin1')));
  return Object.fromEntries(files.sort().map((file, i) => [file, contents[i]!]));
}

async function finished() {
  const { directory, options } = await sweepProject();
  const out = join(directory, 'out');
  await sweep({ ...options, out });
  await writeReport(out);
  return { directory, out, options: { ...options, out } satisfies SweepOptions };
}

describe('an earlier sweep', () => {
  test('outlives a forced one that fails before it has evaluated anything', async () => {
    const { out, options } = await finished();
    const before = await contentsOf(out);
    const short = sweep({ ...options, memory: 2 ** 10, force: true });
    await expect(short).rejects.toMatchObject({ code: 'ERR_MEMORY' });
    expect(await contentsOf(out)).toEqual(before);
    // Read under way: the first set has a feature that is no number.
    const [id] = options.sets;
    const file = id!.features!.split(':')[0]!;
    const bytes = await readFile(file);
    bytes.writeUInt32LE(0x7fc00000, 8 + Number(bytes.readBigUInt64LE(0)));
    await writeFile(file, bytes);
    await expect(sweep({ ...options, force: true })).rejects.toMatchObject({ code: 'ERR_DATA' });
    expect(await contentsOf(out)).toEqual(before);
  });

  test('is put back by the next run where the forced one was killed, and gone once that has evaluated', async () => {
    const { out, options } = await finished();
    const before = await contentsOf(out);
    const previous = join(out, '.wisemerge-previous');
    await mkdir(previous);
    for (const name of ['journal.jsonl', 'sweep.json']) await cp(join(out, name), join(previous, name));
    await writeFile(join(out, 'journal.jsonl'), '{"config":{}}\n');
    await expect(sweep(options)).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' });
    expect(await contentsOf(out)).toEqual(before);
    const { alphas } = await sweep({ ...options, alphas: '0:1:0.5', force: true });
    expect(alphas).toEqual([0, 0.5, 1]);
    expect((await readdir(out)).sort()).toEqual(['journal.jsonl', 'outcomes', 'results.jsonl', 'sweep.json']);
  });

  test('is not replaced with what somebody else put among its files', async () => {
    const { out, options } = await finished();
    const mine = [
      'outcomes/01-mine.safetensors',
      'outcomes/notes.txt',
      'plots/accuracy.pdf',
      'plots/talk/one.svg',
    ];
    await mkdir(join(out, 'plots/talk'));
    for (const name of mine) await writeFile(join(out, name), 'precious');
    const before = await contentsOf(out);
    await expect(sweep({ ...options, force: true })).rejects.toMatchObject({
      code: 'ERR_OUTPUT_NOT_OURS',
      file: out,
      message: `${out} holds what the sweep did not write: ${mine.join(', ')}`,
      hint: expect.stringContaining('Move'),
      details: { strangers: mine },
    });
    expect(await contentsOf(out)).toEqual(before);
    await sweep({ ...options, resume: true });
    for (const name of mine) expect(await readFile(join(out, name), 'utf8')).toBe('precious');
    for (const name of mine) await rm(join(out, name));
    await sweep({ ...options, force: true });
  });
});

test.each(['results.jsonl', 'report.html', 'sweep.json', 'plots/mine.svg'])(
  'a file of the user, %s, is not overwritten',
  async (name) => {
    const { directory, options } = await sweepProject();
    const out = join(directory, 'out');
    await mkdir(join(out, 'plots'), { recursive: true });
    await writeFile(join(out, name), 'precious');
    for (const more of [{}, { resume: true }, { force: true }]) {
      await expect(sweep({ ...options, out, ...more })).rejects.toMatchObject({
        code: 'ERR_OUTPUT_EXISTS',
        message: `${out} holds ${name.split('/')[0]}, but no journal of a sweep: that is not an earlier run of wisemerge`,
      });
    }
    expect(await readFile(join(out, name), 'utf8')).toBe('precious');
  },
);
