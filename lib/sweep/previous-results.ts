import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ioError } from '../errors.js';
import { readTextFile } from '../files/read-whole.js';

export const previousName = '.wisemerge-previous';

/** What there is in `out` of some files and directories; of these, such as have something in them. Throws ERR_IO. */
export async function presentOf(out: string, names: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const name of names) {
    const path = join(out, name);
    const inside = await readdir(path).catch((error) => {
      if (error.code === 'ENOENT') return [];
      if (error.code === 'ENOTDIR') return [name];
      throw ioError(error, 'look at', path);
    });
    if (inside.length > 0) found.push(name);
  }
  return found;
}

/**
 * Moves earlier results aside, until `settlePrevious`. The journal is the first of `names`: what is aside counts from the moment
 * it is there. Throws ERR_IO.
 */
export async function setAside(out: string, names: readonly string[]): Promise<void> {
  const previous = join(out, previousName);
  try {
    await mkdir(previous, { recursive: true });
    for (const name of names) await moveIfThere(join(out, name), join(previous, name));
  } catch (error) {
    throw ioError(error, 'move', out);
  }
}

/**
 * Deletes the results that were set aside if the run that replaces them has evaluated something, and else puts them back. Called
 * under the lock, at the end of that run or, where it was killed, by the next one. Throws ERR_IO.
 */
export async function settlePrevious(out: string, names: readonly string[]): Promise<void> {
  const previous = join(out, previousName);
  try {
    const aside = await readdir(previous).catch((error) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (!aside) return;
    if (!(await hasEntries(join(out, names[0]!)))) {
      // The journal last: a restoration that is cut off is repeated.
      for (const name of [...names].reverse().filter((one) => aside.includes(one))) {
        await rm(join(out, name), { recursive: true, force: true });
        await rename(join(previous, name), join(out, name));
      }
    }
    await rm(previous, { recursive: true, force: true });
  } catch (error) {
    throw ioError(error, 'restore', out);
  }
}

async function moveIfThere(from: string, to: string): Promise<void> {
  await rename(from, to).catch((error) => {
    if (error.code !== 'ENOENT') throw error;
  });
}

/** Whether a line follows that of the configuration. */
async function hasEntries(journal: string): Promise<boolean> {
  const text = await readTextFile(journal).catch((error) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return text.split('\n').length > 2;
}
