import { rm } from 'node:fs/promises';
import { ioError } from '../errors.js';

/** Removes a file, if it is there; a directory of its name stays, and is an error. Throws ERR_IO. */
export async function removeFile(path: string): Promise<void> {
  await rm(path, { force: true }).catch((error) => {
    throw ioError(error, 'remove', path);
  });
}

/** Removes a directory with all that is in it, if it is there. Throws ERR_IO. */
export async function removeDirectory(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true }).catch((error) => {
    throw ioError(error, 'remove', path);
  });
}
