// An output appears whole or not at all, and nothing of others is touched.

import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { checkPlace } from '../../lib/checkpoint/output-place.js';
import type { Progress } from '../../lib/index.js';
import { listFiles } from '../support/models.js';
import { alphaOf, besideInputs, failWhileWriting, makePair, mergePair as run } from '../support/pair.js';

describe('an output', () => {
  it('appears with its parent directories, and nothing else does', async () => {
    const pair = await makePair();
    await run(pair, { out: join(pair.root, 'new', 'deep', 'out') });
    expect(besideInputs(pair.root)).toEqual(['new']);
    expect(listFiles(join(pair.root, 'new'))).toContain('deep/out/wisemerge.json');
  });

  it('takes the place of an empty directory', async () => {
    const pair = await makePair();
    mkdirSync(pair.out);
    await run(pair);
    expect(alphaOf(pair.out)).toBe(0.5);
    expect(besideInputs(pair.root)).toEqual(['out']);
  });

  it('that exists is left alone without force', async () => {
    const pair = await makePair();
    await run(pair);
    await expect(run(pair, { alpha: 0.25 })).rejects.toMatchObject({
      code: 'ERR_OUTPUT_EXISTS',
      file: pair.out,
    });
    expect(alphaOf(pair.out)).toBe(0.5);
    expect(besideInputs(pair.root)).toEqual(['out']);
  });

  it('that exists is replaced with force, whole', async () => {
    const pair = await makePair();
    writeFileSync(join(pair.zeroshot, 'stale.json'), '{}');
    await run(pair);
    expect(existsSync(join(pair.out, 'stale.json'))).toBe(true);
    rmSync(join(pair.zeroshot, 'stale.json'));
    await run(pair, { alpha: 0.25, force: true });
    expect(alphaOf(pair.out)).toBe(0.25);
    expect(existsSync(join(pair.out, 'stale.json'))).toBe(false);
    await run(pair, { alpha: [0, 1], force: true });
    expect(besideInputs(pair.root)).toEqual(['out']);
    await run(pair, { alpha: 0.75, force: true });
    expect(alphaOf(pair.out)).toBe(0.75);
  });

  it('is not replaced by a merge that fails', async () => {
    const pair = await makePair();
    await run(pair);
    const onProgress = failWhileWriting;
    await expect(run(pair, { alpha: 0.25, force: true, onProgress })).rejects.toThrow('mid-way');
    expect(alphaOf(pair.out)).toBe(0.5);
    expect(besideInputs(pair.root)).toEqual(['out']);
  });

  it('never replaces a directory of someone else, even with force', async () => {
    const pair = await makePair();
    mkdirSync(pair.out);
    writeFileSync(join(pair.out, 'thesis.tex'), 'x');
    await expect(run(pair, { force: true })).rejects.toMatchObject({ code: 'ERR_OUTPUT_NOT_OURS' });
    await expect(run(pair)).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' });
    expect(readFileSync(join(pair.out, 'thesis.tex'), 'utf8')).toBe('x');
  });

  it.each([
    ['a file of someone else', 'thesis.tex', 'ERR_OUTPUT_EXISTS', {}],
    ['a file of someone else, with force', 'thesis.tex', 'ERR_OUTPUT_NOT_OURS', { force: true }],
    ['another output', 'wisemerge.json', 'ERR_OUTPUT_EXISTS', {}],
  ])('leaves what appears in its place meanwhile: %s', async (_, name, code, options) => {
    const pair = await makePair();
    const onProgress = ({ phase }: Progress): void => {
      if (phase !== 'stream') return;
      mkdirSync(pair.out, { recursive: true });
      writeFileSync(join(pair.out, name), 'x');
    };
    await expect(run(pair, { ...options, onProgress })).rejects.toMatchObject({ code, file: pair.out });
    expect(listFiles(pair.out)).toEqual([name]);
    expect(besideInputs(pair.root)).toEqual(['out']);
  });

  it('never replaces a file', async () => {
    const pair = await makePair();
    writeFileSync(pair.out, 'x');
    await expect(run(pair, { force: true })).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' });
    expect(readFileSync(pair.out, 'utf8')).toBe('x');
  });

  it('leaves an empty directory where it found one if it fails', async () => {
    const pair = await makePair();
    mkdirSync(pair.out);
    const onProgress = failWhileWriting;
    await expect(run(pair, { onProgress })).rejects.toThrow('mid-way');
    expect(besideInputs(pair.root)).toEqual(['out']);
    expect(listFiles(pair.out)).toEqual([]);
  });

  it('that cannot be created is an error that names it', async () => {
    const pair = await makePair();
    writeFileSync(join(pair.root, 'file'), 'x');
    const out = join(pair.root, 'file', 'out');
    await expect(run(pair, { out })).rejects.toMatchObject({ code: 'ERR_IO', file: out });
    // Before long work, too.
    await expect(checkPlace(out, {})).rejects.toMatchObject({ code: 'ERR_IO', file: out });
  });
});

