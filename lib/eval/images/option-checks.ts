import { failOption } from '../../call-options.js';
import { type Check, names, oneOf, text, whole } from '../../merge/option-checks.js';
import type { ImageEncoder } from './feature-cache.js';
import type { ImageSource } from './image-set.js';
import type { Resample } from './resample.js';

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null;
const isTriple = (value: unknown): boolean =>
  Array.isArray(value) && value.length === 3 && value.every((one) => typeof one === 'number');

export const imageSource: { readonly [Option in keyof Required<ImageSource>]: Check } = {
  images: text,
  labels: text,
  groups: text,
  classNames: names,
};

export const imageSet: Check = (value) =>
  isObject(value) && Array.isArray(value.files) && value.labels instanceof Int32Array
    ? undefined
    : 'must be a set of images, as openImageSet gives it';

/** Its numbers are checked by `outputSize`. */
export const imageTransform: Check = (value) => {
  if (!isObject(value)) return 'must be an image transform, as readImageTransform gives it';
  const { resize, crop, resample, rescale, mean, std } = value;
  if (resampling(resample) !== undefined) return `resample ${resampling(resample)}`;
  const objects = [resize, crop].every((one) => one === undefined || isObject(one));
  return objects && typeof rescale === 'number' && isTriple(mean) && isTriple(std)
    ? undefined
    : 'must be an image transform: rescale, mean and std of three channels, and resize or crop';
};

const resampling = oneOf(...(['nearest', 'bilinear', 'bicubic', 'lanczos'] satisfies Resample[]));

export const imageEncoder: Check = (value) =>
  isObject(value) && typeof value.encode === 'function'
    ? undefined
    : 'must be an object with identity, dimension and encode';

/** Of numbers of threads and images. */
export const count: Check = whole(1, 65_536);
export const onCorrupt: Check = oneOf('error', 'skip');

/** Fields of an encoder, which may have others of its own. Throws ERR_USAGE naming `encoder.identity` and the like. */
export function checkEncoder({ identity, dimension, batch }: ImageEncoder): void {
  const why = text(identity);
  if (why !== undefined) {
    failOption('encoder.identity', why, 'Give what tells encoders apart, such as a hash of its weights.');
  }
  const sizes = [whole(1)(dimension), batch === undefined ? undefined : count(batch)];
  if (sizes[0] !== undefined) failOption('encoder.dimension', sizes[0]);
  if (sizes[1] !== undefined) failOption('encoder.batch', sizes[1]);
}
