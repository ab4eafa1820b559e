import { constants, type FileHandle, open } from 'node:fs/promises';
import { ioError, WisemergeError } from '../errors.js';
import { closeFile } from '../files/close-file.js';
import { cachedBytes } from '../native.js';
import { settleAll } from './settle.js';

/** How an input is read: `direct` past the page cache, `cached` through it. */
export type ReadMode = 'direct' | 'cached';

/** What identifies an input between planning and reading. */
export interface FileIdentity {
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
}

/** An input open for reading. */
export class InputFile {
  readonly #cached: FileHandle;
  readonly #direct: FileHandle | undefined;
  readonly #identity: FileIdentity;

  get path(): string {
    return this.#identity.path;
  }

  private constructor(cached: FileHandle, direct: FileHandle | undefined, identity: FileIdentity) {
    this.#cached = cached;
    this.#direct = direct;
    this.#identity = identity;
  }

  /**
   * Opens a file that has not changed since its header was read (ERR_INPUT_CHANGED).
   *
   * The mode defaults to what is faster: a file mostly in the page cache is read from there, any other
   * directly, which is several times cheaper than filling the cache (docs/architecture.md). File systems
   * without direct I/O are read through the cache.
   */
  static async open(identity: FileIdentity, mode?: ReadMode): Promise<InputFile> {
    const { path } = identity;
    const cached = await open(path, 'r').catch((error) => {
      throw ioError(error, 'open', path);
    });
    try {
      await checkUnchanged(cached, identity);
      const inCache = mode === undefined && (cachedBytes(cached.fd, identity.size) ?? 0) > identity.size / 2;
      const direct = mode === 'cached' || inCache ? undefined : await openDirect(path, constants.O_RDONLY);
      return new InputFile(cached, direct, identity);
    } catch (error) {
      await cached.close();
      throw error;
    }
  }

  /** For native readers, which align their requests themselves: through the page cache, and past it or -1. */
  get descriptors(): { readonly cached: number; readonly direct: number } {
    return { cached: this.#cached.fd, direct: this.#direct?.fd ?? -1 };
  }

  /** Reads through the page cache: for small checks. */
  async read(into: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < into.length; ) {
      const { bytesRead } = await this.#cached
        .read(into, done, into.length - done, position + done)
        .catch((error) => {
          throw ioError(error, 'read', this.path);
        });
      if (bytesRead === 0) throw changed(this.#identity, 'it became shorter');
      done += bytesRead;
    }
  }

  /** Closes, and throws ERR_INPUT_CHANGED if the file was modified while it was read. */
  async close(): Promise<void> {
    try {
      await checkUnchanged(this.#cached, this.#identity);
    } finally {
      const both = this.#direct ? [this.#cached, this.#direct] : [this.#cached];
      await settleAll(both.map((handle) => closeFile(handle, this.path)));
    }
  }
}

/** Whether more than half of the files' bytes are in the page cache. */
export async function mostlyCached(files: readonly FileIdentity[]): Promise<boolean> {
  let [cached, total] = [0, 0];
  for (const { path, size } of files) {
    const handle = await open(path, 'r').catch((error) => {
      throw ioError(error, 'open', path);
    });
    cached += cachedBytes(handle.fd, size) ?? 0;
    total += size;
    await closeFile(handle, path);
  }
  return cached > total / 2;
}

/** Opens with O_DIRECT, or returns undefined where the platform or file system has none. */
export async function openDirect(
  path: string,
  flags: number,
  mode?: number,
): Promise<FileHandle | undefined> {
  const direct = constants.O_DIRECT;
  if (!direct) return undefined;
  try {
    return await open(path, flags | direct, mode);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EINVAL' || code === 'ENOTSUP' || code === 'EOPNOTSUPP') return undefined;
    throw ioError(error, 'open', path);
  }
}

/** Throws ERR_INPUT_CHANGED. */
export async function checkUnchanged(handle: FileHandle, identity: FileIdentity): Promise<void> {
  const { size, mtimeMs } = await handle.stat().catch((error) => {
    throw ioError(error, 'look at', identity.path);
  });
  if (size !== identity.size) throw changed(identity, `its size went from ${identity.size} to ${size} bytes`);
  if (mtimeMs !== identity.mtimeMs) throw changed(identity, 'it was written to');
}

function changed({ path }: FileIdentity, how: string): WisemergeError {
  return new WisemergeError('ERR_INPUT_CHANGED', `${path} changed while wisemerge was reading it: ${how}`, {
    file: path,
    hint: 'Wait until whatever writes the file is done, then run again.',
  });
}
