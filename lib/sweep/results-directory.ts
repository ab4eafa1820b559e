import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { lockDirectory } from '../checkpoint/directory-lock.js';
import { listFiles } from '../checkpoint/own-files.js';
import { ioError, WisemergeError } from '../errors.js';
import { makeDirectory } from '../files/make-directory.js';
import { removeDirectory } from '../files/remove.js';
import { beginningOfJournal, Journal, type JournalKind } from './journal.js';
import { presentOf, previousName, setAside, settlePrevious } from './previous-results.js';

export const journalName = 'journal.jsonl';
const lockName = '.lock';

export interface DirectoryOptions {
  /** Go on where an earlier run of the same configuration stopped. */
  readonly resume?: boolean;
  /** Replace earlier results. */
  readonly force?: boolean;
}

/** What a run leaves in its directory. */
export interface Results {
  readonly kind: JournalKind;
  /** Files and directories beside the journal. */
  readonly names: readonly string[];
  /** Files that a run of this configuration writes to those directories; relative paths. */
  readonly inside?: (config: unknown) => readonly string[];
}

/** Files in the way that a message names. */
const named = 5;

/**
 * Opens the journal of a sweep or soup in `out`, new or gone on with; until it is closed no other run can. `identity` decides
 * the results. With `force` earlier results are there again if nothing was evaluated by then. Throws ERR_OUTPUT_EXISTS,
 * ERR_OUTPUT_NOT_OURS, ERR_OUTPUT_BUSY, ERR_SWEEP_CHANGED, ERR_SWEEP_RESULT, ERR_IO.
 */
export async function openResultsDirectory<Entry>(
  out: string,
  results: Results,
  identity: unknown,
  options: DirectoryOptions,
): Promise<Journal<Entry>> {
  const lock = join(out, lockName);
  const ourNames = [journalName, ...results.names];
  if (
    await stat(out).then(
      (there) => !there.isDirectory(),
      () => false,
    )
  ) {
    throw new WisemergeError('ERR_OUTPUT_EXISTS', `${out} is a file; the output is a directory`, {
      file: out,
      hint: 'Give another output directory (--out).',
    });
  }
  await makeDirectory(out)
    .then(() => lockDirectory(lock))
    .catch((error) => {
      throw ioError(error, 'create', out);
    });
  const unlock = (): Promise<void> => removeDirectory(lock);
  try {
    await refuseOtherKind(out, results.kind);
  } catch (error) {
    await unlock();
    throw error;
  }
  const release = (): Promise<void> => settlePrevious(out, ourNames).finally(unlock);
  try {
    await settlePrevious(out, ourNames);
    return (await openJournal<Entry>(out, results, ourNames, identity, options)).releaseOnClose(release);
  } catch (error) {
    await release();
    throw error;
  }
}

/** Results of another kind have other names: neither replaced nor put back, they would be mixed with these. */
async function refuseOtherKind(out: string, own: JournalKind): Promise<void> {
  for (const directory of [out, join(out, previousName)]) {
    const { kind } = await beginningOfJournal(join(directory, journalName));
    if (kind === undefined || kind === own) continue;
    throw new WisemergeError('ERR_OUTPUT_EXISTS', `${out} holds a ${kind}, not a ${own}`, {
      file: out,
      hint: 'Give another output directory (--out).',
    });
  }
}

async function openJournal<Entry>(
  out: string,
  results: Results,
  ourNames: readonly string[],
  identity: unknown,
  { resume, force }: DirectoryOptions,
): Promise<Journal<Entry>> {
  const { kind } = results;
  const path = join(out, journalName);
  const present = await presentOf(out, ourNames);
  const exists = present.includes(journalName);
  if (exists && resume) return await Journal.resume<Entry>(path, kind, identity);
  if (exists && !force) {
    throw new WisemergeError('ERR_OUTPUT_EXISTS', `${out} holds a ${kind}`, {
      file: out,
      hint: 'Continue it with resume (--resume), replace it with force (--force), or give another output directory (--out).',
    });
  }
  // Without a journal nothing says that they are ours.
  if (!exists && present.length > 0) {
    throw new WisemergeError(
      'ERR_OUTPUT_EXISTS',
      `${out} holds ${present.join(', ')}, but no journal of a ${kind}: that is not an earlier run of wisemerge`,
      { file: out, hint: 'Give another output directory (--out), or move these away.' },
    );
  }
  if (present.length > 0) {
    await refuseStrangers(out, results);
    await setAside(out, ourNames);
  }
  return await Journal.create<Entry>(path, kind, identity);
}

/** What is set aside is deleted in the end. */
async function refuseStrangers(out: string, results: Results): Promise<void> {
  const own = new Set(await ownFiles(out, results));
  const strangers: string[] = [];
  for (const name of results.names) {
    const directory = join(out, name);
    const inside = await listFiles(directory).catch((error) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
      throw ioError(error, 'list', directory);
    });
    strangers.push(...inside.map((file) => join(name, file)).filter((file) => !own.has(file)));
  }
  if (strangers.length === 0) return;
  const more = strangers.length > named ? ` and ${strangers.length - named} more` : '';
  throw new WisemergeError(
    'ERR_OUTPUT_NOT_OURS',
    `${out} holds what the ${results.kind} did not write: ${strangers.slice(0, named).join(', ')}${more}`,
    {
      file: out,
      hint: 'force (--force) replaces what an earlier run wrote, and nothing else. Move the rest elsewhere first.',
      details: { strangers },
    },
  );
}

/** Files that a run has in its directory, or may have; relative paths. */
export async function ownFiles(out: string, { names, inside }: Results): Promise<string[]> {
  const { config } = await beginningOfJournal(join(out, journalName));
  return [journalName, ...names, ...(inside?.(config) ?? [])];
}
