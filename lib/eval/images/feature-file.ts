import { type FileHandle, open, rename, rm, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { encodeHeader, type OutputTensor } from '../../checkpoint/layout.js';
import { ioError, WisemergeError } from '../../errors.js';
import { syncHandle } from '../../files/sync-handle.js';

/** Rows of features [N, D] F32 and labels [N] I32 on their way into a safetensors file, N unknown until the end. */
export class FeatureFile {
  readonly #path: string;
  readonly #temporary: string;
  readonly #handle: FileHandle;
  readonly #dimension: number;
  /** Where the features begin. Headers of two tensors take the same page, however many rows there are. */
  readonly #dataStart: number;
  #rows = 0;

  private constructor(
    path: string,
    temporary: string,
    handle: FileHandle,
    dimension: number,
    dataStart: number,
  ) {
    this.#path = path;
    this.#temporary = temporary;
    this.#handle = handle;
    this.#dimension = dimension;
    this.#dataStart = dataStart;
  }

  /** Begins a file that appears at `path` when it is finished. Throws ERR_IO. */
  static async create(path: string, dimension: number): Promise<FeatureFile> {
    const temporary = temporaryName(path);
    const handle = await open(temporary, 'wx').catch((error) => {
      throw ioError(error, 'create', temporary);
    });
    return new FeatureFile(path, temporary, handle, dimension, headerOf(path, 0, dimension).length);
  }

  /** Appends rows of features; a whole number of them. Throws ERR_IO, ERR_NO_SPACE. */
  async append(features: Float32Array): Promise<void> {
    const bytes = new Uint8Array(features.buffer, features.byteOffset, features.byteLength);
    await this.#write(bytes, this.#dataStart + this.#rows * this.#dimension * 4);
    this.#rows += features.length / this.#dimension;
  }

  /** Adds the labels, one per row, and the header, and gives the file its name. Throws ERR_IO, ERR_NO_SPACE. */
  async finish(labels: Int32Array): Promise<void> {
    const rows = this.#rows;
    if (labels.length !== rows) {
      throw new WisemergeError('ERR_INTERNAL_RANGE', `${labels.length} labels for ${rows} rows`);
    }
    const header = headerOf(this.#path, rows, this.#dimension);
    if (header.length !== this.#dataStart) {
      throw new WisemergeError('ERR_INTERNAL_RANGE', `a header of ${header.length} bytes`);
    }
    const bytes = new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength);
    await this.#write(bytes, this.#dataStart + rows * this.#dimension * 4);
    await this.#write(header, 0);
    try {
      await syncHandle(this.#handle);
      await this.#handle.close();
      await rename(this.#temporary, this.#path);
    } catch (error) {
      throw ioError(error, 'write', this.#path);
    }
  }

  /** Removes what was written. */
  async discard(): Promise<void> {
    await this.#handle.close().catch(() => {});
    await rm(this.#temporary, { force: true });
  }

  async #write(bytes: Uint8Array, position: number): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; ) {
        done += (await this.#handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
      }
    } catch (error) {
      throw ioError(error, 'write', this.#path);
    }
  }
}

/** Writes a text that appears whole or not at all. Throws ERR_IO. */
export async function replaceText(path: string, text: string): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await writeFile(temporary, text);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw ioError(error, 'write', path);
  }
}

/** Several processes may write the same file, each beside it; whichever ends last replaces equal bytes. */
function temporaryName(path: string): string {
  return `${path}.${process.pid}-${Math.random().toString(36).slice(2, 10)}.tmp`;
}

function headerOf(path: string, rows: number, dimension: number): Uint8Array {
  const bytes = rows * dimension * 4;
  const tensors: OutputTensor[] = [
    { name: 'features', dtype: 'F32', shape: [rows, dimension], offset: 0, bytes },
    { name: 'labels', dtype: 'I32', shape: [rows], offset: bytes, bytes: rows * 4 },
  ];
  return encodeHeader(tensors, new Map(), basename(path));
}
