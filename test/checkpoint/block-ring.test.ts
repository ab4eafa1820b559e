// Blocks from files through the native ring to files. What is copied and what is hashed is checked against the
// bytes of the inputs and the reference library's hash.
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { xxh3 } from '@node-rs/xxhash';
import { describe, expect, it, onTestFinished } from 'vitest';
import { BlockRing, type RingRange, rangeBytes, ringSlots } from '../../lib/checkpoint/block-ring.js';
import { InputPool } from '../../lib/checkpoint/input-pool.js';
import { OutputWriter } from '../../lib/checkpoint/output-writer.js';
import { runAhead } from '../../lib/checkpoint/run-ahead.js';
import { settleAll } from '../../lib/checkpoint/settle.js';
import { slotShape } from '../../lib/checkpoint/slot-shape.js';
import { dtypeByName, Engine, hostBufferBytes } from '../../lib/native.js';
import { randomBytes } from '../support/random.js';
import { tempDir } from '../support/temp.js';

const block = 64 * 1024;
const empty = new Uint8Array();
const digest = (bytes: Uint8Array): string => xxh3.xxh64(bytes).toString(16).padStart(16, '0');

async function openRing(inputPath: string, mode: 'direct' | 'cached', alphas: number[] = [0.5]) {
  const { size, mtimeMs } = await stat(inputPath);
  const pool = new InputPool([{ path: inputPath, size, mtimeMs }], mode);
  const engine = new Engine();
  const ring = await BlockRing.open(engine, pool, slotShape(block, 2), ringSlots, [alphas]);
  onTestFinished(async () => {
    ring.close();
    engine.close();
    await pool.close().catch(() => {});
  });
  return { pool, ring };
}

/** Copies `length` bytes at `from` of the input to `position` of the output. */
function copyRange(file: string, from: number, position: number, length: number, output: number): RingRange {
  const u8 = dtypeByName('U8')!.index;
  const copied = {
    dtypes: [u8, u8, u8],
    count: length,
    x: { file, position: from },
    y: undefined,
    outAt: 0,
  };
  return { segments: [copied], output, position, length };
}

/** The same, a few blocks at a time. */
function* copyRanges(file: string, bytes: number, output: number, shift = 0): Generator<RingRange> {
  const size = 3 * block;
  for (let position = 0; position < bytes; position += size) {
    yield copyRange(file, shift + position, position, Math.min(size, bytes - position), output);
  }
}

describe.each(['direct', 'cached'] as const)('a file read %s', (mode) => {
  it.each([0, 1, 4095, 4096, 70_001])('is copied and hashed from byte %i to its end', async (shift) => {
    const root = await tempDir();
    const content = randomBytes(40 * block + 1234, 1);
    writeFileSync(join(root, 'in'), content);
    const { pool, ring } = await openRing(join(root, 'in'), mode, [0.25, 0.5]);
    const bytes = content.length - shift;
    const writers = [
      await OutputWriter.create(join(root, 'direct'), bytes, true),
      await OutputWriter.create(join(root, 'cached'), bytes, false),
    ];
    const header = randomBytes(block + 99, 7);
    const output = ring.addOutput(writers, header);
    await runAhead(copyRanges(join(root, 'in'), bytes, output, shift), (range) => ring.submit(range));
    const expected = Buffer.concat([header, content.subarray(shift + header.length)]);
    const hashes = ring.finishOutput(output);
    for (const [k, writer] of writers.entries()) {
      const finished = await writer.finish(hashes[k]!);
      expect(readFileSync(writer.path).equals(expected)).toBe(true);
      expect(finished).toEqual({ name: ['direct', 'cached'][k], bytes, xxh3: digest(expected) });
    }
    await pool.close();
  });

  it('is read exactly beyond 4 GiB', async () => {
    const root = await tempDir();
    const mark = randomBytes(50_000, 2);
    const position = 5_000_000_123;
    const fd = openSync(join(root, 'sparse'), 'w');
    writeSync(fd, mark, 0, mark.length, position);
    closeSync(fd);
    const { ring } = await openRing(join(root, 'sparse'), mode);
    const writer = await OutputWriter.create(join(root, 'out'), mark.length, false);
    const output = ring.addOutput([writer], empty);
    const { done } = await ring.submit(copyRange(join(root, 'sparse'), position, 0, mark.length, output));
    await done;
    await writer.finish(ring.finishOutput(output)[0]!);
    expect(readFileSync(join(root, 'out')).equals(mark)).toBe(true);
  });

  it('that became shorter fails the run by name, soon, whatever waits for the block', async () => {
    const root = await tempDir();
    const input = join(root, 'in');
    const bytes = 100 * block;
    writeFileSync(input, randomBytes(bytes, 3));
    const { pool, ring } = await openRing(input, mode);
    const { release } = await pool.acquire([input]);
    truncateSync(input, 50 * block + 10_000);
    const writer = await OutputWriter.create(join(root, 'out'), bytes, true);
    const output = ring.addOutput([writer], empty);
    const running = runAhead(copyRanges(input, bytes, output), (range) => ring.submit(range));
    await expect(running).rejects.toMatchObject({
      code: 'ERR_INPUT_CHANGED',
      file: input,
      message: expect.stringContaining('became shorter'),
    });
    await release();
    const { done } = await ring.submit(copyRange(input, 0, 0, block, output));
    await expect(done).rejects.toMatchObject({ code: 'ERR_INPUT_CHANGED' });
    await writer.abandon();
  });
});

