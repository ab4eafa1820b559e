import { xxh3 } from '@node-rs/xxhash';
import type { ArrayFile } from './array-file.js';
import type { Groups } from './groups.js';

/** Bytes of the features that are hashed at either end. */
const endBytes = 2 ** 20;

/**
 * XXH3-64, 16 hex digits, over shape and dtype of the features, their first and last MiB, all labels, and the
 * groups. The features are read as stored, so that the same array has one fingerprint in every format.
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
  const head = new Uint8Array(Math.min(endBytes, data.size));
  await data.read(head, 0);
  const tail = new Uint8Array(Math.min(endBytes, data.size - head.length));
  await data.read(tail, data.size - tail.length);
  hash.update(head).update(tail).update(bytesOf(labels));
  if (groups) hash.update(bytesOf(groups.ids));
  return hash.digest().toString(16).padStart(16, '0');
}

function bytesOf(values: Int32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
