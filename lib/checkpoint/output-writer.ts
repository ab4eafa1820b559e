import { constants, type FileHandle, open } from 'node:fs/promises';
import { basename } from 'node:path';
import { ioError } from '../errors.js';
import { closeFile } from '../files/close-file.js';
import { syncHandle } from '../files/sync-handle.js';
import { preallocate } from '../native.js';
import { alignUp, ioAlignment } from './alignment.js';
import { nameFile } from './descriptor-error.js';
import { openDirect } from './input-file.js';

/** A finished output file, for the manifest. */
export interface WrittenFile {
  /** Base name. */
  readonly name: string;
  readonly bytes: number;
  /** XXH3-64 of the whole file, 16 hex digits, as `xxhsum -H3` prints it. */
  readonly xxh3: string;
}

/**
 * An output file of known size: space reserved up front, past the page cache where the file system allows. A
 * block stream writes into it.
 */
export class OutputWriter {
  readonly path: string;
  readonly #bytes: number;
  readonly #handle: FileHandle;
  /** Blocks are written in whole pages. */
  readonly direct: boolean;

  private constructor(path: string, bytes: number, handle: FileHandle, direct: boolean) {
    this.path = path;
    this.#bytes = bytes;
    this.#handle = handle;
    this.direct = direct;
  }

  /**
   * Creates `path`, which must not exist, and reserves `bytes`. `aligned`: all blocks but the last start and
   * end at multiples of `ioAlignment`.
   */
  static async create(path: string, bytes: number, aligned: boolean): Promise<OutputWriter> {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL;
    const direct = aligned ? await openDirect(path, flags, 0o666) : undefined;
    // A refused O_DIRECT open may leave the file it created behind: open that one, without O_EXCL.
    const handle =
      direct ??
      (await open(path, constants.O_RDWR | constants.O_CREAT, 0o666).catch((error) => {
        throw ioError(error, 'create', path);
      }));
    try {
      await preallocate(handle.fd, alignUp(bytes, ioAlignment));
    } catch (error) {
      await handle.close();
      throw ioError(
        nameFile(error, () => path),
        'reserve space for',
        path,
      );
    }
    return new OutputWriter(path, bytes, handle, direct !== undefined);
  }

  get fd(): number {
    return this.#handle.fd;
  }

  /** Cuts the padding off, makes the data durable and closes. `xxh3` is the hash of what was written. */
  async finish(xxh3: string): Promise<WrittenFile> {
    try {
      await this.#handle.truncate(this.#bytes);
      await syncHandle(this.#handle);
    } catch (error) {
      throw ioError(error, 'finish', this.path);
    } finally {
      await closeFile(this.#handle, this.path);
    }
    return { name: basename(this.path), bytes: this.#bytes, xxh3 };
  }

  /** Closes without finishing; whoever owns the directory deletes the file. */
  async abandon(): Promise<void> {
    await this.#handle.close().catch(() => {});
  }
}
