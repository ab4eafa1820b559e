import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { ioError } from '../errors.js';

/** Of names that lead nowhere, links in a circle among them. */
const absent = new Set(['ENOENT', 'ENOTDIR', 'ELOOP']);

/**
 * What a path leads to; undefined where there is nothing. Throws ERR_IO for what cannot be looked at: it may be there, and to take
 * it for absent would leave it out.
 */
export async function lookAt(path: string): Promise<Stats | undefined> {
  return await stat(path).catch((error) => {
    if (absent.has(error.code)) return undefined;
    throw ioError(error, 'look at', path);
  });
}

/** Whether there is something at a path. Throws ERR_IO. */
export async function isThere(path: string): Promise<boolean> {
  return (await lookAt(path)) !== undefined;
}
