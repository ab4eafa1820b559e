import { existsSync } from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ioError, WisemergeError } from '../errors.js';
import { ownDirectory } from './directory-lock.js';
import { findStrangers, type OwnEntries } from './own-files.js';

/** Where a replaced output is for the instant between two renames. */
export function oldName(target: string): string {
  return join(dirname(target), `.${basename(target)}.wisemerge-old`);
}

/** Whether the next run will put back an output that a cut replacement has set aside. */
export async function isSetAside(target: string): Promise<boolean> {
  if (!(await ownDirectory(oldName(target)))) return false;
  const entries = await readdir(target).catch((error) => (error.code === 'ENOENT' ? [] : undefined));
  return entries?.length === 0;
}

/**
 * Completes or undoes a replacement that was cut between its two renames. Gives what `discardOld` gives. Throws
 * ERR_OUTPUT_EXISTS where something else has the name of what was replaced.
 */
export async function mendReplacement(target: string, ownEntries?: OwnEntries): Promise<string | undefined> {
  const old = oldName(target);
  if (!(await ownDirectory(old))) return undefined;
  try {
    // Takes the place of an empty directory, too: that was made by whoever missed the output, and is no new one.
    await rename(old, target);
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOTDIR') throw error;
    // A file: the target is refused, and what it would replace stays.
    if (code === 'ENOTDIR') return undefined;
  }
  const isOutput = (await strangersIn(target, ownEntries)) !== undefined;
  return isOutput ? await discardOld(target, ownEntries) : undefined;
}

/** Gives `directory` the name of an output that is there; where that fails, the output stays. */
export async function replaceOutput(directory: string, target: string): Promise<void> {
  const old = oldName(target);
  await rename(target, old);
  try {
    await rename(directory, target);
  } catch (error) {
    await rename(old, target).catch(() => {
      throw ioError(error, 'commit', target, `The earlier output is in ${old}: rename it to ${target}.`);
    });
    throw error;
  }
}

/**
 * Removes a replaced output. One in which something else lies, written after the last look, and what cannot be removed is
 * kept under another name: gives a note that says so.
 */
export async function discardOld(target: string, ownEntries?: OwnEntries): Promise<string | undefined> {
  const old = oldName(target);
  if (!existsSync(old)) return undefined;
  const strangers = (await strangersIn(old, ownEntries)) ?? (await readdir(old));
  const kept = freeName(target);
  let why = `it holds what wisemerge did not write, such as ${strangers[0]}`;
  if (strangers.length === 0) {
    try {
      await rm(old, { recursive: true, force: true });
      return undefined;
    } catch (error) {
      // The new output is in its place all the same.
      why = ioError(error, 'remove', kept).message;
    }
  }
  await rename(old, kept);
  return `${kept} is the output that was replaced: ${why}`;
}

function freeName(target: string): string {
  const name = `${target}.replaced`;
  for (let i = 1; ; i++) {
    const numbered = i === 1 ? name : `${name}-${i}`;
    if (!existsSync(numbered)) return numbered;
  }
}

/** Undefined for what is no output of one run, too. */
async function strangersIn(directory: string, ownEntries?: OwnEntries): Promise<string[] | undefined> {
  try {
    return await findStrangers(directory, ownEntries && { own: await ownEntries(directory) });
  } catch (error) {
    if (error instanceof WisemergeError && error.code === 'ERR_OUTPUT_NOT_OURS') return undefined;
    throw error;
  }
}
