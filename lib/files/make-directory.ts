import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ioError } from '../errors.js';

/**
 * Creates a directory, and those above it, unless it is there. Throws ERR_IO, ERR_NO_SPACE for the one that cannot be made. Node's
 * own `recursive` says of many failures that there is no such directory, and does not end where that is what the system says of
 * a directory's own parts: in /proc, or below an automounter.
 */
export async function makeDirectory(path: string): Promise<void> {
  if (await isMissingParent(path)) {
    await makeDirectory(dirname(path));
    await make(path);
  }
}

/** Creates the directory, unless the one above it is missing, too. */
async function isMissingParent(path: string): Promise<boolean> {
  try {
    await make(path);
    return false;
  } catch (error) {
    const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    return true;
  }
}

async function make(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const there = await stat(path).catch(() => undefined);
    if (!there?.isDirectory()) throw ioError(error, 'create', path);
  }
}
