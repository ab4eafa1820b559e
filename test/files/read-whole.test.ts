import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readTextFile, readWhole } from '../../lib/files/read-whole.js';
import { readingByBytes } from '../support/failing-files.js';
import { tempDir } from '../support/temp.js';

it.each([0, 1, 4096, 1_000_000])('a file of %d bytes is read to its end', async (size) => {
  const path = join(await tempDir(), 'file');
  writeFileSync(path, Buffer.alloc(size, 'ab'));
  expect((await readWhole(path)).equals(readFileSync(path))).toBe(true);
});

it.each([0.6, 3])('a file of %d GB, which is no text, is refused by name', async (gigabytes) => {
  const path = join(await tempDir(), 'merge.yml');
  writeFileSync(path, '');
  truncateSync(path, gigabytes * 1e9);
  await expect(readTextFile(path)).rejects.toMatchObject({ code: 'ERR_IO', file: path });
});

it('reads that give less than was asked for are not its end', async () => {
  const path = join(await tempDir(), 'names.txt');
  writeFileSync(path, 'großer Alk\nKatze\n');
  readingByBytes(/names\.txt$/);
  expect(await readTextFile(path)).toBe('großer Alk\nKatze\n');
});

it.runIf(process.platform === 'linux')('a file that says it is empty is read, too', async () => {
  expect(await readTextFile('/proc/self/status')).toContain('VmPeak');
});

it.runIf(process.platform !== 'win32')('a pipe is read', async () => {
  const path = join(await tempDir(), 'pipe');
  execFileSync('mkfifo', [path]);
  const writer = spawn('sh', ['-c', 'head -c 100000 /dev/zero > "$0"', path], { stdio: 'ignore' });
  expect(await readTextFile(path)).toHaveLength(100_000);
  expect(writer.exitCode ?? 0).toBe(0);
});
