import { rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ioError, WisemergeError } from '../errors.js';
import { readSafetensorsFile } from './safetensors-file.js';
import { type TensorData, writeSafetensors } from './write-safetensors.js';

/** In the metadata of every file written here, under `format`: `wisemerge forward`, … */
const ours = /^wisemerge /;

/**
 * Whether a file may be written to `out`: there is none, or with `force` one of `writeWhole`. Throws
 * ERR_OUTPUT_EXISTS, ERR_OUTPUT_NOT_OURS, ERR_IO.
 */
export async function checkOutputFile(out: string, { force = false } = {}): Promise<void> {
  const there = await stat(out).catch((error) => {
    if (error.code === 'ENOENT') return undefined;
    throw ioError(error, 'look for', out);
  });
  if (!there) return await checkDirectory(out);
  if (!force) {
    throw new WisemergeError('ERR_OUTPUT_EXISTS', `${out} exists`, {
      file: out,
      hint: 'Replace it with force (--force), or write elsewhere.',
    });
  }
  const format = await readSafetensorsFile(out).then(
    ({ metadata }) => metadata.get('format') ?? '',
    () => '',
  );
  if (ours.test(format)) return;
  throw new WisemergeError('ERR_OUTPUT_NOT_OURS', `${out} was not written by wisemerge`, {
    file: out,
    hint: 'Remove it yourself, or write elsewhere.',
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
 * Writes a safetensors file that is complete as soon as it is there, in the place of an earlier one. `format` goes into
 * its metadata. Throws ERR_IO, ERR_NO_SPACE.
 */
export async function writeWhole(
  out: string,
  tensors: readonly TensorData[],
  metadata: { readonly format: string } & Readonly<Record<string, string>>,
): Promise<void> {
  const partial = `${out}.${process.pid}.partial`;
  try {
    await writeSafetensors(partial, tensors, metadata);
    await rename(partial, out).catch((error) => {
      throw ioError(error, 'write', out);
    });
  } catch (error) {
    await rm(partial, { force: true });
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
