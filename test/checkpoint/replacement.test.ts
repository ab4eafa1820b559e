// What becomes of an earlier output when a new one takes its place.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { merge, type Progress } from '../../lib/index.js';
import { listFiles } from '../support/models.js';
import { startTime } from '../support/owner.js';
import { besideInputs, makePair, type Pair } from '../support/pair.js';

const run = (pair: Pair, options: object = {}) => {
  const { zeroshot, finetuned, out } = pair;
  return merge({ zeroshot, finetuned, alpha: 0.5, out, ...options });
};

const failWhileWriting = ({ phase }: Progress): void => {
  if (phase === 'stream') throw new Error('mid-way');
};

const alphaOf = (out: string): number => JSON.parse(readFileSync(join(out, 'wisemerge.json'), 'utf8')).alpha;

describe('a replacement cut between its two renames', () => {
  it('is undone by the next run', async () => {
    const pair = await makePair();
    await run(pair);
    renameSync(pair.out, join(pair.root, '.out.wisemerge-old'));
    await expect(run(pair, { alpha: 0.25 })).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' });
    expect(alphaOf(pair.out)).toBe(0.5);
    expect(besideInputs(pair.root)).toEqual(['out']);
  });

  it('is completed by the next run where the new output is in place', async () => {
    const pair = await makePair();
    await run(pair);
    renameSync(pair.out, join(pair.root, '.out.wisemerge-old'));
    await run(pair, { alpha: 0.25, out: join(pair.root, 'new') });
    renameSync(join(pair.root, 'new'), pair.out);
    await run(pair, { alpha: 0.75, force: true });
    expect(alphaOf(pair.out)).toBe(0.75);
    expect(besideInputs(pair.root)).toEqual(['out']);
  });

  it('is not meddled with while the run that replaces still lives', async () => {
    const pair = await makePair();
    await run(pair);
    renameSync(pair.out, join(pair.root, '.out.wisemerge-old'));
    const directory = join(pair.root, '.out.wisemerge-tmp');
    mkdirSync(directory);
    writeFileSync(
      join(directory, 'owner.json'),
      JSON.stringify({ pid: process.pid, host: hostname(), started: startTime(process.pid) }),
    );
    await expect(run(pair)).rejects.toMatchObject({ code: 'ERR_OUTPUT_BUSY' });
    expect(besideInputs(pair.root)).toEqual(['.out.wisemerge-old', '.out.wisemerge-tmp']);
  });

  it('is undone where the user has made the directory again meanwhile', async () => {
    const pair = await makePair();
    await run(pair);
    renameSync(pair.out, join(pair.root, '.out.wisemerge-old'));
    mkdirSync(pair.out);
    const onProgress = failWhileWriting;
    await expect(run(pair, { alpha: 0.25, force: true, onProgress })).rejects.toThrow('mid-way');
    expect(alphaOf(pair.out)).toBe(0.5);
    expect(besideInputs(pair.root)).toEqual(['out']);
  });

  it.each([true, false])(
    'keeps the old output where something else is in its place (force: %s)',
    async (force) => {
      const pair = await makePair();
      await run(pair);
      const old = join(pair.root, '.out.wisemerge-old');
      renameSync(pair.out, old);
      mkdirSync(pair.out);
      writeFileSync(join(pair.out, 'thesis.tex'), 'x');
      const code = force ? 'ERR_OUTPUT_NOT_OURS' : 'ERR_OUTPUT_EXISTS';
      await expect(run(pair, { force })).rejects.toMatchObject({ code });
      expect(alphaOf(old)).toBe(0.5);
      expect(listFiles(pair.out)).toEqual(['thesis.tex']);
    },
  );
});
