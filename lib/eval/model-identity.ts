import { stat } from 'node:fs/promises';
import { openCheckpoint } from '../checkpoint/checkpoint.js';
import type { SafetensorsFile } from '../checkpoint/safetensors-file.js';

/** Sizes, headers and times of the files: weights that were saved anew are other weights. */
export async function identityOf(paths: readonly string[]): Promise<unknown> {
  return await Promise.all(
    paths.map(async (path) => {
      const { files } = await openCheckpoint(path);
      const identify = async ({ path: file, name, size, headerHash }: SafetensorsFile) => ({
        ...{ name, size, headerHash },
        mtimeMs: (await stat(file)).mtimeMs,
      });
      return await Promise.all(files.map(identify));
    }),
  );
}
