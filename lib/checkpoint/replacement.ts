import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { findStrangers, type OwnEntries } from './own-files.js';

/** Where a replaced output is for the instant between two renames. */
export function oldName(target: string): string {
  return join(dirname(target), `.${basename(target)}.wisemerge-old`);
}

/** Completes or undoes a replacement that was cut between its two renames. */
export async function mendReplacement(target: string, ownEntries?: OwnEntries): Promise<void> {
  const old = oldName(target);
  if (!existsSync(old)) return;
  try {
    // Takes the place of an empty directory, too: that was made by whoever missed the output, and is no new one.
    await rename(old, target);
    return;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOTDIR') throw error;
    // A file: the target is refused, and what it would replace stays.
    if (code === 'ENOTDIR') return;
  }
  const isOutput = (await findStrangers(target, await ownEntries?.(target))) !== undefined;
  if (isOutput) await rm(old, { recursive: true, force: true });
}
