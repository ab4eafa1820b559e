import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { syncHandle } from '../../lib/files/sync-handle.js';
import { tempDir } from '../support/temp.js';

const denied = Object.assign(new Error('API is disabled'), { code: 'ERR_ACCESS_DENIED' });

it('syncs files and directories', async () => {
  const directory = await tempDir();
  await using file = await open(join(directory, 'x'), 'w');
  await using folder = await open(directory, 'r');
  await syncHandle(file);
  await syncHandle(folder, 'sync');
});

it.each(['datasync', 'sync'] as const)('does it without Node where that is refused: %s', async (how) => {
  await using file = await open(join(await tempDir(), 'x'), 'w');
  const refuse = vi.spyOn(file, how).mockRejectedValue(denied);
  await syncHandle(file, how);
  expect(refuse).toHaveBeenCalledOnce();
  // The call reaches the system, which knows no such file.
  await expect(syncHandle({ [how]: refuse, fd: 2 ** 30 } as never, how)).rejects.toMatchObject({
    code: 'ERR_IO',
  });
});

it('passes other failures on', async () => {
  await using file = await open(join(await tempDir(), 'x'), 'w');
  const full = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', syscall: 'fdatasync' });
  vi.spyOn(file, 'datasync').mockRejectedValue(full);
  await expect(syncHandle(file)).rejects.toBe(full);
});
