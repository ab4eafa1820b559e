import { constants, mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ioError } from '../errors.js';
import { HostBuffer } from '../native.js';
import { openDirect, type ReadMode } from './input-file.js';
import { settleAll } from './settle.js';
import { blockBytes as requestBytes } from './slot-shape.js';

/** Sequential speed of a directory's disk, in bytes per second. */
export interface DiskSpeed {
  readonly write: number;
  readonly read: number;
}

const blockBytes = requestBytes.cpu;
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
  const flags = constants.O_RDWR | constants.O_CREAT;
  const file = (await openDirect(path, flags, 0o600)) ?? (await open(path, flags, 0o600));
  try {
    const blocks = Math.ceil(bytes / blockBytes);
    const region = (lane: number): Uint8Array => arena.bytes(lane * blockBytes, blockBytes);
    const write = await rate(blocks, async (i, lane) => {
      await file.write(region(lane), 0, blockBytes, i * blockBytes);
      if (i === blocks - 1) await file.datasync();
    });
    const read = await rate(blocks, async (i, lane) => {
      await file.read(region(lane), 0, blockBytes, i * blockBytes);
    });
    return { write, read };
  } catch (error) {
    throw ioError(error, 'measure', path);
  } finally {
    await file.close();
    arena.release();
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Reads up to `bytes` from the start of a file, past the page cache where possible or through it, with the request
 * pattern of a merge; gives bytes per second. Throws ERR_IO.
 */
export async function measureReadSpeed(
  { path, size }: { readonly path: string; readonly size: number },
  mode: ReadMode,
  bytes: number = 64 * 2 ** 20,
): Promise<number> {
  const direct = mode === 'direct' ? await openDirect(path, constants.O_RDONLY) : undefined;
  const file =
    direct ??
    (await open(path, 'r').catch((error) => {
      throw ioError(error, 'open', path);
    }));
  const arena = new HostBuffer(inFlight * blockBytes);
  // Memory that is touched for the first time would be part of what is measured.
  arena.bytes(0, arena.byteLength).fill(1);
  try {
    const wanted = Math.min(bytes, size);
    const blocks = Math.max(1, Math.ceil(wanted / blockBytes));
    const read = await rate(blocks, async (i, lane) => {
      await file.read(arena.bytes(lane * blockBytes, blockBytes), 0, blockBytes, i * blockBytes);
    });
    return (read * wanted) / (blocks * blockBytes);
  } catch (error) {
    throw ioError(error, 'read', path);
  } finally {
    await file.close();
    arena.release();
  }
}

/** Runs `blocks` requests on `inFlight` lanes; gives bytes per second. */
async function rate(
  blocks: number,
  request: (index: number, lane: number) => Promise<void>,
): Promise<number> {
  const began = performance.now();
  let next = 0;
  const run = async (lane: number): Promise<void> => {
    while (next < blocks) await request(next++, lane);
  };
  await settleAll(Array.from({ length: inFlight }, (_, lane) => run(lane)));
  return (1000 * blocks * blockBytes) / (performance.now() - began);
}
