// Features on disk: computed once, found again, and computed anew when anything that decides them changes.
import { readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openEvaluationSet } from '../../../lib/eval/data/evaluation-set.js';
import {
  type CachedFeatures,
  type CachedFeaturesOptions,
  cachedFeatures,
  type FeatureProgress,
  type ImageEncoder,
} from '../../../lib/eval/images/feature-cache.js';
import { openImageSet } from '../../../lib/eval/images/image-set.js';
import { tempDir } from '../../support/temp.js';
import { small, smallElements, writeTree } from './support/pictures.js';

/** Features of an image: its grey level and twice that. Counts its images. */
function doubler(more: Partial<ImageEncoder> = {}): ImageEncoder & { calls: number[] } {
  const calls: number[] = [];
  return {
    identity: 'doubler 1',
    dimension: 2,
    batch: 2,
    calls,
    encode: async (pixels, count) => {
      calls.push(count);
      expect(pixels).toHaveLength(count * smallElements);
      return Float32Array.from(
        { length: 2 * count },
        (_, i) => pixels[(i >> 1) * smallElements]! * (1 + (i % 2)),
      );
    },
    ...more,
  };
}

async function table(): Promise<string> {
  const root = await writeTree({ 'a.png': 10, 'b.png': 20, 'c.png': 30, 'd.png': 40, 'e.png': 50 });
  const rows = ['a,1,x', 'b,0,"y, z"', 'c,1,x', 'd,0,x', 'e,1,"y, z"'];
  writeFileSync(
    join(root, 't.csv'),
    `path,label,group\n${rows.map((row) => row.replace(',', '.png,')).join('\n')}\n`,
  );
  return join(root, 't.csv');
}

type More = Partial<Omit<CachedFeaturesOptions, 'dataset'>>;

async function compute(images: string, directory: string, more: More = {}): Promise<CachedFeatures> {
  const dataset = await openImageSet({ images, groups: images });
  return cachedFeatures({ dataset, transform: small, encoder: doubler(), directory, threads: 2, ...more });
}

async function rowsOf({ features, labels, groups }: CachedFeatures): Promise<unknown> {
  const source = { features, labels, ...(groups !== undefined && { groups }) };
  const set = await openEvaluationSet({ name: 'v', role: 'select', kind: 'id', ...source });
  const into = new Float32Array(set.samples * set.dimension);
  await set.readFeatures(0, set.samples, new Uint8Array(into.buffer));
  await set.close();
  const names = set.groups && [...set.groups.ids].map((id) => set.groups!.names[id]);
  return { features: [...into], labels: [...set.labels], groups: names };
}

describe('an encoder', () => {
  it.each([undefined, '', 7, null])(
    'without an identity, %j, is refused: features of another would be its own',
    async (identity) => {
      const images = await table();
      const directory = join(await tempDir(), 'cache');
      const encoder = doubler({ identity: identity as string });
      await expect(compute(images, directory, { encoder })).rejects.toMatchObject({
        code: 'ERR_USAGE',
        message: 'encoder.identity: must be a non-empty string',
        hint: expect.stringContaining('hash of its weights'),
        details: { option: 'encoder.identity' },
      });
      expect(encoder.calls).toEqual([]);
    },
  );
});

