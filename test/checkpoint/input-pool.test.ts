import {
  closeSync,
  openSync,
  readdirSync,
  readlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Read } from '../../lib/checkpoint/blocks.js';
import { InputPool } from '../../lib/checkpoint/input-pool.js';
import { HostBuffer } from '../../lib/native.js';
import { randomBytes } from '../support/random.js';
import { tempDir } from '../support/temp.js';

const identity = async (path: string) => {
  const { size, mtimeMs } = await stat(path);
  return { path, size, mtimeMs };
};

function makeArena(bytes = 2 ** 20): HostBuffer {
  const arena = new HostBuffer(bytes);
  onTestFinished(() => arena.release());
  return arena;
}

/** Descriptors of this process that lead into `directory`. */
function openFiles(directory: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(directory);
    } catch {
      return false;
    }
  }).length;
}

describe.each(['direct', 'cached'] as const)('inputs read %s', (mode) => {
  it('give the bytes of any range, aligned or not, up to the last of the file', async () => {
    const path = join(await tempDir(), 'f');
    const content = randomBytes(300_001, 1);
    writeFileSync(path, content);
    const arena = makeArena();
    const pool = new InputPool([await identity(path)], mode);
    for (const [position, length] of [
      [0, 65_536],
      [1, 65_536],
      [4095, 100_000],
      [200_000, 100_001],
      [234_465, 65_536],
      [299_999, 2],
    ] as const) {
      const read: Read = { file: path, position, length, at: position % 4096, direct: length >= 65_536 };
      await pool.read([read], arena, 8192);
      const got = Buffer.from(arena.bytes(8192 + read.at, length));
      expect(
        got.equals(content.subarray(position, position + length)),
        `${length} bytes at ${position}`,
      ).toBe(true);
    }
    await pool.close();
  });

  it('are exact beyond 4 GiB', async () => {
    const path = join(await tempDir(), 'sparse');
    const mark = randomBytes(100_000, 2);
    const position = 5_000_000_123;
    const fd = openSync(path, 'w');
    writeSync(fd, mark, 0, mark.length, position);
    closeSync(fd);
    const arena = makeArena();
    const pool = new InputPool([await identity(path)], mode);
    await pool.read(
      [{ file: path, position, length: mark.length, at: position % 4096, direct: true }],
      arena,
      0,
    );
    expect(Buffer.from(arena.bytes(position % 4096, mark.length)).equals(mark)).toBe(true);
    await pool.close();
  });

  it('that change are errors, when read or when closed', async () => {
    const root = await tempDir();
    const [short, touched] = [join(root, 'short'), join(root, 'touched')];
    for (const path of [short, touched]) writeFileSync(path, randomBytes(200_000, 3));
    const arena = makeArena();
    const pool = new InputPool([await identity(short), await identity(touched)], mode);
    const read = (file: string, position: number): Read => ({
      file,
      position,
      length: 65_536,
      at: 0,
      direct: true,
    });
    await pool.read([read(touched, 0)], arena, 0);
    await pool.read([read(short, 0)], arena, 0);
    truncateSync(short, 70_000);
    await expect(pool.read([read(short, 65_536)], arena, 0)).rejects.toMatchObject({
      code: 'ERR_INPUT_CHANGED',
      file: short,
    });
    await expect(pool.close()).rejects.toMatchObject({ code: 'ERR_INPUT_CHANGED', file: short });
    expect(openFiles(root)).toBe(0);
  });
});

describe('hundreds of shards', () => {
  it('are not all kept open', async () => {
    const root = await tempDir();
    const paths = Array.from({ length: 100 }, (_, i) => join(root, `shard-${i}`));
    for (const [i, path] of paths.entries()) writeFileSync(path, Buffer.alloc(10, i));
    const arena = makeArena();
    const pool = new InputPool(await Promise.all(paths.map(identity)));
    for (const [i, file] of paths.entries()) {
      await pool.read([{ file, position: 3, length: 4, at: 0, direct: false }], arena, 0);
      expect([...arena.bytes(0, 4)]).toEqual([i, i, i, i]);
      expect(openFiles(root)).toBeLessThan(40);
    }
    await pool.read(
      paths.map((file, i): Read => ({ file, position: 0, length: 10, at: 10 * i, direct: false })),
      arena,
      0,
    );
    expect([...arena.bytes(0, 1000)]).toEqual(paths.flatMap((_, i) => Array(10).fill(i)));
    await pool.close();
    expect(openFiles(root)).toBe(0);
  });
});
