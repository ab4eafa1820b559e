// Callers without types may pass anything to the functions of images.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  cachedFeatures,
  ImageLoader,
  type ImageSet,
  openImageSet,
  openTrainingImages,
  readImageTransform,
} from '../../../lib/index.js';
import { tempDir } from '../../support/temp.js';
import { small, writeTree } from './support/pictures.js';

type Options = Record<string, unknown>;

/** Where things are, of one test. */
interface Place {
  readonly images: string;
  readonly directory: string;
  readonly dataset: ImageSet;
}

async function place(): Promise<Place> {
  const images = await writeTree({ 'a/1.png': 10, 'b/2.png': 20 });
  return { images, directory: join(await tempDir(), 'cache'), dataset: await openImageSet({ images }) };
}

const encoder = { identity: 'e', dimension: 1, encode: async () => new Float32Array(1) };
const calls: Record<string, { valid: (place: Place) => Options; call: (options: never) => unknown }> = {
  openImageSet: { valid: ({ images }) => ({ images }), call: openImageSet },
  openTrainingImages: { valid: ({ images }) => ({ zeroshot: 'model', images }), call: openTrainingImages },
  cachedFeatures: {
    valid: ({ dataset, directory }) => ({ dataset, transform: small, encoder, directory }),
    call: cachedFeatures,
  },
  ImageLoader: {
    valid: ({ dataset }) => ({ set: dataset, transform: small, batch: 1 }),
    call: ({ set, transform, ...options }: Options) =>
      new ImageLoader(set as ImageSet, transform as typeof small, options as { batch: number }),
  },
};

const wrong: [keyof typeof calls, Options, string][] = [
  ['openImageSet', { classnames: ['a'] }, 'classnames'],
  ['openImageSet', { classNames: 'names.txt' }, 'classNames'],
  ['openImageSet', { images: undefined }, 'images'],
  ['openImageSet', { images: 7 }, 'images'],
  ['openImageSet', { labels: 7 }, 'labels'],
  ['openTrainingImages', { classnames: ['a'] }, 'classnames'],
  ['openTrainingImages', { zeroshot: undefined }, 'zeroshot'],
  ['openTrainingImages', { threads: 0 }, 'threads'],
  ['cachedFeatures', { oncorrupt: 'skip' }, 'oncorrupt'],
  ['cachedFeatures', { onCorrupt: 'leave' }, 'onCorrupt'],
  ['cachedFeatures', { dataset: 'photos' }, 'dataset'],
  ['cachedFeatures', { transform: {} }, 'transform'],
  ['cachedFeatures', { transform: { ...small, resample: 'cubic' } }, 'transform'],
  ['cachedFeatures', { directory: undefined }, 'directory'],
  ['cachedFeatures', { encoder: undefined }, 'encoder'],
  ['cachedFeatures', { encoder: { ...encoder, encode: 1 } }, 'encoder'],
  ['cachedFeatures', { encoder: { ...encoder, dimension: 0 } }, 'encoder.dimension'],
  ['cachedFeatures', { encoder: { ...encoder, batch: 1.5 } }, 'encoder.batch'],
  ['ImageLoader', { set: undefined }, 'set'],
  ['ImageLoader', { transform: { ...small, mean: 0.5 } }, 'transform'],
  ['ImageLoader', { batch: undefined }, 'batch'],
  ['ImageLoader', { batchSize: 2 }, 'batchSize'],
  ['ImageLoader', { onCorrupt: true }, 'onCorrupt'],
  ['ImageLoader', { signal: {} }, 'signal'],
];

describe('options of images', () => {
  it.each(wrong)('%s refuses %j by name', async (name, options, option) => {
    const { valid, call } = calls[name]!;
    const given = valid(await place());
    const run = async () => await call({ ...given, ...options } as never);
    await expect(run()).rejects.toMatchObject({
      code: 'ERR_USAGE',
      message: expect.stringMatching(`^${option.replace('.', '\\.')}: `),
      details: { option },
    });
  });

  it.each(Object.keys(calls))('%s rejects with the reason of an aborted signal', async (name) => {
    const { valid, call } = calls[name]!;
    const reason = new Error('enough');
    const given = valid(await place());
    const run = async () => await call({ ...given, signal: AbortSignal.abort(reason) } as never);
    await expect(run()).rejects.toBe(reason);
  });

  it.each([undefined, 7, '', 'a\0b'])('readImageTransform refuses the path %j', async (path) => {
    await expect(readImageTransform(path as never)).rejects.toMatchObject({ code: 'ERR_USAGE' });
  });
});
