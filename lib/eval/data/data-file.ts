import { constants, type FileHandle, open } from 'node:fs/promises';
import { ioError, WisemergeError } from '../../errors.js';
import { closeFile } from '../../files/close-file.js';

/** Bytes that are read by position: a file, a part of one, or memory. */
export interface Bytes {
  readonly size: number;
  /** Fills `into` from byte `position`, or throws. */
  read(into: Uint8Array, position: number): Promise<void>;
}

/** A regular file open for positioned reads. */
export class DataFile implements Bytes {
  readonly path: string;
  /** Bytes, when it was opened. */
  readonly size: number;
  readonly mtimeMs: number;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle, size: number, mtimeMs: number) {
    this.path = path;
    this.#handle = handle;
    this.size = size;
    this.mtimeMs = mtimeMs;
  }

  /** Throws ERR_IO, or ERR_DATA for what is not a regular file. */
  static async open(path: string): Promise<DataFile> {
    // Opening a pipe waits for its writer unless told not to; regular files ignore the flag.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error) => {
      throw ioError(error, 'open', path);
    });
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) {
        throw new WisemergeError('ERR_DATA', `${path} is not a regular file`, { file: path });
      }
      return new DataFile(path, handle, stat.size, stat.mtimeMs);
    } catch (error) {
      await handle.close();
      throw ioError(error, 'read', path);
    }
  }

  async read(into: Uint8Array, position: number): Promise<void> {
    if (position + into.length > this.size) throw this.#cutOff(position + into.length, this.size);
    for (let done = 0; done < into.length; ) {
      const { bytesRead } = await this.#handle
        .read(into, done, into.length - done, position + done)
        .catch((error) => {
          throw ioError(error, 'read', this.path);
        });
      if (bytesRead === 0) throw this.#cutOff(position + into.length, position + done);
      done += bytesRead;
    }
  }

  /** `size` bytes from `offset`, as bytes of their own. */
  part(offset: number, size: number): Bytes {
    return { size, read: (into, position) => this.read(into, offset + position) };
  }

  close(): Promise<void> {
    return closeFile(this.#handle, this.path);
  }

  #cutOff(needed: number, there: number): WisemergeError {
    return new WisemergeError(
      'ERR_DATA',
      `${this.path} is cut off: ${needed} bytes are needed, ${there} are there`,
      { file: this.path, hint: 'Copy or save the file again.', details: { needed, there } },
    );
  }
}