describe('features', () => {
  it('are those of an evaluation set, and found again', async () => {
    const images = await table();
    const directory = join(await tempDir(), 'new', 'cache');
    const encoder = doubler();
    const seen: FeatureProgress[] = [];
    const first = await compute(images, directory, {
      encoder,
      onProgress: (progress) => seen.push(progress),
    });
    expect(first).toMatchObject({ hit: false, samples: 5, corrupt: [] });
    const rows = {
      features: [10, 20, 20, 40, 30, 60, 40, 80, 50, 100],
      labels: [1, 0, 1, 0, 1],
      groups: ['x', 'y, z', 'x', 'x', 'y, z'],
    };
    expect(await rowsOf(first)).toEqual(rows);
    expect(encoder.calls).toEqual([2, 2, 1]);
    expect(seen.at(-1)).toMatchObject({ imagesDone: 5, imagesTotal: 5 });
    const second = await compute(images, directory, { encoder });
    expect(second).toEqual({ ...first, hit: true });
    expect(encoder.calls).toHaveLength(3);
    expect(readdirSync(directory)).toHaveLength(3);
  });

  it('are computed anew when images, labels, transform or encoder change', async () => {
    const images = await table();
    const directory = await tempDir();
    const seen = new Set([(await compute(images, directory)).features]);
    const isNew = async (more: More = {}): Promise<void> => {
      const { hit, features } = await compute(images, directory, more);
      expect(hit).toBe(false);
      expect(seen.has(features)).toBe(false);
      seen.add(features);
      expect(await compute(images, directory, more)).toMatchObject({ hit: true, features });
    };
    await isNew({ transform: { ...small, resample: 'bicubic' } });
    await isNew({ encoder: doubler({ identity: 'doubler 2' }) });
    await isNew({ onCorrupt: 'skip' });
    utimesSync(join(images, '../c.png'), 1, 1);
    await isNew();
    writeFileSync(images, 'path,label,group\na.png,0,x\nb.png,0,x\n');
    await isNew();
    writeFileSync(images, 'path,label,group\na.png,0,x\nb.png,1,x\n');
    await isNew();
    writeFileSync(images, 'path,label,group\na.png,0,x\nb.png,1,y\n');
    await isNew();
    writeFileSync(images, 'path,label,group\nb.png,0,x\na.png,1,y\n');
    await isNew();
  });

  it('leave corrupt images out of rows, labels and groups, and remember them', async () => {
    const images = await table();
    const directory = await tempDir();
    writeFileSync(join(images, '../b.png'), 'no image');
    await expect(compute(images, directory)).rejects.toMatchObject({
      code: 'ERR_DATA',
      file: join(images, '../b.png'),
    });
    expect(readdirSync(directory)).toEqual([]);
    for (const hit of [false, true]) {
      const some = await compute(images, directory, { onCorrupt: 'skip' });
      expect(some).toMatchObject({ hit, samples: 4, corrupt: [{ index: 1, name: 'b.png' }] });
      expect(await rowsOf(some)).toEqual({
        features: [10, 20, 30, 60, 40, 80, 50, 100],
        labels: [1, 1, 0, 1],
        groups: ['x', 'x', 'x', 'y, z'],
      });
    }
    for (const name of 'acde') writeFileSync(join(images, `../${name}.png`), 'no image');
    await expect(compute(images, directory, { onCorrupt: 'skip' })).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('none of the images'),
    });
  });

  it('are not kept when the encoder fails or the run is stopped', async () => {
    const images = await table();
    const directory = await tempDir();
    const encoder = (values: number[]): ImageEncoder =>
      doubler({ encode: async () => Float32Array.from(values) });
    await expect(compute(images, directory, { encoder: encoder([1]) })).rejects.toMatchObject({
      code: 'ERR_EVALUATION',
      message: expect.stringContaining('1 numbers for 2 images of 2 features'),
    });
    await expect(
      compute(images, directory, { encoder: encoder([1, 2, Number.NaN, 4]) }),
    ).rejects.toMatchObject({ code: 'ERR_EVALUATION', file: join(images, '../b.png') });
    const controller = new AbortController();
    const reason = new Error('enough');
    const stopping = doubler();
    const stopped = compute(images, directory, {
      signal: controller.signal,
      encoder: {
        ...stopping,
        encode: (pixels, count) => {
          controller.abort(reason);
          return stopping.encode(pixels, count);
        },
      },
    });
    await expect(stopped).rejects.toBe(reason);
    expect(stopping.calls).toEqual([2]);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('are computed anew where the file is damaged, into the memory that the encoder gives', async () => {
    const images = await table();
    const directory = await tempDir();
    const { features } = await compute(images, directory);
    writeFileSync(features.replace(/:features$/, ''), 'damaged');
    const [one, two] = [new Float32Array(2 * smallElements), new Float32Array(2 * smallElements)];
    const seen: unknown[] = [];
    const base = doubler();
    const into = (inputs: [Float32Array, Float32Array?]): ImageEncoder => ({
      ...base,
      inputs,
      encode: (pixels, count) => {
        seen.push(pixels.buffer);
        return base.encode(pixels, count);
      },
    });
    const again = await compute(images, directory, { encoder: into([one, two]) });
    expect(again).toMatchObject({ hit: false, features });
    const rows = { features: [10, 20, 20, 40, 30, 60, 40, 80, 50, 100], labels: [1, 0, 1, 0, 1] };
    expect(await rowsOf(again)).toMatchObject(rows);
    expect(await rowsOf(await compute(images, await tempDir(), { encoder: into([one]) }))).toMatchObject(
      rows,
    );
    expect(seen).toHaveLength(6);
    expect(seen.every((buffer, i) => buffer === (i === 1 ? two : one).buffer)).toBe(true);
  });
});
