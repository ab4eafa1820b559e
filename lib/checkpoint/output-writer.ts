import { constants, type FileHandle, open } from 'node:fs/promises';
import { basename } from 'node:path';
import { xxh3 } from '@node-rs/xxhash';
import { ioError } from '../errors.js';
import { type HostBuffer, preallocate } from '../native.js';
import { alignUp, ioAlignment } from './blocks.js';
import { openDirect } from './input-file.js';
import { settleAll } from './settle.js';

/** A finished output file, for the manifest. */
export interface WrittenFile {
  /** Base name. */
  readonly name: string;
  readonly bytes: number;
  /** XXH3-64 of the whole file, 16 hex digits, as `xxhsum -H3` prints it. */
  readonly xxh3: string;
}

/**
 * Writes one file of known size in blocks: space reserved up front, blocks at their final offsets in any
 * order, past the page cache where the file system allows. The hash runs over the blocks in file order.
 */
export class OutputWriter {
  readonly #path: string;
  readonly #bytes: number;
  readonly #handle: FileHandle;
  readonly #direct: boolean;
  readonly #hash = xxh3.Xxh3.withSeed();
  /** Settles when all blocks up to `#hashedTo` are hashed; the next block in file order waits for it. */
  #hashedTo = 0;
  readonly #waiting = new Map<number, () => void>();
  #abandoned = false;

  private constructor(path: string, bytes: number, handle: FileHandle, direct: boolean) {
    this.#path = path;
    this.#bytes = bytes;
    this.#handle = handle;
    this.#direct = direct;
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
      throw ioError(error, 'reserve space for', path);
    }
    return new OutputWriter(path, bytes, handle, direct !== undefined);
  }

  /**
   * Writes and hashes `length` bytes at `offset` of `arena` to `position`. The region must have room up to
   * the next multiple of `ioAlignment`: the last block of a direct file is padded, and the padding cut off at
   * the end.
   */
  async write(arena: HostBuffer, offset: number, position: number, length: number): Promise<void> {
    const padded = this.#direct ? alignUp(length, ioAlignment) : length;
    const bytes = arena.bytes(offset, padded);
    bytes.fill(0, length);
    await settleAll([
      this.#writeFully(bytes, position),
      this.#hashInOrder(bytes.subarray(0, length), position),
    ]);
  }

  async #writeFully(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#handle
        .write(bytes, done, bytes.length - done, position + done)
        .catch((error) => {
          throw ioError(error, 'write', this.#path);
        });
      done += bytesWritten;
    }
  }

  async #hashInOrder(bytes: Uint8Array, position: number): Promise<void> {
    if (position !== this.#hashedTo && !this.#abandoned) {
      await new Promise<void>((resolve) => this.#waiting.set(position, resolve));
    }
    this.#hash.update(bytes);
    this.#hashedTo = position + bytes.length;
    const next = this.#waiting.get(this.#hashedTo);
    this.#waiting.delete(this.#hashedTo);
    next?.();
  }

  /** Cuts the padding off, makes the data durable and closes. */
  async finish(): Promise<WrittenFile> {
    try {
      await this.#handle.truncate(this.#bytes);
      await this.#handle.datasync();
    } catch (error) {
      throw ioError(error, 'finish', this.#path);
    } finally {
      await this.#handle.close();
    }
    const hash = this.#hash.digest().toString(16).padStart(16, '0');
    return { name: basename(this.#path), bytes: this.#bytes, xxh3: hash };
  }

  /** Closes without finishing; whoever owns the directory deletes the file. */
  async abandon(): Promise<void> {
    // Blocks that wait for a failed one would wait for ever, and so would those that come to it later.
    this.#abandoned = true;
    for (const resolve of this.#waiting.values()) resolve();
    await this.#handle.close().catch(() => {});
  }
}
