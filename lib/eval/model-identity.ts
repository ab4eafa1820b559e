import type { Checkpoint } from '../checkpoint/checkpoint.js';

/**
 * What tells a model from others without reading its weights, as JSON: of each file name, size, time of the last
 * change, and the hash of its header.
 */
export function modelIdentity({ files }: Checkpoint): unknown {
  return files.map(({ name, size, mtimeMs, headerHash }) => [name, size, mtimeMs, headerHash]);
}
