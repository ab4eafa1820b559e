import { join } from 'node:path';
import { beginCall } from '../../call-options.js';
import { readSafetensorsFile } from '../../checkpoint/safetensors-file.js';
import { WisemergeError } from '../../errors.js';
import { makeDirectory } from '../../files/make-directory.js';
import { readTextFile } from '../../files/read-whole.js';
import { type Check, checkOptions, text } from '../../merge/option-checks.js';
import type { SetSource } from '../data/evaluation-set.js';
import { FeatureFile, replaceText } from './feature-file.js';
import { featureKey } from './feature-key.js';
import { type CorruptImage, ImageLoader, type ImageLoaderOptions } from './image-loader.js';
import type { ImageSet } from './image-set.js';
import {
  checkEncoder,
  count,
  imageEncoder,
  imageSet,
  imageTransform,
  onCorrupt as onCorruptCheck,
} from './option-checks.js';
import { type ImageTransform, outputSize } from './transform.js';

/** What turns images into features. */
export interface ImageEncoder {
  /** Changes when the features do: a hash of the weights, the name and version of the program. */
  readonly identity: string;
  /** Features per image. */
  readonly dimension: number;
  /** Most images per call. Default 32. */
  readonly batch?: number;
  /**
   * Where it wants its images, [batch, 3, height, width] each: views of an arena, for instance. Two take turns, so
   * that one is filled while the other is encoded. Default: two of their own.
   */
  readonly inputs?: readonly [Float32Array, Float32Array?];
  /** Features [count, dimension] of the first `count` images of `pixels`, [count, 3, height, width]. */
  encode(pixels: Float32Array, count: number, signal?: AbortSignal): Promise<Float32Array>;
}

export interface FeatureProgress {
  readonly imagesDone: number;
  readonly imagesTotal: number;
  readonly imagesPerSec: number;
}

export interface CachedFeaturesOptions
  extends Partial<Pick<ImageLoaderOptions, 'threads' | 'onCorrupt' | 'signal'>> {
  readonly dataset: ImageSet;
  readonly transform: ImageTransform;
  readonly encoder: ImageEncoder;
  /**
   * Where features are kept: `KEY.safetensors`, what each row is in `KEY.jsonl`, and what was left out in `KEY.json`.
   * It is created.
   */
  readonly directory: string;
  /** Ten times a second at most. */
  readonly onProgress?: (progress: FeatureProgress) => void;
}

/** Features of a set of images; `features`, `labels` and `groups` are those of a set to evaluate on. */
export interface CachedFeatures extends Pick<SetSource, 'features' | 'labels' | 'groups'> {
  /** Images encoded: all but the corrupt ones. */
  readonly samples: number;
  readonly corrupt: readonly CorruptImage[];
  /** True if they had been computed before. */
  readonly hit: boolean;
}

const checks: {
  readonly [Option in keyof Required<Omit<CachedFeaturesOptions, 'signal' | 'onProgress'>>]: Check;
} = {
  dataset: imageSet,
  transform: imageTransform,
  encoder: imageEncoder,
  directory: text,
  threads: count,
  onCorrupt: onCorruptCheck,
};

/** A line of `KEY.jsonl`. */
interface SampleRow {
  readonly path: string;
  readonly label: number;
  readonly group?: string;
}

/**
 * The features of a set of images, computed at most once: they are found again as long as images, labels, groups,
 * transform and encoder are the same ({@link featureKey}). A file appears when it is complete; a run that was
 * stopped begins anew.
 *
 * Throws ERR_USAGE, what {@link ImageLoader} throws, ERR_EVALUATION for features of another length or that are not finite,
 * ERR_DATA where no image is left, ERR_IO, and the reason of the signal.
 */
export async function cachedFeatures(options: CachedFeaturesOptions): Promise<CachedFeatures> {
  using _call = beginCall(options);
  const { signal: _signal, onProgress: _onProgress, ...given } = options;
  checkOptions(given, checks, ['dataset', 'transform', 'encoder', 'directory']);
  const { dataset, transform, encoder, directory, onCorrupt = 'error' } = given;
  checkEncoder(encoder);
  const { identity, dimension } = encoder;
  const key = featureKey(dataset, { transform, encoder: identity, dimension, onCorrupt });
  const file = join(directory, `${key}.safetensors`);
  const list = join(directory, `${key}.jsonl`);
  await makeDirectory(directory);
  const found = await corruptOf(file, dimension);
  const corrupt = found ?? (await compute(options, file, list));
  return {
    features: `${file}:features`,
    labels: `${file}:labels`,
    ...(dataset.groups && { groups: `${list}:group` }),
    samples: dataset.files.length - corrupt.length,
    corrupt,
    hit: found !== undefined,
  };
}

