import { readFileSync, readlinkSync, type Stats } from 'node:fs';
import { lstat, mkdir, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, join } from 'node:path';
import { WisemergeError } from '../errors.js';
import { readTextFile } from '../files/read-whole.js';

/** In a locked directory: whose it is. With a dot, as no file that is copied beside the weights has one. */
export const ownerName = '.owner.json';
/** What earlier versions called it. */
const formerOwnerName = 'owner.json';
/** A run writes its owner file this soon after creating its directory. */
const beginningMs = 5000;
/** Removing a leftover takes less than this. */
const clearingMs = 60_000;

interface Owner {
  readonly pid: number;
  readonly host: string;
  /** The thread of the process, by the kernel's number: a Worker may be terminated while the process goes on. */
  readonly thread?: number | undefined;
  /** Kernel start time of the thread, so that a reused number is not taken for the owner. */
  readonly started: string | undefined;
}

/**
 * Creates a directory that no other run has, clearing a dead run's; returns what was cleared. Whoever has it gives
 * it up by removing it. Throws ERR_OUTPUT_BUSY where a run that may be alive has it, ERR_OUTPUT_EXISTS where something
 * else than a directory is in its place.
 */
export async function lockDirectory(directory: string, signal?: AbortSignal): Promise<string | undefined> {
  let cleared: string | undefined;
  for (;;) {
    signal?.throwIfAborted();
    if (await create(directory)) {
      await writeOwner(directory);
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

async function writeOwner(directory: string): Promise<void> {
  try {
    await writeFile(join(directory, ownerName), JSON.stringify(thisProcess()));
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

/** True for a dead run's directory, false if there is none; throws ERR_OUTPUT_BUSY if its run may be alive. */
export async function isLeftover(directory: string): Promise<boolean> {
  const since = await modified(directory);
  if (Number.isNaN(since)) return false;
  const owner = await readOwner(directory);
  // No owner file: either its writer was killed, or it is a moment away from writing it.
  if (owner ? !isAlive(owner) : Date.now() - since >= beginningMs) return true;
  throw busy(owner ? `process ${owner.pid} on ${owner.host}` : 'another process', directory);
}

/** What is said of a leftover that was removed. */
export function leftoverNote(directory: string): string {
  return `removed ${directory}, left by a run that was killed`;
}

/** Time of the last change of a directory's entries; NaN if it does not exist. */
async function modified(directory: string): Promise<number> {
  return (await ownDirectory(directory))?.mtimeMs ?? Number.NaN;
}

/**
 * A directory by a name that is ours; undefined if it does not exist. Throws ERR_OUTPUT_EXISTS for anything else, a link
 * among them: it leads out of the place that is ours, or nowhere.
 */
export async function ownDirectory(path: string): Promise<Stats | undefined> {
  const there = await lstat(path).catch((error) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (!there || there.isDirectory()) return there;
  throw new WisemergeError(
    'ERR_OUTPUT_EXISTS',
    `${path} is not a directory, but wisemerge needs one of this name while it writes`,
    {
      file: path,
      hint: `Remove ${path}, or give another output directory.`,
    },
  );
}

function busy(who: string, directory: string): WisemergeError {
  return new WisemergeError('ERR_OUTPUT_BUSY', `${who} is writing this output`, {
    file: directory,
    hint: `Wait for it to end. If no such run exists, remove ${directory}.`,
  });
}

async function readOwner(directory: string): Promise<Owner | undefined> {
  for (const name of [ownerName, formerOwnerName]) {
    try {
      const owner = JSON.parse(await readTextFile(join(directory, name))) as Owner;
      // Models have files of the former name, too.
      if (Number.isInteger(owner.pid) && typeof owner.host === 'string') return owner;
    } catch {
      // Not there, or cut.
    }
  }
  return undefined;
}

function thisProcess(): Owner {
  const thread = thisThread();
  return { pid: process.pid, host: hostname(), thread, started: startTime(process.pid, thread) };
}

/** Undefined elsewhere than on Linux. */
function thisThread(): number | undefined {
  try {
    // PID/task/TID, of the thread that asks.
    return Number(basename(readlinkSync('/proc/thread-self')));
  } catch {
    return undefined;
  }
}

function isAlive(owner: Owner): boolean {
  // A process of another host cannot be asked; shared storage is the case where clearing would do harm.
  if (owner.host !== hostname()) return true;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  return owner.started === undefined || startTime(owner.pid, owner.thread) === owner.started;
}

/** Field 22 of /proc/PID/task/TID/stat; undefined for a thread that has ended, and elsewhere than on Linux. */
function startTime(pid: number, thread = pid): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
