import { createReadStream } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { basename } from 'node:path';
import { xxh3 } from '@node-rs/xxhash';
import { ioError } from '../errors.js';
import { closeFile } from '../files/close-file.js';
import { syncHandle } from '../files/sync-handle.js';
import { hexDigest } from '../hex-digest.js';
import type { DTypeName } from '../native.js';
import { encodeHeader, type OutputTensor } from './layout.js';
import type { WrittenFile } from './output-writer.js';

/**
 * A safetensors file whose tensors become known one after the other: the data goes to a file beside it, and follows the
 * header when all are there. For files that are small beside what they are made from, such as adapters.
 */
export class GrowingFile {
  readonly #path: string;
  readonly #data: FileHandle;
  readonly #tensors: OutputTensor[] = [];
  #end = 0;

  private constructor(path: string, data: FileHandle) {
    this.#path = path;
    this.#data = data;
  }

  /** Throws ERR_IO. */
  static async create(path: string): Promise<GrowingFile> {
    const data = await open(`${path}.data`, 'wx').catch((error) => {
      throw ioError(error, 'create', path);
    });
    return new GrowingFile(path, data);
  }

  get parameters(): number {
    return this.#tensors.reduce(
      (sum, { shape }) => sum + shape.reduce((product, dim) => product * dim, 1),
      0,
    );
  }

  /** The next tensor, whose bytes come in pieces. Throws ERR_IO, ERR_NO_SPACE. */
  async add(
    tensor: { readonly name: string; readonly dtype: DTypeName; readonly shape: readonly number[] },
    pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  ): Promise<void> {
    const offset = this.#end;
    for await (const piece of pieces) {
      await this.#data.writeFile(piece).catch((error) => {
        throw ioError(error, 'write', this.#path);
      });
      this.#end += piece.byteLength;
    }
    const { name, dtype, shape } = tensor;
    this.#tensors.push({ name, dtype, shape, offset, bytes: this.#end - offset });
  }

  /** Writes the file. Throws ERR_HEADER_TOO_LARGE, ERR_IO, ERR_NO_SPACE. */
  async finish(metadata: ReadonlyMap<string, string>): Promise<WrittenFile> {
    const header = encodeHeader(this.#tensors, metadata, basename(this.#path));
    const hash = xxh3.Xxh3.withSeed();
    try {
      await this.#data.close();
      const out = await open(this.#path, 'wx');
      try {
        hash.update(header);
        await out.writeFile(header);
        for await (const piece of createReadStream(`${this.#path}.data`, { highWaterMark: 2 ** 20 })) {
          hash.update(piece);
          await out.writeFile(piece);
        }
        await syncHandle(out);
      } finally {
        await closeFile(out, this.#path);
      }
      await rm(`${this.#path}.data`);
    } catch (error) {
      throw ioError(error, 'write', this.#path);
    }
    const digest = hexDigest(hash);
    return { name: basename(this.#path), bytes: header.byteLength + this.#end, xxh3: digest };
  }

  /** Closes without finishing; whoever owns the directory deletes what is there. */
  async abandon(): Promise<void> {
    await this.#data.close().catch(() => {});
  }
}
