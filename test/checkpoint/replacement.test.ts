// What becomes of an earlier output when a new one takes its place.
import fs, { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { listFiles } from '../support/models.js';
import { startTime } from '../support/owner.js';
import { alphaOf, besideInputs, failWhileWriting, makePair, mergePair as run } from '../support/pair.js';

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
      join(directory, '.owner.json'),
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

/** Calls `before` before each rename of the library; what it throws is that rename's error. */
function onRename(before: (from: string, to: string) => void): void {
  const { rename } = fs.promises;
  const restore = (): void => {
    fs.promises.rename = rename;
    syncBuiltinESMExports();
  };
  fs.promises.rename = async (from, to) => {
    before(String(from), String(to));
    await rename(from, to);
  };
  syncBuiltinESMExports();
  onTestFinished(restore);
}

describe('a replacement', () => {
  it('keeps an output to which a file was added at the last moment, and says where', async () => {
    const pair = await makePair();
    await run(pair);
    const kept = `${pair.out}.replaced`;
    // Names that are taken already are passed over.
    mkdirSync(kept);
    onRename((_, to) => {
      if (to.endsWith('wisemerge-old')) writeFileSync(join(pair.out, 'results.csv'), 'mine');
    });
    const { warnings } = await run(pair, { alpha: 0.25, force: true });
    expect(alphaOf(pair.out)).toBe(0.25);
    expect(existsSync(join(pair.out, 'results.csv'))).toBe(false);
    expect(besideInputs(pair.root)).toEqual(['out', 'out.replaced', 'out.replaced-2']);
    expect(readFileSync(join(`${kept}-2`, 'results.csv'), 'utf8')).toBe('mine');
    expect(alphaOf(`${kept}-2`)).toBe(0.5);
    expect(warnings).toEqual([expect.stringContaining(`${kept}-2`)]);
    expect(warnings[0]).toContain('results.csv');
  });

  it('of what cannot be removed, such as an output without write permission, is done, and says where that is', async () => {
    const pair = await makePair();
    await run(pair);
    const { rm } = fs.promises;
    fs.promises.rm = async (path, options) => {
      if (!String(path).endsWith('wisemerge-old')) return await rm(path, options);
      throw Object.assign(new Error("EACCES: permission denied, unlink 'x'"), {
        ...{ code: 'EACCES', syscall: 'unlink' },
      });
    };
    onTestFinished(() => {
      fs.promises.rm = rm;
      syncBuiltinESMExports();
    });
    syncBuiltinESMExports();
    const { warnings } = await run(pair, { alpha: 0.25, force: true });
    expect(alphaOf(pair.out)).toBe(0.25);
    expect(alphaOf(`${pair.out}.replaced`)).toBe(0.5);
    expect(warnings).toEqual([
      expect.stringMatching(
        /out\.replaced is the output that was replaced: cannot remove .*: permission denied/,
      ),
    ]);
    expect(besideInputs(pair.root)).toEqual(['out', 'out.replaced']);
  });

  it('that a kill cut after its second rename is completed with the same care', async () => {
    const pair = await makePair();
    await run(pair, { alpha: 0.25 });
    const before = join(pair.root, 'before');
    await run(pair, { out: before });
    writeFileSync(join(before, 'results.csv'), 'mine');
    renameSync(before, join(pair.root, '.out.wisemerge-old'));
    await run(pair, { alpha: 0.75, force: true });
    expect(alphaOf(pair.out)).toBe(0.75);
    expect(besideInputs(pair.root)).toEqual(['out', 'out.replaced']);
    expect(readFileSync(join(`${pair.out}.replaced`, 'results.csv'), 'utf8')).toBe('mine');
  });

  it('whose second rename fails leaves the old output in its place', async () => {
    const pair = await makePair();
    await run(pair);
    onRename((from, to) => {
      if (!from.endsWith('wisemerge-tmp') || to !== pair.out) return;
      throw Object.assign(new Error('EIO: i/o error, rename'), { code: 'EIO', syscall: 'rename' });
    });
    await expect(run(pair, { alpha: 0.25, force: true })).rejects.toMatchObject({ code: 'ERR_IO' });
    expect(alphaOf(pair.out)).toBe(0.5);
    expect(besideInputs(pair.root)).toEqual(['out']);
  });

  it('that can be neither finished nor undone says where the old output is', async () => {
    const pair = await makePair();
    await run(pair);
    onRename((_, to) => {
      if (to !== pair.out) return;
      throw Object.assign(new Error('EIO: i/o error, rename'), { code: 'EIO', syscall: 'rename' });
    });
    const old = join(pair.root, '.out.wisemerge-old');
    await expect(run(pair, { alpha: 0.25, force: true })).rejects.toMatchObject({
      code: 'ERR_IO',
      hint: expect.stringContaining(old),
    });
    expect(alphaOf(old)).toBe(0.5);
  });
});
