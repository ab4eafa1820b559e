import { type FileHandle, open } from 'node:fs/promises';
import { ioError, WisemergeError } from '../errors.js';
import { closeFile } from '../files/close-file.js';
import { startPulse } from '../files/pool-pulse.js';
import { checkUnchanged, type FileIdentity } from './input-file.js';
import { settleAll } from './settle.js';
import type { TensorInfo } from './tensor.js';

/** The bytes of tensors where their headers say that they are. Files are opened when first read. */
export class StoredTensors {
  readonly #identities: ReadonlyMap<string, FileIdentity>;
  readonly #handles = new Map<string, Promise<FileHandle>>();

  constructor(files: readonly FileIdentity[]) {
    this.#identities = new Map(files.map((file) => [file.path, file]));
  }

  /** Fills `bytes` from `from` on. Throws ERR_INPUT_CHANGED if the file is not as its header was read, ERR_IO. */
  async read(tensor: TensorInfo, from: number, bytes: Uint8Array): Promise<void> {
    using _pulse = startPulse();
    const handle = await this.#handle(tensor.file);
    try {
      for (let done = 0; done < bytes.length; ) {
        const length = Math.min(bytes.length - done, 2 ** 30);
        const { bytesRead } = await handle.read(bytes, done, length, tensor.offset + from + done);
        // The check that follows tells why.
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      // Afterwards, so that what was written meanwhile is noticed, too.
      await checkUnchanged(handle, this.#identities.get(tensor.file)!);
    } catch (error) {
      if (error instanceof WisemergeError) throw error.at({ tensor: tensor.name });
      throw ioError(error, 'read', tensor.file);
    }
  }

  #handle(file: string): Promise<FileHandle> {
    let handle = this.#handles.get(file);
    if (!handle) {
      handle = open(file, 'r').catch((error) => {
        this.#handles.delete(file);
        throw ioError(error, 'open', file);
      });
      this.#handles.set(file, handle);
    }
    return handle;
  }

  async close(): Promise<void> {
    const opened = [...this.#handles];
    this.#handles.clear();
    // One that could not be opened has been told of.
    await settleAll(
      opened.map(async ([path, opening]) => {
        const handle = await opening.catch(() => undefined);
        if (handle) await closeFile(handle, path);
      }),
    );
  }
}
