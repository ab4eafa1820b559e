import { existsSync } from 'node:fs';
import { readdir, readlink, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ioError, WisemergeError } from '../errors.js';
import { ownDirectory } from './directory-lock.js';
import { manifestName } from './manifest.js';
import { isMountPoint } from './mount-point.js';
import type { OutputKind } from './output-kind.js';
import { findStrangers, type OwnEntries } from './own-files.js';
import { isSetAside, oldName } from './replacement.js';

/** Files in the way that a message names. */
const named = 5;

/** What may be replaced by an output. */
export interface PlaceOptions {
  readonly force?: boolean;
  /** Of the run: an output of another command is not replaced. */
  readonly kind?: OutputKind;
  /** What in a target is wisemerge's own without a manifest: relative paths of files and outputs. */
  readonly ownEntries?: OwnEntries;
}

/** Where an output is written before it has its name. */
export function workName(target: string): string {
  return join(dirname(target), `.${basename(target)}.wisemerge-tmp`);
}

/** Whether `workName` gives such names. */
export function isWorkName(name: string): boolean {
  return /^\..*\.wisemerge-tmp$/.test(name);
}

/**
 * Whether an output can be at `path`, as `OutputTransaction.begin` checks it. For plans, and before long work: changes nothing, and
 * does not ask whether another run writes there at this moment. Throws ERR_OUTPUT_EXISTS, ERR_OUTPUT_NOT_OURS, ERR_IO.
 */
export async function checkPlace(path: string, options: PlaceOptions): Promise<void> {
  try {
    const target = await findPlace(path);
    await checkTarget(target, options, (await isSetAside(target)) ? oldName(target) : target);
  } catch (error) {
    throw ioError(error, 'look at', resolve(path));
  }
}

/**
 * The directory that an output at `path` becomes. Throws ERR_OUTPUT_EXISTS for a link to nowhere, a mount point, and where
 * something that is no directory has a name that the run needs.
 */
export async function findPlace(path: string): Promise<string> {
  const target = await followLinks(resolve(path));
  await refuseMountPoint(target);
  for (const name of [workName(target), oldName(target)]) await ownDirectory(name);
  return target;
}

/** What a symbolic link finally points to; any other path as it is, so that messages name what was given. */
async function followLinks(path: string): Promise<string> {
  const link = await readlink(path).catch(() => undefined);
  if (link === undefined) return path;
  try {
    return await realpath(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const target = await followLinks(resolve(await realpath(dirname(path)), link));
  // Missing, too, where a replacement was cut: the lock's owner mends that.
  if (existsSync(oldName(target))) return target;
  throw new WisemergeError('ERR_OUTPUT_EXISTS', `${path} is a link to ${target}, which does not exist`, {
    file: path,
    hint: 'Create that directory, remove the link, or give another output directory.',
  });
}

/** Nothing can be renamed to a mount point, which would show only when everything has been written. */
async function refuseMountPoint(target: string): Promise<void> {
  if (!(await isMountPoint(target))) return;
  throw new WisemergeError('ERR_OUTPUT_EXISTS', `${target} is a mount point, which cannot be replaced`, {
    file: target,
    hint: `Give a directory in it, such as ${join(target, 'merged')}.`,
  });
}

/** Throws ERR_OUTPUT_EXISTS or ERR_OUTPUT_NOT_OURS where `target` cannot be replaced. What is in it may be set aside, `at`. */
export async function checkTarget(
  target: string,
  { force = false, kind, ownEntries }: PlaceOptions,
  at = target,
): Promise<void> {
  let entries: string[];
  try {
    entries = await readdir(at);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return;
    if (code === 'ENOTDIR') {
      throw new WisemergeError('ERR_OUTPUT_EXISTS', `${target} is a file; the output is a directory`, {
        file: target,
        hint: 'Give another output directory.',
      });
    }
    throw error;
  }
  // An empty directory made by the user is as good as none; `commit` replaces it.
  if (entries.length === 0) return;
  if (!force) {
    throw new WisemergeError('ERR_OUTPUT_EXISTS', `${target} exists`, {
      file: target,
      hint: 'Give another output directory, or force (--force) to replace it.',
    });
  }
  const strangers = await findStrangers(at, {
    ...(kind && { kind }),
    ...(ownEntries && { own: await ownEntries(at) }),
  });
  if (!strangers) {
    throw new WisemergeError(
      'ERR_OUTPUT_NOT_OURS',
      `${target} was not written by wisemerge (no ${manifestName} in it)`,
      {
        file: target,
        hint: 'force (--force) replaces earlier outputs of wisemerge only. Remove the directory yourself, or give another output directory.',
      },
    );
  }
  if (strangers.length > 0) {
    const more = strangers.length > named ? ` and ${strangers.length - named} more` : '';
    throw new WisemergeError(
      'ERR_OUTPUT_NOT_OURS',
      `${target} holds what wisemerge did not write: ${strangers.slice(0, named).join(', ')}${more}`,
      {
        file: target,
        hint: 'force (--force) replaces earlier outputs of wisemerge only. Move the rest elsewhere first.',
        details: { strangers },
      },
    );
  }
}
