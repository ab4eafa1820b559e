import { readdirSync, readlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InputPool } from '../../lib/checkpoint/input-pool.js';
import { randomBytes } from '../support/random.js';
import { tempDir } from '../support/temp.js';

const identity = async (path: string) => {
  const { size, mtimeMs } = await stat(path);
  return { path, size, mtimeMs };
};

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

describe('an input', () => {
  it('is read through the page cache for small checks', async () => {
    const path = join(await tempDir(), 'f');
    const content = randomBytes(10_000, 1);
    writeFileSync(path, content);
    const pool = new InputPool([await identity(path)]);
    const { files, release } = await pool.acquire([path]);
    const into = Buffer.alloc(777);
    await files.get(path)!.read(into, 9_223);
    expect(into.equals(content.subarray(9_223))).toBe(true);
    await expect(files.get(path)!.read(into, 9_224)).rejects.toMatchObject({
      code: 'ERR_INPUT_CHANGED',
      file: path,
    });
    await release();
    await pool.close();
  });

  it('that changed since its header was read is refused when opened and noticed when closed', async () => {
    const root = await tempDir();
    const [before, during] = [join(root, 'before'), join(root, 'during')];
    for (const path of [before, during]) writeFileSync(path, randomBytes(200_000, 3));
    const pool = new InputPool([await identity(before), await identity(during)]);
    truncateSync(before, 70_000);
    await expect(pool.acquire([before])).rejects.toMatchObject({ code: 'ERR_INPUT_CHANGED', file: before });
    const { release } = await pool.acquire([during]);
    truncateSync(during, 70_000);
    await release();
    await expect(pool.close()).rejects.toMatchObject({ code: 'ERR_INPUT_CHANGED' });
    expect(openFiles(root)).toBe(0);
  });
});

describe('hundreds of shards', () => {
  it('are not all kept open, but those in use are', async () => {
    const root = await tempDir();
    const paths = Array.from({ length: 100 }, (_, i) => join(root, `shard-${i}`));
    for (const [i, path] of paths.entries()) writeFileSync(path, Buffer.alloc(10, i));
    const pool = new InputPool(await Promise.all(paths.map(identity)));
    for (const [i, path] of paths.entries()) {
      const { files, release } = await pool.acquire([path]);
      const into = Buffer.alloc(4);
      await files.get(path)!.read(into, 3);
      expect([...into]).toEqual([i, i, i, i]);
      await release();
      expect(openFiles(root)).toBeLessThan(40);
    }
    const { files, release } = await pool.acquire(paths);
    expect(openFiles(root)).toBeGreaterThanOrEqual(100);
    for (const [i, path] of paths.entries()) {
      const into = Buffer.alloc(10);
      await files.get(path)!.read(into, 0);
      expect(into.equals(Buffer.alloc(10, i))).toBe(true);
    }
    await release();
    expect(openFiles(root)).toBeLessThan(40);
    await pool.close();
    expect(openFiles(root)).toBe(0);
  });
});
