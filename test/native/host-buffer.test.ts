import { constants } from 'node:buffer';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, it } from 'vitest';
import { addon, call } from '../../lib/native/addon.js';
import { compareSpan, dtypeByName, Engine, HostBuffer, hostBufferBytes } from '../../lib/native.js';

const F32 = dtypeByName('F32')!.index;
const MiB = 2 ** 20;
const baseline = hostBufferBytes();

afterEach(() => {
  expect(hostBufferBytes()).toBe(baseline);
});

describe('HostBuffer', () => {
  it('is zero-filled memory that JavaScript reads and writes', () => {
    using buffer = new HostBuffer(5 * MiB + 3);
    expect(buffer.byteLength).toBe(5 * MiB + 3);
    expect(buffer.buffer.byteLength).toBe(5 * MiB + 3);
    expect(buffer.bytes(0, buffer.byteLength).every((byte) => byte === 0)).toBe(true);
    buffer.bytes(5 * MiB, 3).set([1, 2, 3]);
    expect([...buffer.bytes(5 * MiB + 1, 2)]).toEqual([2, 3]);
    expect(hostBufferBytes() - baseline).toBe(buffer.byteLength);
  });

  it('refuses views outside of it', () => {
    using buffer = new HostBuffer(100);
    expect(() => buffer.bytes(90, 11)).toThrow(RangeError);
    expect(() => buffer.bytes(-1, 1)).toThrow(RangeError);
  });

  it.each([0, -1, 0.5, Number.NaN, 2 ** 53])('refuses a size of %s', (bytes) => {
    expect(() => new HostBuffer(bytes)).toThrow(
      expect.objectContaining({ code: bytes === 0 ? 'ERR_INTERNAL_RANGE' : 'ERR_INTERNAL_ARGUMENT' }),
    );
  });

  it('reports memory that cannot be had, with the size', () => {
    expect(() => new HostBuffer(2 ** 50)).toThrow(
      expect.objectContaining({
        name: 'WisemergeError',
        code: 'ERR_OUT_OF_MEMORY',
        message: expect.stringContaining(String(2 ** 50)),
      }),
    );
  });

  // Node 20 has 4 GiB; later ones have more than there is.
  it.runIf(constants.MAX_LENGTH < 2 ** 33)(
    'is no larger than Node can show, and frees what it cannot',
    () => {
      const bytes = constants.MAX_LENGTH + 1;
      expect(() => new HostBuffer(bytes)).toThrow(
        expect.objectContaining({
          code: 'ERR_OUT_OF_MEMORY',
          message: expect.stringMatching(/this version of Node has at most \d+/),
        }),
      );
      expect(() => call(() => new addon.HostBuffer(bytes))).toThrow(
        expect.objectContaining({
          code: 'ERR_EXTERNAL_BUFFERS',
          message: expect.stringContaining(`${bytes} bytes`),
        }),
      );
    },
  );

  it('frees at release and leaves no view behind', () => {
    const buffer = new HostBuffer(MiB);
    const { buffer: arrayBuffer } = buffer;
    const view = new Float32Array(arrayBuffer, 16, 4).fill(1);
    buffer.release();
    expect(hostBufferBytes()).toBe(baseline);
    expect(arrayBuffer.byteLength).toBe(0);
    expect(view.length).toBe(0);
    expect(view[0]).toBeUndefined();
    expect(() => buffer.buffer).toThrow(expect.objectContaining({ code: 'ERR_BUFFER_RELEASED' }));
    expect(() => buffer.bytes(0, 1)).toThrow(expect.objectContaining({ code: 'ERR_BUFFER_RELEASED' }));
    expect(() => buffer.release()).not.toThrow();
  });

  it('frees at release what was pinned for a device that pins nothing', async () => {
    using engine = new Engine({ device: 'cpu' });
    const buffer = new HostBuffer(MiB);
    await engine.pin(buffer);
    buffer.release();
    expect(hostBufferBytes()).toBe(baseline);
  });

  it('is refused by jobs once released', async () => {
    using engine = new Engine();
    const buffer = new HostBuffer(64);
    buffer.release();
    await expect(engine.compare(buffer, Float64Array.of(F32, F32, 1, 0, 4))).rejects.toMatchObject({
      code: 'ERR_BUFFER_RELEASED',
    });
  });

  it('lives on under a job that uses it, until the job ends', async () => {
    using engine = new Engine({ threads: 1 });
    const buffer = new HostBuffer(8 * MiB);
    const count = MiB;
    new Float32Array(buffer.buffer, 0, 2 * count).fill(1, 0, count).fill(3, count);
    // The same megabytes many times over: long enough to be running when the buffer goes.
    const rows = Float64Array.from({ length: 5 * 100 }, (_, i) => [F32, F32, count, 0, 4 * count][i % 5]!);
    const job = engine.compare(buffer, rows);
    buffer.release();
    expect(hostBufferBytes() - baseline).toBe(8 * MiB);
    const sums = await job;
    expect(sums.length).toBe((100 * count * 10) / compareSpan);
    for (let row = 0; row < sums.length; row += 10) {
      expect([...sums.subarray(row, row + 6)]).toEqual(
        [1, 9, 3, 4, 2 / compareSpan, 0].map((v) => v * compareSpan),
      );
    }
    await new Promise(setImmediate);
    expect(hostBufferBytes()).toBe(baseline);
  });

  it('cannot be pulled from under a job by a transfer', async () => {
    using engine = new Engine();
    using buffer = new HostBuffer(64);
    new Float32Array(buffer.buffer, 0, 2).set([2, 5]);
    const { port1, port2 } = new MessageChannel();
    for (const attempt of [
      () => structuredClone(buffer.buffer, { transfer: [buffer.buffer] }),
      () => port1.postMessage(buffer.buffer, [buffer.buffer]),
    ]) {
      try {
        attempt(); // a copy or a DataCloneError, by Node's version
      } catch (error) {
        expect((error as Error).name).toBe('DataCloneError');
      }
      expect(buffer.buffer.byteLength).toBe(64);
    }
    port1.close();
    port2.close();
    const sums = await engine.compare(buffer, Float64Array.of(F32, F32, 1, 0, 4));
    expect([...sums.subarray(0, 5)]).toEqual([4, 25, 10, 9, 3]);
  });

  it('leaves memory that was transferred to whoever has it now', async () => {
    // Of Node 21 and later without the flag; it takes no heed of what Node marks as untransferable.
    setFlagsFromString('--harmony-rab-gsab-transfer');
    setFlagsFromString('--expose-gc');
    const transfer = runInNewContext('ArrayBuffer.prototype.transfer') as () => ArrayBuffer;
    const gc = runInNewContext('gc') as () => void;
    const buffer = new HostBuffer(MiB);
    let moved: Uint8Array | undefined = new Uint8Array(transfer.call(buffer.buffer)).fill(9);
    buffer.release();
    expect(hostBufferBytes()).toBe(baseline + MiB);
    expect(moved.every((byte) => byte === 9)).toBe(true);
    moved = undefined;
    for (let round = 0; round < 50 && hostBufferBytes() !== baseline; round++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  });

  it('is freed by the garbage collector, but not while a view of it lives', async () => {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    const collectUntil = async (bytes: number) => {
      for (let round = 0; round < 50 && hostBufferBytes() !== bytes; round++) {
        gc();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    let view: Uint8Array | undefined;
    (() => {
      view = new HostBuffer(MiB).bytes(0, MiB).fill(9);
      new HostBuffer(2 * MiB);
    })();
    await collectUntil(baseline + MiB);
    expect(hostBufferBytes()).toBe(baseline + MiB);
    expect(view!.every((byte) => byte === 9)).toBe(true);
    view = undefined;
    await collectUntil(baseline);
  });
});
