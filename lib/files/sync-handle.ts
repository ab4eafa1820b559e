import type { FileHandle } from 'node:fs/promises';
import { syncFile } from '../native.js';

/**
 * Waits until a file is on its disk; with `sync` its metadata, too, and directories. Node refuses both in a process that was
 * started with --permission, whatever it may write; the addon does it there.
 */
export async function syncHandle(handle: FileHandle, how: 'datasync' | 'sync' = 'datasync'): Promise<void> {
  try {
    await handle[how]();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_ACCESS_DENIED') throw error;
    await syncFile(handle.fd);
  }
}