describe('ranges', () => {
  const mebi = 2 ** 20;

  it.each([
    ['32 blocks of a small output', mebi, 100 * mebi, 32],
    ['a sixteenth', mebi, 1600 * mebi, 100],
    ['no more than 128 blocks', mebi / 8, 16_000 * mebi, 16],
    ['no more than 128 MiB', 8 * mebi, 16_000 * mebi, 128],
    ['no more than 128 MiB of a small output', 8 * mebi, 100 * mebi, 128],
  ])('are of %s', (_, block, total, expected) => {
    expect(rangeBytes(block, total)).toBe(expected * mebi);
  });

  it('are whole pages', () => {
    expect(rangeBytes(mebi, 1e9 + 1) % 4096).toBe(0);
  });
});

describe('a run', () => {
  it('that cannot write names the file', async ({ skip }) => {
    if (!existsSync('/dev/full')) return skip('no /dev/full, a device that is always full, on this platform');
    const input = join(await tempDir(), 'in');
    writeFileSync(input, randomBytes(20 * block, 3));
    const { ring } = await openRing(input, 'cached');
    const fd = openSync('/dev/full', 'w');
    const full = { fd, direct: false, path: '/dev/full' } as OutputWriter;
    const output = ring.addOutput([full], empty);
    const running = runAhead(copyRanges(input, 20 * block, output), (range) => ring.submit(range));
    await expect(running).rejects.toMatchObject({
      code: 'ERR_NO_SPACE',
      file: '/dev/full',
      message: expect.stringMatching(/^cannot write \/dev\/full: No space/),
      hint: expect.any(String),
    });
    closeSync(fd);
  });

  it('stops when aborted', async () => {
    const root = await tempDir();
    const input = join(root, 'in');
    const bytes = 400 * block;
    writeFileSync(input, randomBytes(bytes, 3));
    const { ring } = await openRing(input, 'cached');
    const writer = await OutputWriter.create(join(root, 'out'), bytes, true);
    const output = ring.addOutput([writer], empty);
    const { signal, abort } = (() => {
      const controller = new AbortController();
      return { signal: controller.signal, abort: () => controller.abort(new Error('enough')) };
    })();
    let handedOver = 0;
    const running = runAhead(
      copyRanges(input, bytes, output),
      async (range) => {
        if (++handedOver > 20) abort();
        return ring.submit(range, signal);
      },
      signal,
    );
    await expect(running).rejects.toThrow('enough');
    expect(handedOver).toBeLessThan(30);
    await writer.abandon();
  });

  it.each([{ length: 99 }, { output: 1 }, { position: 1 }])(
    'refuses a range with a wrong %j',
    async (wrong) => {
      const input = join(await tempDir(), 'in');
      writeFileSync(input, randomBytes(block, 3));
      const { ring } = await openRing(input, 'cached');
      ring.addOutput([{ fd: 0, direct: false, path: '' } as OutputWriter], empty);
      const { done } = await ring.submit({ ...copyRange(input, 0, 0, 100, 0), ...wrong });
      await expect(done).rejects.toMatchObject({ code: 'ERR_INTERNAL_RANGE' });
    },
  );

  it('gives its memory back', async () => {
    const before = hostBufferBytes();
    const input = join(await tempDir(), 'in');
    writeFileSync(input, 'x');
    const { size, mtimeMs } = await stat(input);
    const engine = new Engine();
    const pool = new InputPool([{ path: input, size, mtimeMs }]);
    const ring = await BlockRing.open(engine, pool, slotShape(block, 1), ringSlots, [[0]]);
    expect(hostBufferBytes()).toBeGreaterThan(before);
    ring.close();
    engine.close();
    // The addon's own thread lets go last.
    await expect.poll(hostBufferBytes).toBe(before);
  });
});

describe('items', () => {
  it('are handed over one after another, in order, and a few are under way at once', async () => {
    const seen: number[] = [];
    let [handing, underWay, most] = [0, 0, 0];
    await runAhead(
      Array.from({ length: 50 }, (_, i) => i),
      async (item) => {
        expect(++handing).toBe(1);
        most = Math.max(most, ++underWay);
        await new Promise((resolve) => setTimeout(resolve, 1));
        seen.push(item);
        handing--;
        const work = new Promise<void>((resolve) => setTimeout(resolve, 5));
        return { done: work.then(() => void underWay--) };
      },
    );
    expect(seen).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect(underWay).toBe(0);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThan(5);
  });

  it('stop at the first failure, which is thrown when all under way have ended', async () => {
    let [handed, ended] = [0, 0];
    const running = runAhead(
      Array.from({ length: 1000 }, (_, i) => i),
      async () => {
        const mine = handed++;
        const work = async () => {
          await new Promise((resolve) => setTimeout(resolve, mine === 1 ? 5 : 30));
          ended++;
          if (mine === 1) throw new Error('second');
        };
        return { done: work() };
      },
    );
    await expect(running).rejects.toThrow('second');
    expect(ended).toBe(handed);
    expect(handed).toBeLessThan(6);
  });
});

describe('an output file', () => {
  it('is not written over one that exists', async () => {
    const path = join(await tempDir(), 'out');
    const writer = await OutputWriter.create(path, 10, false);
    await writer.abandon();
    expect(existsSync(path)).toBe(true);
    await expect(OutputWriter.create(path, 10, true)).rejects.toMatchObject({ code: 'ERR_IO', file: path });
  });
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

it('an output that cannot be used is named', async () => {
  const root = await tempDir();
  writeFileSync(join(root, 'in'), randomBytes(100, 1));
  const { ring } = await openRing(join(root, 'in'), 'cached');
  const path = join(root, 'out');
  const closed = { fd: 1_000_000, direct: false, path } as OutputWriter;
  expect(() => ring.addOutput([closed], empty)).toThrow(
    expect.objectContaining({
      code: 'ERR_IO',
      file: path,
      message: `cannot use ${path}: Bad file descriptor`,
    }),
  );
});
