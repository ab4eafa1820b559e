import { xxh3 } from '@node-rs/xxhash';
import { hexDigest } from '../../hex-digest.js';
import type { ImageSet } from './image-set.js';
import { describeTransform, type ImageTransform } from './transform.js';

/** Raise it when the same image and transform give other pixels. */
const revision = 1;

/** What decides the rows of features, besides the images. */
export interface FeatureIdentity {
  readonly transform: ImageTransform;
  /** Of the encoder: its weights and program. */
  readonly encoder: string;
  readonly dimension: number;
  readonly onCorrupt: 'error' | 'skip';
}

/**
 * XXH3-64, 16 hex digits, of everything that decides a file of features: names, sizes and times of the images, their
 * labels and groups, the transform and the encoder. An image that is changed without changing size or time is not
 * noticed. Where the directory lies does not matter.
 */
export function featureKey({ files, labels, groups }: ImageSet, identity: FeatureIdentity): string {
  const { transform, encoder, dimension, onCorrupt } = identity;
  const hash = xxh3.Xxh3.withSeed();
  const counts = { revision, images: files.length, groups: groups?.names ?? null };
  const fixed = { ...counts, transform: describeTransform(transform), encoder, dimension, onCorrupt };
  hash.update(`${JSON.stringify(fixed)}\n`);
  for (const { name, size, mtimeMs } of files) hash.update(`${JSON.stringify([name, size, mtimeMs])}\n`);
  for (const values of [labels, groups?.ids]) {
    if (values) hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  return hexDigest(hash);
}
