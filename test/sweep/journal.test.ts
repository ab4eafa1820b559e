import fs, { existsSync, readFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { Journal } from '../../lib/sweep/journal.js';
import { tempDir } from '../support/temp.js';

it('closes and removes its file where not even its first line can be written: it would pass for a sweep that was begun', async () => {
  const path = join(await tempDir(), 'journal.jsonl');
  const { open } = fs.promises;
  const opened: FileHandle[] = [];
  fs.promises.open = async (...args) => {
    const handle = await open(...args);
    opened.push(handle);
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), {
      ...{ code: 'ENOSPC', syscall: 'write' },
    });
    vi.spyOn(handle, 'appendFile').mockRejectedValue(full);
    return handle;
  };
  syncBuiltinESMExports();
  onTestFinished(() => {
    fs.promises.open = open;
    syncBuiltinESMExports();
  });
  await expect(Journal.create(path, 'sweep', {})).rejects.toMatchObject({ code: 'ERR_NO_SPACE', file: path });
  // A closed file has no number.
  expect(opened.map(({ fd }) => fd)).toEqual([-1]);
  expect(existsSync(path)).toBe(false);
});

it('begins with what it is of', async () => {
  const path = join(await tempDir(), 'journal.jsonl');
  const journal = await Journal.create(path, 'sweep', { rule: 'max-mean' });
  await journal.close();
  expect(readFileSync(path, 'utf8')).toBe('{"kind":"sweep","config":{"rule":"max-mean"}}\n');
});
