import { existsSync } from 'node:fs';
import { open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { ioError } from '../errors.js';
import { makeDirectory } from '../files/make-directory.js';
import { syncHandle } from '../files/sync-handle.js';
import { isLeftover, leftoverNote, lockDirectory, ownerName } from './directory-lock.js';
import { checkTarget, findPlace, isWorkName, type PlaceOptions, workName } from './output-place.js';
import { discardOld, mendReplacement, oldName, replaceOutput } from './replacement.js';

/**
 * An output directory that appears whole or not at all.
 *
 * Everything is written to `.NAME.wisemerge-tmp` beside the target, which is also the lock, then renamed. A target that
 * is a symbolic link is the directory to which it points, so that the data goes to the disk that was meant.
 * What a killed run left behind is found by its owner file, reported and removed by the next run. Replacing
 * an existing output moves it aside as `.NAME.wisemerge-old` for the instant between two renames; a crash in
 * that instant is mended by the next run, which removes it only where a finished output has taken its place.
 */
export class OutputTransaction {
  readonly target: string;
  /** Where files are written until `commit`. */
  readonly directory: string;
  /** What became of leftovers, and of the output that was replaced, where that is worth a warning. */
  readonly notes: string[];
  readonly #options: PlaceOptions;
  #open = true;

  private constructor(target: string, directory: string, options: PlaceOptions, notes: string[]) {
    this.target = target;
    this.directory = directory;
    this.#options = options;
    this.notes = notes;
  }

  /**
   * Checks and locks the target. Throws what `checkPlace` does: ERR_OUTPUT_EXISTS (exists and no `force`, a mount point, a link to
   * nowhere) and ERR_OUTPUT_NOT_OURS (`force`, but the directory holds no wisemerge output, or something else beside one);
   * ERR_OUTPUT_BUSY (a live process writes it, or an output in it), ERR_IO.
   */
  static async begin(
    path: string,
    options: PlaceOptions = {},
    signal?: AbortSignal,
  ): Promise<OutputTransaction> {
    try {
      const target = await findPlace(path);
      const directory = workName(target);
      await makeDirectory(dirname(target));
      const cleared = await lockDirectory(directory, signal);
      const notes = cleared === undefined ? [] : [leftoverNote(cleared)];
      try {
        // Under the lock: another run may be replacing the target at this moment, or just have written it.
        const kept = await mendReplacement(target, options.ownEntries);
        if (kept !== undefined) notes.push(kept);
        await checkTarget(target, options);
        await refuseWriters(target);
      } catch (error) {
        await rm(directory, { recursive: true, force: true }).catch(() => {});
        throw error;
      }
      return new OutputTransaction(target, directory, options, notes);
    } catch (error) {
      throw ioError(error, 'prepare', resolve(path));
    }
  }

  /**
   * Makes the directory durable and gives it its final name. Throws ERR_OUTPUT_EXISTS, ERR_OUTPUT_NOT_OURS or
   * ERR_OUTPUT_BUSY, as `begin` does, where something has appeared there meanwhile, which stays; ERR_IO.
   */
  async commit(): Promise<void> {
    const { force, ownEntries } = this.#options;
    try {
      await syncTree(this.directory);
      await checkTarget(this.target, this.#options);
      await refuseWriters(this.target);
      // Last: without its owner the directory looks abandoned to other runs after a few seconds.
      await rm(join(this.directory, ownerName));
      await syncDirectory(this.directory);
      // An empty directory need not move, and one that is no longer empty is an error of this rename.
      if (force && existsSync(this.target)) await replaceOutput(this.directory, this.target);
      else await rename(this.directory, this.target);
      this.#open = false;
      await syncDirectory(dirname(this.target));
      const kept = await discardOld(this.target, ownEntries).catch((error) => {
        // The new output is there.
        const old = oldName(this.target);
        return `${old} is the output that was replaced: ${ioError(error, 'remove', old).message}`;
      });
      if (kept !== undefined) this.notes.push(kept);
    } catch (error) {
      throw ioError(error, 'commit', this.target);
    }
  }

  /** Removes everything written so far. Does nothing after `commit`. What cannot be removed the next run clears. */
  async rollback(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    // Why the run failed is what its caller is to hear.
    await rm(this.directory, { recursive: true, force: true }).catch(() => {});
  }
}

/** Throws ERR_OUTPUT_BUSY where a run writes an output into `target`, such as its next epoch: it would be replaced, too. */
async function refuseWriters(target: string): Promise<void> {
  const names = await readdir(target).catch((error) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  for (const name of names) if (isWorkName(name)) await isLeftover(join(target, name));
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
    await syncHandle(handle);
  } finally {
    await handle.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await syncHandle(handle, 'sync');
  } finally {
    await handle.close();
  }
}
