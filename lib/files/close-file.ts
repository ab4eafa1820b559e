import type { FileHandle } from 'node:fs/promises';
import { ioError } from '../errors.js';

/** Closes a file; network file systems tell of failed writes only then. Throws ERR_IO, ERR_NO_SPACE. */
export async function closeFile(handle: FileHandle, path: string): Promise<void> {
  await handle.close().catch((error) => {
    throw ioError(error, 'close', path);
  });
}
