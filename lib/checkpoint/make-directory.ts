import { mkdir } from 'node:fs/promises';
import { ioError } from '../errors.js';

/** Creates a directory, and those above it, unless it is there. Throws ERR_IO, ERR_NO_SPACE. */
export async function makeDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((error) => {
    throw ioError(error, 'create', path);
  });
}