describe('an output behind a symbolic link', () => {
  /** A link to `disk/target`, as from a small disk to a large one. */
  const linked = async () => {
    const pair = await makePair();
    const disk = join(pair.root, 'disk');
    mkdirSync(disk);
    symlinkSync(join('disk', 'target'), pair.out);
    return { pair, disk, target: join(disk, 'target') };
  };

  it('is written where the link points, and the link stays', async () => {
    const { pair, disk, target } = await linked();
    mkdirSync(target);
    await run(pair);
    await run(pair, { alpha: 0.25, force: true });
    expect(lstatSync(pair.out).isSymbolicLink()).toBe(true);
    expect(alphaOf(target)).toBe(0.25);
    expect(readdirSync(disk)).toEqual(['target']);
    expect(besideInputs(pair.root)).toEqual(['disk', 'out']);
  });

  it('that leads nowhere is refused before any work', async () => {
    const { pair, disk, target } = await linked();
    const phases = new Set<string>();
    const onProgress = ({ phase }: Progress) => phases.add(phase);
    await expect(run(pair, { onProgress, force: true })).rejects.toMatchObject({
      code: 'ERR_OUTPUT_EXISTS',
      file: pair.out,
      message: expect.stringContaining(target),
      hint: expect.any(String),
    });
    expect(phases).not.toContain('stream');
    expect(readdirSync(disk)).toEqual([]);
    expect(besideInputs(pair.root)).toEqual(['disk', 'out']);
  });

  it('and that was cut between its two renames is mended', async () => {
    const { pair, disk, target } = await linked();
    mkdirSync(target);
    await run(pair);
    renameSync(target, join(disk, '.target.wisemerge-old'));
    await run(pair, { alpha: 0.25, force: true });
    expect(alphaOf(pair.out)).toBe(0.25);
    expect(readdirSync(disk)).toEqual(['target']);
  });
});

describe('an output that is a mount point', () => {
  it('is refused before any work, as nothing can be renamed to it', async ({ skip }) => {
    const mount = '/dev/shm';
    if (!existsSync(mount) || statSync(mount).dev === statSync('/dev').dev) return skip(`no ${mount}`);
    const pair = await makePair();
    await expect(run(pair, { out: mount, force: true })).rejects.toMatchObject({
      code: 'ERR_OUTPUT_EXISTS',
      file: mount,
      message: expect.stringContaining('mount point'),
      hint: expect.stringContaining(join(mount, 'merged')),
    });
  });

  it('of the same device, too', async ({ skip }) => {
    const pair = await makePair();
    const [elsewhere, mount] = ['elsewhere', 'a mount'].map((name) => join(pair.root, name));
    for (const directory of [elsewhere!, mount!]) mkdirSync(directory);
    try {
      execFileSync('mount', ['--bind', elsewhere!, mount!], { stdio: 'ignore' });
    } catch {
      return skip('a bind mount takes root, on Linux');
    }
    onTestFinished(() => void execFileSync('umount', ['-l', mount!]));
    await expect(run(pair, { out: mount })).rejects.toMatchObject({
      code: 'ERR_OUTPUT_EXISTS',
      file: mount,
      message: expect.stringContaining('mount point'),
    });
    await run(pair, { out: join(mount!, 'merged') });
  });
});

describe('an output that would destroy an input', () => {
  it.each(['x', 'y', '.', 'x/model.safetensors'])('is refused: %j', async (name) => {
    const pair = await makePair();
    await expect(run(pair, { out: join(pair.root, name), force: true })).rejects.toMatchObject({
      code: 'ERR_OUTPUT_IS_INPUT',
    });
    expect(listFiles(pair.zeroshot)).toEqual(['config.json', 'model.safetensors']);
  });

  it('is refused through a symbolic link on either side', async () => {
    const pair = await makePair();
    const link = join(pair.root, 'link');
    symlinkSync(pair.root, link);
    await expect(run(pair, { out: join(link, 'x'), force: true })).rejects.toMatchObject({
      code: 'ERR_OUTPUT_IS_INPUT',
    });
    await expect(
      run(pair, { zeroshot: join(link, 'x'), out: pair.zeroshot, force: true }),
    ).rejects.toMatchObject({
      code: 'ERR_OUTPUT_IS_INPUT',
    });
  });

  it('is refused where it holds the blobs to which an input links', async () => {
    const pair = await makePair();
    const snapshot = join(pair.root, 'snapshot');
    mkdirSync(snapshot);
    symlinkSync(join(pair.zeroshot, 'model.safetensors'), join(snapshot, 'model.safetensors'));
    await expect(run(pair, { zeroshot: snapshot, out: pair.zeroshot, force: true })).rejects.toMatchObject({
      code: 'ERR_OUTPUT_IS_INPUT',
    });
  });

  it('may be replaced where it merely starts with the same name', async () => {
    const pair = await makePair();
    await run(pair, { out: join(pair.root, 'x2') });
    expect(alphaOf(join(pair.root, 'x2'))).toBe(0.5);
  });
});
