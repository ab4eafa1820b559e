import { randomBytes } from 'node:crypto';
import { link, lstat, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { exitCode, ioError, messageOf, WisemergeError } from '../errors.js';
import { removeDirectory } from '../files/remove.js';
import { isLeftover, leftoverNote, lockDirectory } from './directory-lock.js';
import { workName } from './output-place.js';
import { readSafetensorsFile } from './safetensors-file.js';
import { type TensorData, writeSafetensors } from './write-safetensors.js';

/** In the metadata of every file written here, under `format`: `wisemerge forward`, … */
const ours = /^wisemerge /;
/** Of file systems without hard links. */
const noLinks = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

/**
 * Whether a file may be written to `out`: there is none, or with `force` one of `writeWhole`. Throws
 * ERR_OUTPUT_EXISTS, ERR_OUTPUT_NOT_OURS, ERR_IO.
 */
export async function checkOutputFile(out: string, { force = false } = {}): Promise<void> {
  const there = await stat(out).catch((error) => {
    if (error.code === 'ENOENT') return undefined;
    throw ioError(error, 'look for', out);
  });
  if (!there) {
    await refuseLink(out);
    return await checkDirectory(out);
  }
  if (!force) throw exists(out);
  const format = await readSafetensorsFile(out).then(
    ({ metadata }) => metadata.get('format') ?? '',
    (error) => {
      // What cannot be read may well be of wisemerge.
      if (exitCode(error) !== 3) throw error;
      return '';
    },
  );
  if (ours.test(format)) return;
  throw new WisemergeError('ERR_OUTPUT_NOT_OURS', `${out} was not written by wisemerge`, {
    file: out,
    hint: 'Remove it yourself, or write elsewhere.',
  });
}

function exists(out: string): WisemergeError {
  return new WisemergeError('ERR_OUTPUT_EXISTS', `${out} exists`, {
    file: out,
    hint: 'Replace it with force (--force), or write elsewhere.',
  });
}

/** A link that leads nowhere is somebody's all the same. */
async function refuseLink(out: string): Promise<void> {
  const found = await lstat(out).catch(() => undefined);
  if (!found) return;
  throw new WisemergeError('ERR_OUTPUT_EXISTS', `${out} is a link to nowhere`, {
    file: out,
    hint: 'Remove the link, or write elsewhere.',
  });
}

/** A file is made at the end of long work: that its directory is missing is said before. */
async function checkDirectory(out: string): Promise<void> {
  const directory = dirname(out);
  const there = await stat(directory).catch((error) => {
    if (error.code === 'ENOENT') return undefined;
    throw ioError(error, 'look for', directory);
  });
  if (there) return;
  throw new WisemergeError('ERR_IO', `cannot write ${out}: there is no directory ${directory}`, {
    file: out,
    hint: 'Create it, or write elsewhere.',
  });
}

/**
 * Writes a safetensors file that is complete as soon as it is there; with `force` in the place of an earlier one. `format` goes
 * into its metadata. Gives a note for each directory of a killed run that was removed, and for what could not be. Throws
 * ERR_OUTPUT_EXISTS and ERR_OUTPUT_NOT_OURS, as `checkOutputFile` does, where something has appeared there since; ERR_IO, ERR_NO_SPACE.
 */
export async function writeWhole(
  out: string,
  tensors: readonly TensorData[],
  metadata: { readonly format: string } & Readonly<Record<string, string>>,
  { force = false } = {},
): Promise<string[]> {
  // Of this call alone: others may write the same file at the same time.
  const directory = workOf(out, randomBytes(6).toString('hex'));
  const partial = join(directory, basename(out));
  try {
    const notes = await clearLeftovers(out);
    await lockDirectory(directory);
    await writeSafetensors(partial, tensors, metadata);
    await place(partial, out, force);
    // The file is there.
    await removeDirectory(directory).catch((error) => notes.push(messageOf(error)));
    return notes;
  } catch (thrown) {
    await rm(directory, { recursive: true, force: true }).catch(() => {});
    const error = ioError(thrown, 'write', out);
    if (!(error instanceof WisemergeError) || error.file !== partial) throw error;
    // Of the two names the caller knows only one.
    const { code, message, hint, details, cause } = error;
    throw new WisemergeError(code, message.replaceAll(partial, out), {
      file: out,
      cause,
      ...(hint !== undefined && { hint }),
      ...(details && { details }),
    });
  }
}

/** Where a call writes a file. */
function workOf(out: string, call: string): string {
  return workName(`${out}.${call}`);
}

/** Removes what calls of `writeWhole` for the same file left when their processes were killed, as far as that can be done. */
async function clearLeftovers(out: string): Promise<string[]> {
  const parent = dirname(out);
  const notes: string[] = [];
  // A file can be written to a directory that cannot be listed.
  for (const name of await readdir(parent).catch(() => [])) {
    const call = /\.([0-9a-f]{12})\.[^.]+$/.exec(name)?.[1];
    if (call === undefined || name !== basename(workOf(out, call))) continue;
    const directory = join(parent, name);
    // That of a run that may be alive stays, as does somebody's file of this name.
    if (!(await isLeftover(directory).catch(() => false))) continue;
    await removeDirectory(directory).then(
      () => notes.push(leftoverNote(directory)),
      (error) => notes.push(messageOf(error)),
    );
  }
  return notes;
}

/** Gives a file its final name. */
async function place(partial: string, out: string, force: boolean): Promise<void> {
  if (!force && (await linkTo(partial, out))) return;
  // Work may have taken long since the first look.
  await checkOutputFile(out, { force });
  await rename(partial, out).catch((error) => {
    throw ioError(error, 'write', out);
  });
}

/** Unlike a rename, a link never replaces what is there. False where the file system has none. */
async function linkTo(file: string, out: string): Promise<boolean> {
  try {
    await link(file, out);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code === 'EEXIST') throw exists(out);
    if (noLinks.has(code)) return false;
    throw ioError(error, 'write', out);
  }
}
