import { closeSync, fstatSync, openSync } from 'node:fs';
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { cachedBytes, dtypeByName, Engine, evict, HostBuffer, preallocate } from '../../lib/native.js';

let folder: string;
let file: FileHandle;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wisemerge-hints-'));
  file = await open(join(folder, 'file'), 'w+');
});

afterEach(async () => {
  await file.close();
  await rm(folder, { recursive: true });
});

it('preallocate makes the file as long as asked, or says that it cannot', async () => {
  const reserved = await preallocate(file.fd, 3_000_000);
  expect((await file.stat()).size).toBe(reserved ? 3_000_000 : 0);
});

it.runIf(process.platform === 'linux')('preallocate tells a full disk from other failures', async () => {
  await expect(preallocate(file.fd, Number.MAX_SAFE_INTEGER)).rejects.toMatchObject({ code: 'ERR_NO_SPACE' });
  await expect(preallocate(2 ** 30, 1)).rejects.toMatchObject({ code: 'ERR_IO' });
  await expect(preallocate(-1, 1)).rejects.toMatchObject({ code: 'ERR_INTERNAL_ARGUMENT' });
});

it('preallocate keeps to its file, whatever the descriptor has become by its turn', async () => {
  const count = 2 ** 20;
  const F32 = dtypeByName('F32')!.index;
  const arena = new HostBuffer(8 * count);
  const engine = new Engine({ threads: 1 });
  const lent = openSync(join(folder, 'file'), 'r+');
  const rows = Array.from({ length: 50 }, () => [F32, F32, count, 0, 4 * count]).flat();
  const before = engine.compare(arena, Float64Array.from(rows));
  const reserved = preallocate(lent, 4096);
  closeSync(lent);
  const other = openSync(join(folder, 'other'), 'w+');
  expect(other).toBe(lent);
  await before;
  const size = (await reserved) ? 4096 : 0;
  expect(fstatSync(other).size).toBe(0);
  expect((await file.stat()).size).toBe(size);
  closeSync(other);
  engine.close();
  arena.release();
});

it('cachedBytes sees what was just written, evict loses nothing', async () => {
  const data = Buffer.alloc(1_000_003, 'wisemerge');
  await file.write(data);
  const cached = cachedBytes(file.fd, data.length);
  if (cached !== undefined) expect(cached).toBe(data.length);
  evict(file.fd);
  const after = cachedBytes(file.fd, data.length);
  if (cached !== undefined) expect(after).toBeLessThanOrEqual(data.length);
  const read = await file.read(Buffer.alloc(data.length), 0, data.length, 0);
  expect(read.buffer.equals(data)).toBe(true);
});
