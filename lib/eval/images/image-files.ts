import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { ioError, WisemergeError } from '../../errors.js';
import type { ImageFile } from './image-set.js';

/** Endings of the files that are decoded, in any case. */
export const imageEndings: readonly string[] = [
  '.jpg',
  '.jpeg',
  '.png',
  '.webp',
  '.gif',
  '.avif',
  '.tif',
  '.tiff',
];

/** Messages list so many names at most. */
export const maxListed = 20;

/** `a, b, …` of at most 20 names. */
export function listed(names: readonly string[]): string {
  return names.slice(0, maxListed).join(', ') + (names.length > maxListed ? ', …' : '');
}

export function endingOf(name: string): string {
  return extname(name).toLowerCase();
}

/** System calls in flight: more only wait for Node's file threads. */
const atOnce = 64;

/**
 * Size and time of every file. Throws ERR_DATA that lists what is missing or not a regular file, and ERR_IO.
 */
export async function statFiles(
  files: readonly { readonly path: string; readonly name: string }[],
  source: string,
): Promise<ImageFile[]> {
  const found: ImageFile[] = new Array(files.length);
  const missing: number[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < files.length) {
      const i = next++;
      const { path, name } = files[i]!;
      try {
        const entry = await stat(path);
        if (entry.isFile()) found[i] = { path, name, size: entry.size, mtimeMs: entry.mtimeMs };
        else missing.push(i);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== 'ENOENT' && code !== 'ENOTDIR') throw ioError(error, 'read', path);
        missing.push(i);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, files.length) }, work));
  if (missing.length === 0) return found;
  const names = missing.sort((a, b) => a - b).map((i) => files[i]!.name);
  throw new WisemergeError(
    'ERR_DATA',
    `${source}: ${names.length} of ${files.length} images are not there: ${listed(names)}`,
    {
      file: files[missing[0]!]!.path,
      hint: 'Paths are relative to the directory or table. Restore the files, or take them out of it.',
      details: { missing: names.slice(0, maxListed), count: names.length },
    },
  );
}
