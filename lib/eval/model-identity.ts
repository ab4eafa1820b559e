import { type Checkpoint, type ModelSource, openCheckpoint } from '../checkpoint/checkpoint.js';

/**
 * What tells a model from others without reading its weights, as JSON: of each file name, size, time of the last
 * change, and the hash of its header.
 */
export function modelIdentity({ files }: Checkpoint): unknown {
  return files.map(({ name, size, mtimeMs, headerHash }) => [name, size, mtimeMs, headerHash]);
}

/** The same of several, by path. Rejects as `openCheckpoint`. */
export async function modelIdentities(paths: readonly ModelSource[]): Promise<unknown[]> {
  return await Promise.all(paths.map(async (path) => modelIdentity(await openCheckpoint(path))));
}
