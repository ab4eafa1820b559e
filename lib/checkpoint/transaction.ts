import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readlink, realpath, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ioError, WisemergeError } from '../errors.js';
import { lockDirectory, ownerName } from './directory-lock.js';
import { manifestName } from './manifest.js';
import { isMountPoint } from './mount-point.js';
import type { OutputKind } from './output-kind.js';
import { findStrangers } from './own-files.js';

/** Files in the way that a message names. */
const named = 5;

interface BeginOptions {
  readonly force?: boolean;
  /** Of the run: an output of another command is not replaced. */
  readonly kind?: OutputKind;
  /** What in a target is wisemerge's own without a manifest: relative paths of files and outputs. */
  readonly ownEntries?: (target: string) => Promise<readonly string[]>;
}

/**
 * An output directory that appears whole or not at all.
 *
 * Everything is written to `.NAME.wisemerge-tmp` beside the target, which is also the lock, then renamed. A target that
 * is a symbolic link is the directory to which it points, so that the data goes to the disk that was meant.
 * What a killed run left behind is found by its owner file, reported and removed by the next run. Replacing
 * an existing output moves it aside as `.NAME.wisemerge-old` for the instant between two renames; a crash in
 * that instant is mended by the next run.
 */
export class OutputTransaction {
  readonly target: string;
  /** Where files are written until `commit`. */
  readonly directory: string;
  /** The leftover of a killed run that was removed, if there was one. */
  readonly cleared: string | undefined;
  readonly #options: BeginOptions;
  #open = true;

  private constructor(target: string, directory: string, options: BeginOptions, cleared: string | undefined) {
    this.target = target;
    this.directory = directory;
    this.#options = options;
    this.cleared = cleared;
  }

  /**
   * Checks and locks the target. Throws ERR_OUTPUT_EXISTS (exists and no `force`, a mount point, a link to nowhere),
   * ERR_OUTPUT_NOT_OURS (`force`, but the directory holds no wisemerge output, or something else beside one), ERR_OUTPUT_BUSY (a live process writes it), ERR_IO.
   */
  static async begin(path: string, options: BeginOptions = {}): Promise<OutputTransaction> {
    try {
      const target = await followLinks(resolve(path));
      const parent = dirname(target);
      const directory = join(parent, `.${basename(target)}.wisemerge-tmp`);
      await refuseMountPoint(target);
      await mkdir(parent, { recursive: true });
      const cleared = await lockDirectory(directory);
      try {
        // Under the lock: another run may be replacing the target at this moment, or just have written it.
        await mendReplacement(target, oldName(target));
        await checkTarget(target, options);
      } catch (error) {
        await rm(directory, { recursive: true, force: true });
        throw error;
      }
      return new OutputTransaction(target, directory, options, cleared);
    } catch (error) {
      throw ioError(error, 'prepare', resolve(path));
    }
  }

  /**
   * Makes the directory durable and gives it its final name. Throws ERR_OUTPUT_EXISTS or ERR_OUTPUT_NOT_OURS, as `begin`
   * does, where something has appeared there meanwhile, which stays; ERR_IO.
   */
  async commit(): Promise<void> {
    const old = oldName(this.target);
    try {
      await syncTree(this.directory);
      await checkTarget(this.target, this.#options);
      // Last: without its owner the directory looks abandoned to other runs after a few seconds.
      await rm(join(this.directory, ownerName));
      await syncDirectory(this.directory);
      // An empty directory need not move, and one that is no longer empty is an error of this rename.
      if (this.#options.force && existsSync(this.target)) await rename(this.target, old);
      await rename(this.directory, this.target);
      this.#open = false;
      await syncDirectory(dirname(this.target));
      await rm(old, { recursive: true, force: true });
    } catch (error) {
      throw ioError(error, 'commit', this.target);
    }
  }

  /** Removes everything written so far. Does nothing after `commit`. */
  async rollback(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Where a replaced output is for the instant between two renames. */
function oldName(target: string): string {
  return join(dirname(target), `.${basename(target)}.wisemerge-old`);
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

/** Completes or undoes a replacement that was cut between its two renames. */
async function mendReplacement(target: string, old: string): Promise<void> {
  if (!existsSync(old)) return;
  if (existsSync(target)) await rm(old, { recursive: true, force: true });
  else await rename(old, target);
}

/** Throws as `begin` does where an output cannot be. */
export async function checkTarget(
  target: string,
  { force = false, kind, ownEntries }: BeginOptions,
): Promise<void> {
  let entries: string[];
  try {
    entries = await readdir(target);
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
      hint: 'Give another output directory, or --force to replace it.',
    });
  }
  const strangers = await findStrangers(target, {
    ...(kind && { kind }),
    ...(ownEntries && { own: await ownEntries(target) }),
  });
  if (!strangers) {
    throw new WisemergeError(
      'ERR_OUTPUT_NOT_OURS',
      `${target} was not written by wisemerge (no ${manifestName} in it)`,
      {
        file: target,
        hint: '--force replaces earlier outputs of wisemerge only. Remove the directory yourself, or give another output directory.',
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
        hint: '--force replaces earlier outputs of wisemerge only. Move the rest elsewhere first.',
        details: { strangers },
      },
    );
  }
}

async function syncTree(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await syncTree(path);
    else await syncFile(path);
  }
  await syncDirectory(directory);
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
