import { rm } from 'node:fs/promises';
import { ioError } from '../errors.js';

/** Removes a file, or a directory with all that is in it, if it is there. Throws ERR_IO. */
export async function remove(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true }).catch((error) => {
    throw ioError(error, 'remove', path);
  });
}
