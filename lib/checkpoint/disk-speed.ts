import { mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ioError } from '../errors.js';
import { HostBuffer } from '../native.js';
import { InputPool } from './input-pool.js';
import { OutputWriter } from './output-writer.js';

/** Sequential speed of a directory's disk, in bytes per second. */
export interface DiskSpeed {
  readonly write: number;
  readonly read: number;
}

const blockBytes = 4 * 2 ** 20;
const inFlight = 4;

/**
 * Writes and reads back a temporary file of `bytes` in `directory`, past the page cache where possible, with
 * the request pattern of a merge. The file is removed.
 */
export async function measureDiskSpeed(directory: string, bytes: number = 256 * 2 ** 20): Promise<DiskSpeed> {
  const folder = await mkdtemp(join(directory, '.wisemerge-speed-')).catch((error) => {
    throw ioError(error, 'write in', directory);
  });
  const path = join(folder, 'probe');
  const arena = new HostBuffer(inFlight * blockBytes);
  // Storage that compresses or skips zeros would look faster than it is.
  const words = new Uint32Array(arena.buffer);
  for (let i = 0, state = 1; i < words.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[i] = state;
  }
  try {
    const blocks = Math.ceil(bytes / blockBytes);
    const writer = await OutputWriter.create(path, blocks * blockBytes, true);
    const write = await rate(
      blocks,
      (i) => writer.write(arena, (i % inFlight) * blockBytes, i * blockBytes, blockBytes),
      () => writer.finish(),
    );
    const handle = await open(path, 'r');
    const { size, mtimeMs } = await handle.stat();
    await handle.close();
    const pool = new InputPool([{ path, size, mtimeMs }], 'direct');
    const read = await rate(
      blocks,
      (i) =>
        pool.read(
          [{ file: path, position: i * blockBytes, length: blockBytes, at: 0, direct: true }],
          arena,
          (i % inFlight) * blockBytes,
        ),
      () => pool.close(),
    );
    return { write, read };
  } finally {
    arena.release();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs `blocks` requests, `inFlight` at a time, then `end`; gives bytes per second. */
async function rate(
  blocks: number,
  request: (index: number) => Promise<void>,
  end: () => Promise<unknown>,
): Promise<number> {
  const began = performance.now();
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < blocks) await request(next++);
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  await end();
  return (1000 * blocks * blockBytes) / (performance.now() - began);
}
