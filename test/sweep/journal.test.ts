import fs, { existsSync, readFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { Journal } from '../../lib/sweep/journal.js';
import { fileError } from '../support/failing-files.js';
import { tempDir } from '../support/temp.js';

/** Files that are opened until the test ends, after `change`. */
function opening(change: (handle: FileHandle) => void): FileHandle[] {
  const { open } = fs.promises;
  const opened: FileHandle[] = [];
  fs.promises.open = async (...args) => {
    const handle = await open(...args);
    opened.push(handle);
    change(handle);
    return handle;
  };
  syncBuiltinESMExports();
  onTestFinished(() => {
    fs.promises.open = open;
    syncBuiltinESMExports();
  });
  return opened;
}

const full = () => fileError('ENOSPC', 'write');

it('closes and removes its file where not even its first line can be written: it would pass for a sweep that was begun', async () => {
  const path = join(await tempDir(), 'journal.jsonl');
  const opened = opening((handle) => vi.spyOn(handle, 'appendFile').mockRejectedValue(full()));
  await expect(Journal.create(path, 'sweep', {})).rejects.toMatchObject({ code: 'ERR_NO_SPACE', file: path });
  // A closed file has no number.
  expect(opened.map(({ fd }) => fd)).toEqual([-1]);
  expect(existsSync(path)).toBe(false);
});

it('adds nothing behind a line that was cut off, even if there is room again: it would be lost with it', async () => {
  const path = join(await tempDir(), 'journal.jsonl');
  opening((handle) => {
    const append = handle.appendFile.bind(handle);
    vi.spyOn(handle, 'appendFile').mockImplementation(async (line) => {
      if (!String(line).includes('cut')) return await append(line);
      await append(String(line).slice(0, 3));
      throw full();
    });
  });
  const journal = await Journal.create<string>(path, 'sweep', {});
  await journal.add('whole');
  const added = await Promise.allSettled([journal.add('cut'), journal.add('beside it')]);
  expect(added).toEqual(
    Array(2).fill({ status: 'rejected', reason: expect.objectContaining({ code: 'ERR_NO_SPACE' }) }),
  );
  await journal.close();
  const resumed = await Journal.resume<string>(path, 'sweep', {});
  expect(resumed.entries).toEqual(['whole']);
  await resumed.close();
});

it('begins with what it is of', async () => {
  const path = join(await tempDir(), 'journal.jsonl');
  const journal = await Journal.create(path, 'sweep', { rule: 'max-mean' });
  await journal.close();
  expect(readFileSync(path, 'utf8')).toBe('{"kind":"sweep","config":{"rule":"max-mean"}}\n');
});
