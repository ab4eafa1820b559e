import { open } from 'node:fs/promises';
import { xxh3 } from '@node-rs/xxhash';
import { ioError } from '../errors.js';
import { hexDigest } from '../hex-digest.js';
import type { OutputFile } from './layout.js';
import type { WrittenFile } from './output-writer.js';

/**
 * Writes a file of a layout tensor by tensor, of which one at a time is in memory: for models of which most stays as it
 * is, and the rest is at hand. Throws ERR_IO, ERR_NO_SPACE, what `bytesOf` throws, or the abort reason.
 */
export async function writeTensors(
  path: string,
  file: OutputFile,
  bytesOf: (tensor: string) => Promise<Uint8Array>,
  signal?: AbortSignal,
): Promise<WrittenFile> {
  const hash = xxh3.Xxh3.withSeed();
  try {
    const handle = await open(path, 'wx');
    try {
      const write = async (bytes: Uint8Array) => {
        hash.update(bytes);
        await handle.writeFile(bytes);
      };
      await write(file.header);
      for (const { name } of file.tensors) {
        signal?.throwIfAborted();
        await write(await bytesOf(name));
      }
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw ioError(error, 'write', path);
  }
  return { name: file.name, bytes: file.bytes, xxh3: hexDigest(hash) };
}
