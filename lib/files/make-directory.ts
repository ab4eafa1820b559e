import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ioError } from '../errors.js';

/**
 * Creates a directory, and those above it, unless it is there. Throws ERR_IO, ERR_NO_SPACE for the one that cannot be made. Node's
 * own `recursive` says of many failures that there is no such directory, and does not end where that is what the system says of
 * a directory's own parts: in /proc, or below an automounter.
 */
export async function makeDirectory(path: string): Promise<void> {
  const error = await make(path);
  if (!error) return;
  if (error.code !== 'ENOENT' || dirname(path) === path) throw ioError(error, 'create', path);
  await makeDirectory(dirname(path));
  const again = await make(path);
  if (again) throw ioError(again, 'create', path);
}

/** Gives why there is no directory afterwards. */
async function make(path: string): Promise<NodeJS.ErrnoException | undefined> {
  try {
    await mkdir(path);
    return undefined;
  } catch (error) {
    const there = await stat(path).catch(() => undefined);
    return there?.isDirectory() ? undefined : (error as NodeJS.ErrnoException);
  }
}
