import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { xxh3 } from '@node-rs/xxhash';
import { ioError } from '../errors.js';
import type { OutputFile, OutputLayout } from './layout.js';
import type { OutputManifest } from './manifest.js';
import type { WrittenFile } from './output-writer.js';
import { writeManifest } from './own-files.js';

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
  return { name: file.name, bytes: file.bytes, xxh3: hash.digest().toString(16).padStart(16, '0') };
}

/** The index of a layout of several files, and the manifest, which is last. Throws ERR_IO, ERR_NO_SPACE. */
export async function writeIndexAndManifest<T extends Omit<OutputManifest, 'companions'>>(
  directory: string,
  { index }: OutputLayout,
  manifest: T,
): Promise<void> {
  if (index) {
    const path = join(directory, index.name);
    await writeFile(path, index.text).catch((error) => {
      throw ioError(error, 'write', path);
    });
  }
  await writeManifest(directory, manifest);
}