/** What a file of features says was left out; undefined if it is not there or not whole. */
async function corruptOf(file: string, dimension: number): Promise<CorruptImage[] | undefined> {
  try {
    const { tensors } = await readSafetensorsFile(file);
    if (tensors.find(({ name }) => name === 'features')?.shape[1] !== dimension) return undefined;
    const summary = JSON.parse(await readTextFile(summaryOf(file))) as { corrupt: CorruptImage[] };
    return summary.corrupt;
  } catch {
    // Not there, or damaged: computed anew, and what stands in the way is said then.
    return undefined;
  }
}

function summaryOf(file: string): string {
  return file.replace(/safetensors$/, 'json');
}

async function compute(
  { dataset, transform, encoder, onProgress, signal, threads, onCorrupt }: CachedFeaturesOptions,
  file: string,
  list: string,
): Promise<readonly CorruptImage[]> {
  const { batch = 32, dimension } = encoder;
  const { width, height } = outputSize(transform);
  const elements = 3 * width * height;
  const own = (): Float32Array => new Float32Array(batch * elements);
  const [first, second = first] = encoder.inputs ?? [own(), own()];
  const report = progressReporter(dataset.files.length, onProgress);
  await using loader = new ImageLoader(dataset, transform, {
    batch,
    ...(threads !== undefined && { threads }),
    ...(onCorrupt && { onCorrupt }),
    ...(signal && { signal }),
  });
  const out = await FeatureFile.create(file, dimension);
  let [input, other] = [first, second];
  let loading = loader.next(input);
  try {
    const rows: number[] = [];
    for (let images = await loading; images; images = await loading) {
      const { indices } = images;
      if (other !== input) loading = ahead(loader, other);
      const pixels = input.subarray(0, indices.length * elements);
      const features = await encoder.encode(pixels, indices.length, signal);
      signal?.throwIfAborted();
      checkFeatures(features, indices, dataset, dimension);
      await out.append(features);
      rows.push(...indices);
      report(rows.length + loader.corrupt.length);
      if (other === input) loading = loader.next(input);
      [input, other] = [other, input];
    }
    if (rows.length === 0) {
      throw new WisemergeError('ERR_DATA', `none of the images of ${dataset.source} can be decoded`, {
        file: dataset.source,
        hint: `The first: ${loader.corrupt[0]?.name}: ${loader.corrupt[0]?.reason}.`,
      });
    }
    // Before the features, whose presence says that everything is there.
    await replaceText(list, rows.map((i) => `${JSON.stringify(sampleRow(dataset, i))}\n`).join(''));
    await replaceText(summaryOf(file), `${JSON.stringify({ corrupt: loader.corrupt })}\n`);
    await out.finish(Int32Array.from(rows, (i) => dataset.labels[i]!));
    return loader.corrupt;
  } catch (error) {
    // The memory that it writes to is the caller's again once this throws.
    await loading.catch(() => {});
    await out.discard();
    throw error;
  }
}

/** Its failure is that of the next batch, or of none if this one's is first. */
function ahead(loader: ImageLoader, into: Float32Array): ReturnType<ImageLoader['next']> {
  const loading = loader.next(into);
  loading.catch(() => {});
  return loading;
}

function sampleRow({ files, labels, groups }: ImageSet, i: number): SampleRow {
  const group = groups?.names[groups.ids[i]!];
  return { path: files[i]!.name, label: labels[i]!, ...(group !== undefined && { group }) };
}

function checkFeatures(
  features: Float32Array,
  indices: Int32Array,
  { files }: ImageSet,
  dimension: number,
): void {
  if (features.length !== indices.length * dimension) {
    throw new WisemergeError(
      'ERR_EVALUATION',
      `the encoder gave ${features.length} numbers for ${indices.length} images of ${dimension} features`,
      { hint: 'It gives [count, dimension].' },
    );
  }
  const bad = features.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
  const { name, path } = files[indices[Math.floor(bad / dimension)]!]!;
  throw new WisemergeError(
    'ERR_EVALUATION',
    `the encoder gave ${features[bad]} as feature ${bad % dimension} of ${name}`,
    { file: path, hint: 'Check the weights of the encoder for NaN and infinities.' },
  );
}

function progressReporter(total: number, listener: ((progress: FeatureProgress) => void) | undefined) {
  const began = performance.now();
  let reported = Number.NEGATIVE_INFINITY;
  return (done: number): void => {
    const now = performance.now();
    if (!listener || (done < total && now - reported < 100)) return;
    reported = now;
    listener({ imagesDone: done, imagesTotal: total, imagesPerSec: (1000 * done) / (now - began) });
  };
}
