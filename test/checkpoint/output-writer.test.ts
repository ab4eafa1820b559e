// Blocks of an output file arrive in any order, and some never do.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { xxh3 } from '@node-rs/xxhash';
import { describe, expect, it, onTestFinished } from 'vitest';
import { OutputWriter } from '../../lib/checkpoint/output-writer.js';
import { settleAll } from '../../lib/checkpoint/settle.js';
import { HostBuffer } from '../../lib/native.js';
import { randomBytes } from '../support/random.js';
import { tempDir } from '../support/temp.js';

const block = 64 * 1024;

async function makeWriter(bytes: number, aligned = true) {
  const path = join(await tempDir(), 'out');
  const content = randomBytes(bytes, 1);
  const arena = new HostBuffer(Math.ceil(bytes / block) * block);
  onTestFinished(() => arena.release());
  arena.bytes(0, bytes).set(content);
  const writer = await OutputWriter.create(path, bytes, aligned);
  const write = (i: number) => writer.write(arena, i * block, i * block, Math.min(block, bytes - i * block));
  return { path, content, writer, write };
}

describe('an output file', () => {
  it.each([
    ['past the page cache', true],
    ['through the page cache', false],
  ])('is written %s in any order of its blocks and hashed in theirs', async (_name, aligned) => {
    const bytes = 5 * block + 1234;
    const { path, content, writer, write } = await makeWriter(bytes, aligned);
    await Promise.all([3, 5, 0, 4, 2, 1].map(write));
    const finished = await writer.finish();
    expect(readFileSync(path).equals(content)).toBe(true);
    expect(finished).toEqual({
      name: 'out',
      bytes,
      xxh3: xxh3.xxh64(content).toString(16).padStart(16, '0'),
    });
  });

  it('is not written over one that exists', async () => {
    const { path, writer } = await makeWriter(10, false);
    await writer.abandon();
    expect(existsSync(path)).toBe(true);
    await expect(OutputWriter.create(path, 10, true)).rejects.toMatchObject({ code: 'ERR_IO', file: path });
  });

  it('lets no block wait for ever once it is abandoned, neither before nor after', async () => {
    const { writer, write } = await makeWriter(4 * block);
    // Block 0 never comes. Block 1 waits for it; block 3 comes to an abandoned file.
    const waiting = write(1).catch(() => 'failed');
    const abandoned = writer.abandon();
    const late = write(3).catch(() => 'failed');
    await Promise.all([waiting, late, abandoned]);
  }, 5000);
});

describe('work that fails in part', () => {
  it('is thrown only when all of it has ended, so that its memory can be freed', async () => {
    let ended = 0;
    const slow = (ms: number) =>
      new Promise<void>((resolve) => setTimeout(resolve, ms)).then(() => void ended++);
    const error = new Error('first');
    await expect(settleAll([slow(30), Promise.reject(error), slow(60)])).rejects.toBe(error);
    expect(ended).toBe(2);
    expect(await settleAll([Promise.resolve(1), Promise.resolve(2)])).toEqual([1, 2]);
  });
});
