import { existsSync, readFileSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { ioError, WisemergeError } from '../errors.js';

/** The manifest's name; its presence marks a directory as wisemerge's own. */
export const manifestName = 'wisemerge.json';

const ownerName = 'owner.json';
/** A run writes its owner file this soon after creating its directory. */
const beginningMs = 5000;
/** Removing a leftover takes less than this. */
const clearingMs = 60_000;

interface Owner {
  readonly pid: number;
  readonly host: string;
  /** Kernel start time of the process, so that a reused pid is not taken for the owner. */
  readonly started: string | undefined;
}

/**
 * An output directory that appears whole or not at all.
 *
 * Everything is written to `.NAME.wisemerge-tmp` beside the target, which is also the lock, then renamed.
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
  readonly #old: string;
  #open = true;

  private constructor(target: string, directory: string, old: string, cleared: string | undefined) {
    this.target = target;
    this.directory = directory;
    this.#old = old;
    this.cleared = cleared;
  }

  /**
   * Checks and locks the target. Throws ERR_OUTPUT_EXISTS (exists and no `force`), ERR_OUTPUT_NOT_OURS
   * (`force`, but the directory holds no wisemerge output), ERR_OUTPUT_BUSY (a live process writes it),
   * ERR_IO.
   */
  static async begin(path: string, options: { force?: boolean } = {}): Promise<OutputTransaction> {
    const target = resolve(path);
    const parent = dirname(target);
    const directory = join(parent, `.${basename(target)}.wisemerge-tmp`);
    const old = join(parent, `.${basename(target)}.wisemerge-old`);
    try {
      await mkdir(parent, { recursive: true });
      const cleared = await acquire(directory);
      try {
        // Under the lock: another run may be replacing the target at this moment, or just have written it.
        await mendReplacement(target, old);
        await checkTarget(target, options.force ?? false);
      } catch (error) {
        await rm(directory, { recursive: true, force: true });
        throw error;
      }
      return new OutputTransaction(target, directory, old, cleared);
    } catch (error) {
      throw ioError(error, 'prepare', target);
    }
  }

  /** Makes the directory durable and gives it its final name. */
  async commit(): Promise<void> {
    try {
      await syncTree(this.directory);
      // Last: without its owner the directory looks abandoned to other runs after a few seconds.
      await rm(join(this.directory, ownerName));
      await syncDirectory(this.directory);
      if (existsSync(this.target)) await rename(this.target, this.#old);
      await rename(this.directory, this.target);
      this.#open = false;
      await syncDirectory(dirname(this.target));
      await rm(this.#old, { recursive: true, force: true });
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

/** Completes or undoes a replacement that was cut between its two renames. */
async function mendReplacement(target: string, old: string): Promise<void> {
  if (!existsSync(old)) return;
  if (existsSync(target)) await rm(old, { recursive: true, force: true });
  else await rename(old, target);
}

async function checkTarget(target: string, force: boolean): Promise<void> {
  let entries: string[];
  try {
    entries = await readdir(target);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return;
    if (code === 'ENOTDIR') {
      throw new WisemergeError('ERR_OUTPUT_EXISTS', `${target} is a file; the output is a directory`, {
        file: target,
        hint: 'Give another --out.',
      });
    }
    throw error;
  }
  // An empty directory made by the user is as good as none; `commit` replaces it.
  if (entries.length === 0) return;
  if (!force) {
    throw new WisemergeError('ERR_OUTPUT_EXISTS', `${target} exists`, {
      file: target,
      hint: 'Give another --out, or --force to replace it.',
    });
  }
  if (!holdsOurOutput(target, entries)) {
    throw new WisemergeError(
      'ERR_OUTPUT_NOT_OURS',
      `${target} was not written by wisemerge (no ${manifestName} in it)`,
      {
        file: target,
        hint: '--force replaces earlier outputs of wisemerge only. Remove the directory yourself, or give another --out.',
      },
    );
  }
}

function holdsOurOutput(target: string, entries: string[]): boolean {
  if (entries.includes(manifestName)) return true;
  // What a killed run left behind inside is ours too.
  const outputs = entries.filter((name) => !/^\..*\.wisemerge-(tmp|old)$/.test(name));
  return outputs.length > 0 && outputs.every((name) => existsSync(join(target, name, manifestName)));
}

/** Creates the temporary directory, clearing a dead run's; returns what was cleared. */
async function acquire(directory: string): Promise<string | undefined> {
  let cleared: string | undefined;
  for (;;) {
    if (await create(directory)) {
      await writeFile(join(directory, ownerName), JSON.stringify(thisProcess()));
      return cleared;
    }
    if (!(await isLeftover(directory))) continue;
    // Of several runs that find the same leftover one clears it, and looks again first: the directory may by
    // then be that of a run which was faster.
    const clearing = `${directory}-clearing`;
    if (!(await create(clearing))) {
      if (Date.now() - (await modified(clearing)) < clearingMs) throw busy('another process', directory);
      await rm(clearing, { recursive: true, force: true });
      continue;
    }
    try {
      if (!(await isLeftover(directory))) continue;
      await rm(directory, { recursive: true, force: true });
      cleared = directory;
    } finally {
      await rm(clearing, { recursive: true, force: true });
    }
  }
}

/** False if it exists. */
async function create(directory: string): Promise<boolean> {
  try {
    await mkdir(directory);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** True for a dead run's directory, false if there is none; throws ERR_OUTPUT_BUSY if its run may be alive. */
async function isLeftover(directory: string): Promise<boolean> {
  const since = await modified(directory);
  if (Number.isNaN(since)) return false;
  const owner = await readOwner(directory);
  // No owner file: either its writer was killed, or it is a moment away from writing it.
  if (owner ? !isAlive(owner) : Date.now() - since >= beginningMs) return true;
  throw busy(owner ? `process ${owner.pid} on ${owner.host}` : 'another process', directory);
}

/** Time of the last change of a directory's entries; NaN if it does not exist. */
async function modified(directory: string): Promise<number> {
  try {
    return (await stat(directory)).mtimeMs;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Number.NaN;
    throw error;
  }
}

function busy(who: string, directory: string): WisemergeError {
  return new WisemergeError('ERR_OUTPUT_BUSY', `${who} is writing this output`, {
    file: directory,
    hint: `Wait for it to end. If no such run exists, remove ${directory}.`,
  });
}

async function readOwner(directory: string): Promise<Owner | undefined> {
  try {
    return JSON.parse(await readFile(join(directory, ownerName), 'utf8')) as Owner;
  } catch {
    return undefined;
  }
}

function thisProcess(): Owner {
  return { pid: process.pid, host: hostname(), started: startTime(process.pid) };
}

function isAlive(owner: Owner): boolean {
  // A process of another host cannot be asked; shared storage is the case where clearing would do harm.
  if (owner.host !== hostname()) return true;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  return owner.started === undefined || startTime(owner.pid) === owner.started;
}

/** Field 22 of /proc/PID/stat; undefined elsewhere than on Linux. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
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
