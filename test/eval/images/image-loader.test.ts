// The loader: order, batches, corrupt images, aborts.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { describe, expect, it } from 'vitest';
import { ImageLoader, type ImageLoaderOptions } from '../../../lib/eval/images/image-loader.js';
import { openImageSet } from '../../../lib/eval/images/image-set.js';
import { grey, numbered, small, smallElements } from './support/pictures.js';

interface Loaded {
  readonly batches: number[][];
  /** The grey level of every image, where all of its elements are the same. */
  readonly levels: number[];
  readonly corrupt: readonly { name: string; reason: string }[];
}

async function load(root: string, options: ImageLoaderOptions): Promise<Loaded> {
  const set = await openImageSet({ images: root });
  await using loader = new ImageLoader(set, small, options);
  const into = new Float32Array(options.batch * smallElements);
  const batches: number[][] = [];
  const levels: number[] = [];
  for (;;) {
    const batch = await loader.next(into.fill(Number.NaN));
    if (!batch) return { batches, levels, corrupt: loader.corrupt };
    batches.push([...batch.indices]);
    for (let i = 0; i < batch.indices.length; i++) {
      const values = into.subarray(i * smallElements, (i + 1) * smallElements);
      levels.push(values.every((value) => value === values[0]) ? values[0]! : Number.NaN);
    }
  }
}

const levels = Array.from({ length: 50 }, (_, i) => (i * 37) % 256);
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

describe('a loader', () => {
  it.each([
    { batch: 16, threads: 1 },
    { batch: 16, threads: 3 },
    { batch: 16, threads: 2, ahead: 1 },
    { batch: 16, threads: 4, ahead: 5 },
  ])('gives all images in order with %o', async (options) => {
    const loaded = await load(await numbered(levels), options);
    expect(loaded.batches).toEqual([range(0, 16), range(16, 32), range(32, 48), range(48, 50)]);
    expect(loaded.levels).toEqual(levels);
  });

  it('fails at the first corrupt image by name, whatever is decoded earlier', async () => {
    const root = await numbered(levels);
    const whole = await grey(9);
    writeFileSync(join(root, 'c/0021.png'), whole.subarray(0, whole.length - 20));
    writeFileSync(join(root, 'c/0030.png'), '');
    for (const threads of [1, 4]) {
      await expect(load(root, { batch: 8, threads, ahead: 50 })).rejects.toMatchObject({
        code: 'ERR_DATA',
        message: expect.stringContaining('0021.png cannot be decoded: '),
        file: join(root, 'c/0021.png'),
        details: { index: 21 },
      });
    }
  });

  it('leaves corrupt images out on request, and fills its batches', async () => {
    const root = await numbered(levels);
    for (const name of ['0000', '0020', '0021', '0049'])
      writeFileSync(join(root, `c/${name}.png`), 'no image');
    const loaded = await load(root, { batch: 20, threads: 2, onCorrupt: 'skip' });
    const left = range(1, 49).filter((i) => i !== 20 && i !== 21);
    expect(loaded.batches).toEqual([left.slice(0, 20), left.slice(20, 40), left.slice(40)]);
    expect(loaded.levels).toEqual(left.map((i) => levels[i]));
    expect(loaded.corrupt.map(({ name }) => name)).toEqual(
      ['0000', '0020', '0021', '0049'].map((name) => `c/${name}.png`),
    );
    expect(loaded.corrupt[0]!.reason).toMatch(/unsupported image format/);
  });

  it('notices files that changed or went away, skipping or not', async () => {
    const root = await numbered(levels.slice(0, 3));
    const set = await openImageSet({ images: root });
    const changed = {
      ...set,
      files: set.files.map((file, i) => ({ ...file, size: file.size + (i === 1 ? 1 : 0) })),
    };
    const gone = {
      ...set,
      files: set.files.map((file, i) => ({ ...file, path: file.path + (i === 1 ? 'x' : '') })),
    };
    const into = new Float32Array(3 * smallElements);
    for (const [files, code] of [
      [changed, 'ERR_INPUT_CHANGED'],
      [gone, 'ERR_IO'],
    ] as const) {
      await using loader = new ImageLoader(files, small, { batch: 3, threads: 1, onCorrupt: 'skip' });
      await expect(loader.next(into)).rejects.toMatchObject({ code, file: files.files[1]!.path });
    }
  });

  it('stops when it is told to, with the reason', async () => {
    const set = await openImageSet({ images: await numbered(levels) });
    const reason = new Error('enough');
    const controller = new AbortController();
    await using loader = new ImageLoader(set, small, { batch: 8, threads: 1, signal: controller.signal });
    const into = new Float32Array(8 * smallElements);
    expect(await loader.next(into)).toBeDefined();
    controller.abort(reason);
    await expect(loader.next(into)).rejects.toBe(reason);
    // While it waits for the first image.
    const late = new AbortController();
    await using other = new ImageLoader(set, small, { batch: 8, threads: 1, signal: late.signal });
    const waiting = other.next(into);
    late.abort(reason);
    await expect(waiting).rejects.toBe(reason);
  });

  it('refuses options and memory that do not fit', async () => {
    const set = await openImageSet({ images: await numbered([1]) });
    for (const options of [{ batch: 0 }, { batch: 1, threads: 0 }, { batch: 1, ahead: 0.5 }]) {
      expect(() => new ImageLoader(set, small, options)).toThrow(
        expect.objectContaining({ code: 'ERR_USAGE' }),
      );
    }
    const loader = new ImageLoader(set, small, { batch: 2 });
    await expect(loader.next(new Float32Array(smallElements))).rejects.toMatchObject({
      code: 'ERR_INTERNAL_RANGE',
    });
    await loader.close();
    await expect(loader.next(new Float32Array(2 * smallElements))).rejects.toMatchObject({
      code: 'ERR_INTERNAL',
    });
  });

  it('leaves the event loop free', async () => {
    const set = await openImageSet({ images: await numbered(range(0, 40)) });
    const large = { ...small, resize: { to: 'exact', width: 448, height: 448 } } as const;
    await using loader = new ImageLoader(set, large, { batch: 40, threads: 2 });
    const into = new Float32Array(40 * 3 * 448 * 448);
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    expect((await loader.next(into))?.indices).toHaveLength(40);
    delay.disable();
    // The median: the machine that tests run on may be busy. Decoding here would block for the whole of it.
    expect(delay.percentile(50) / 1e6).toBeLessThan(20);
  });
});
