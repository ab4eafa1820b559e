import { constants, type FileHandle, open } from 'node:fs/promises';
import { basename } from 'node:path';
import { ioError, WisemergeError } from '../errors.js';
import { closeFile } from '../files/close-file.js';
import { HostBuffer, parseHeader } from '../native.js';
import { toTensors, type WeightFile } from './weight-file.js';

/** The reference reader's limit on the JSON header, in bytes. */
export const maxHeaderBytes = 100_000_000;
/** Headers above this are refused by the clients of the Hugging Face Hub. */
export const hubHeaderBytes = 25_000_000;

/** How a pointer begins. */
const pointerStart = 'version https://git-lfs';

/** One `.safetensors` file: its header, checked, and where its data lies. */
export interface SafetensorsFile extends WeightFile {
  /** Offset of the byte buffer: 8 + header length. The header's hash is that of the bytes before it. */
  readonly dataStart: number;
}

/**
 * Reads and checks the header of one file; the data is not touched.
 *
 * Throws WisemergeError: ERR_IO, ERR_NOT_A_CHECKPOINT, ERR_SAFETENSORS_TRUNCATED, ERR_SAFETENSORS_HEADER_SIZE and the scanner's
 * ERR_SAFETENSORS_*; each names the file.
 */
export async function readSafetensorsFile(path: string, signal?: AbortSignal): Promise<SafetensorsFile> {
  let handle: FileHandle;
  try {
    // Opening a pipe waits for its writer unless told not to; regular files ignore the flag.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw ioError(error, 'open', path);
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) {
      throw new WisemergeError('ERR_NOT_A_CHECKPOINT', `${path} is not a regular file`, { file: path });
    }
    const headerBytes = await readHeaderLength(handle, path, stat.size);
    const buffer = new HostBuffer(headerBytes);
    try {
      const bytes = buffer.bytes(0, headerBytes);
      await readFully(handle, bytes, 8, path);
      const dataStart = 8 + headerBytes;
      const columns = await parseHeader(buffer, headerBytes, stat.size - dataStart, signal);
      return {
        path,
        name: basename(path),
        size: stat.size,
        mtimeMs: stat.mtimeMs,
        dataStart,
        tensors: toTensors(columns, path, dataStart),
        metadata: new Map(columns.metadata),
        headerHash: columns.xxh3,
      };
    } finally {
      buffer.release();
    }
  } catch (error) {
    throw ioError(error, 'read', path);
  } finally {
    await closeFile(handle, path);
  }
}

async function readHeaderLength(handle: FileHandle, path: string, size: number): Promise<number> {
  if (size < 8) {
    throw new WisemergeError(
      'ERR_SAFETENSORS_TRUNCATED',
      `${path} has ${size} bytes; a safetensors file starts with an 8-byte header length`,
      { file: path, hint: 'The file is empty or cut off: download or save it again.' },
    );
  }
  const prefix = Buffer.alloc(8);
  await readFully(handle, prefix, 0, path);
  const length = prefix.readBigUInt64LE();
  if (length < 2n || length > BigInt(maxHeaderBytes)) {
    await refusePointer(handle, path, size);
    throw new WisemergeError(
      'ERR_SAFETENSORS_HEADER_SIZE',
      `${path} declares a header of ${length} bytes; allowed are 2 to ${maxHeaderBytes}`,
      { file: path, hint: 'This is not a safetensors file, or its first bytes are damaged.' },
    );
  }
  if (8 + Number(length) > size) {
    throw new WisemergeError(
      'ERR_SAFETENSORS_TRUNCATED',
      `${path} declares a header of ${length} bytes but has only ${size - 8} bytes after the length`,
      { file: path, hint: 'The file is cut off: download or save it again.' },
    );
  }
  return Number(length);
}

/** A clone without Git LFS has small texts in place of the files; read as a header length, theirs is absurd. */
async function refusePointer(handle: FileHandle, path: string, size: number): Promise<void> {
  const start = Buffer.alloc(Math.min(size, pointerStart.length));
  await readFully(handle, start, 0, path);
  if (start.toString('latin1') !== pointerStart) return;
  throw new WisemergeError('ERR_NOT_A_CHECKPOINT', `${path} is a pointer of Git LFS, not the file itself`, {
    file: path,
    hint: 'Fetch the file with: git lfs pull',
  });
}

async function readFully(
  handle: FileHandle,
  into: Uint8Array,
  position: number,
  path: string,
): Promise<void> {
  let done = 0;
  while (done < into.byteLength) {
    let bytesRead: number;
    try {
      ({ bytesRead } = await handle.read(into, done, into.byteLength - done, position + done));
    } catch (error) {
      throw ioError(error, 'read', path);
    }
    if (bytesRead === 0) {
      throw new WisemergeError('ERR_INPUT_CHANGED', `${path} became shorter while it was read`, {
        file: path,
      });
    }
    done += bytesRead;
  }
}
