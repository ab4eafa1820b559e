import { statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { WisemergeError } from '../errors.js';

/** Of an output's file system, in bytes. */
export interface DiskSpace {
  readonly free: number;
  readonly needed: number;
}

/** Free bytes of the file system that holds, or will hold, `path`. */
export async function freeBytes(path: string): Promise<number> {
  for (let at = resolve(path); ; at = dirname(at)) {
    try {
      const { bavail, bsize } = await statfs(at);
      return bavail * bsize;
    } catch (error) {
      if (dirname(at) === at) throw error;
    }
  }
}

/** Throws ERR_NO_SPACE. */
export function checkSpace(out: string, { free, needed }: DiskSpace): void {
  if (needed <= free) return;
  throw new WisemergeError('ERR_NO_SPACE', `the output needs ${needed} bytes; ${free} are free`, {
    file: out,
    hint: 'Free disk space, give another output directory, or write less at once.',
  });
}
