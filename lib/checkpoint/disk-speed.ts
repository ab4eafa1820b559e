import { constants, type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ioError } from '../errors.js';
import { syncHandle } from '../files/sync-handle.js';
import { HostBuffer } from '../native.js';
import { openDirect, type ReadMode } from './input-file.js';
import { settleAll } from './settle.js';
import { blockBytes } from './slot-shape.js';

/** Sequential speed of a directory's disk, in bytes per second. */
export interface DiskSpeed {
  readonly write: number;
  readonly read: number;
}

const requestBytes = blockBytes('cpu', 1);
const inFlight = 4;

interface MeasureOptions {
  readonly bytes?: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes and reads back a temporary file of `bytes` in `directory`, past the page cache where possible, with
 * the request pattern of a merge. The file is removed. Throws ERR_IO, ERR_NO_SPACE, or the abort reason.
 */
export async function measureDiskSpeed(
  directory: string,
  { bytes = 256 * 2 ** 20, signal }: MeasureOptions = {},
): Promise<DiskSpeed> {
  const folder = await mkdtemp(join(directory, '.wisemerge-speed-')).catch((error) => {
    throw ioError(error, 'write in', directory);
  });
  const remove = () => rm(folder, { recursive: true, force: true });
  let file: FileHandle | undefined;
  let arena: HostBuffer | undefined;
  try {
    const flags = constants.O_RDWR | constants.O_CREAT;
    const path = join(folder, 'probe');
    const probe = (await openDirect(path, flags, 0o600)) ?? (await open(path, flags, 0o600));
    file = probe;
    // The open file is all that is needed, and a killed process leaves none. Network storage may keep the name till then.
    await remove().catch(() => {});
    const memory = new HostBuffer(inFlight * requestBytes);
    arena = memory;
    fillUnevenly(memory);
    const blocks = Math.ceil(bytes / requestBytes);
    const region = (lane: number): Uint8Array => memory.bytes(lane * requestBytes, requestBytes);
    const write = await rate(blocks, signal, async (i, lane) => {
      await probe.write(region(lane), 0, requestBytes, i * requestBytes);
      if (i === blocks - 1) await syncHandle(probe);
    });
    const read = await rate(blocks, signal, async (i, lane) => {
      await probe.read(region(lane), 0, requestBytes, i * requestBytes);
    });
    return { write, read };
  } catch (error) {
    throw ioError(error, 'measure the disk of', directory);
  } finally {
    await file?.close();
    arena?.release();
    await remove();
  }
}

/** Storage that compresses or skips zeros would look faster than it is. */
function fillUnevenly(memory: HostBuffer): void {
  const words = new Uint32Array(memory.buffer);
  for (let i = 0, state = 1; i < words.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[i] = state;
  }
}

/**
 * Reads up to `bytes` from the start of a file, past the page cache where possible or through it, with the request
 * pattern of a merge; gives bytes per second. Throws ERR_IO, or the abort reason.
 */
export async function measureReadSpeed(
  { path, size }: { readonly path: string; readonly size: number },
  mode: ReadMode,
  { bytes = 64 * 2 ** 20, signal }: MeasureOptions = {},
): Promise<number> {
  let file: FileHandle | undefined;
  let arena: HostBuffer | undefined;
  try {
    const direct = mode === 'direct' ? await openDirect(path, constants.O_RDONLY) : undefined;
    const sample = direct ?? (await open(path, 'r'));
    file = sample;
    const memory = new HostBuffer(inFlight * requestBytes);
    arena = memory;
    // Memory that is touched for the first time would be part of what is measured.
    memory.bytes(0, memory.byteLength).fill(1);
    const wanted = Math.min(bytes, size);
    const blocks = Math.max(1, Math.ceil(wanted / requestBytes));
    const read = await rate(blocks, signal, async (i, lane) => {
      await sample.read(memory.bytes(lane * requestBytes, requestBytes), 0, requestBytes, i * requestBytes);
    });
    return (read * wanted) / (blocks * requestBytes);
  } catch (error) {
    throw ioError(error, 'read', path);
  } finally {
    await file?.close();
    arena?.release();
  }
}

/** Runs `blocks` requests on `inFlight` lanes; gives bytes per second. */
async function rate(
  blocks: number,
  signal: AbortSignal | undefined,
  request: (index: number, lane: number) => Promise<void>,
): Promise<number> {
  const began = performance.now();
  let next = 0;
  const run = async (lane: number): Promise<void> => {
    while (next < blocks) {
      signal?.throwIfAborted();
      await request(next++, lane);
    }
  };
  await settleAll(Array.from({ length: inFlight }, (_, lane) => run(lane)));
  return (1000 * blocks * requestBytes) / (performance.now() - began);
}
