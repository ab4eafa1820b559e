import { xxh3 } from '@node-rs/xxhash';
import { hexDigest } from '../../hex-digest.js';
import type { ArrayFile } from './array-file.js';
import type { Groups } from './groups.js';

/** Features of up to this many bytes are hashed whole: as many as are read in no time. */
const wholeBytes = 64 * 2 ** 20;

/** Of larger ones the pieces at either end, and as many smaller ones spread evenly between. */
const endBytes = 2 ** 20;
const blockBytes = 64 * 2 ** 10;
const blocks = 64;

/**
 * XXH3-64, 16 hex digits, over shape and dtype of the features, the features themselves (of more than 64 MiB the first
 * and last MiB and 64 blocks between), all labels, and the groups. The features are read as stored, so that the same
 * array has one fingerprint in every format.
 */
export async function fingerprintOf(
  features: ArrayFile,
  labels: Int32Array,
  groups: Groups | undefined,
): Promise<string> {
  const hash = xxh3.Xxh3.withSeed();
  const { dtype, shape, data } = features;
  // Lengths come first, so that no two sets run together into the same bytes.
  const sizes = { dtype, shape, labels: labels.length, groups: groups?.names ?? null };
  hash.update(`${JSON.stringify(sizes)}\n`);
  for (const [first, last] of rangesOf(data.size)) {
    for (let at = first; at < last; at += endBytes) {
      const piece = new Uint8Array(Math.min(endBytes, last - at));
      await data.read(piece, at);
      hash.update(piece);
    }
  }
  hash.update(bytesOf(labels));
  if (groups) hash.update(bytesOf(groups.ids));
  return hexDigest(hash);
}

/** What is hashed of so many bytes, in order. */
function rangesOf(size: number): [first: number, last: number][] {
  if (size <= wholeBytes) return [[0, size]];
  const spread = Array.from({ length: blocks }, (_, k): [number, number] => {
    const at = Math.floor(((k + 0.5) * (size - blockBytes)) / blocks);
    return [at, at + blockBytes];
  });
  return [[0, endBytes], ...spread, [size - endBytes, size]];
}

function bytesOf(values: Int32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
