// Arrays from .npy, .npz and .safetensors: against files by NumPy and bytes put together by hand.
import { truncateSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ArrayFile, openArrayFile } from '../../../lib/eval/data/array-file.js';
import { type DataRole, parseDataPath } from '../../../lib/eval/data/data-path.js';
import { tensor, writeStored } from '../../support/safetensors.js';
import { write } from './support/files.js';
import { npy, npyBytes } from './support/npy.js';
import { type NumpyFile, numpyFile } from './support/numpy-files.js';
import { zip } from './support/zip.js';

/** numpy.arange(12).reshape(3, 4) / 8 - 0.5. */
const arange = Array.from({ length: 12 }, (_, i) => i / 8 - 0.5);
const f32 = (...values: number[]): Float32Array => Float32Array.from(values);

async function open(source: string, role: DataRole = 'features'): Promise<ArrayFile> {
  return openArrayFile(parseDataPath(source, role), role);
}

async function readAll(array: ArrayFile): Promise<Buffer> {
  const rows = array.shape[0]!;
  const bytes = Buffer.alloc(rows * array.rowBytes);
  await array.readRows(0, rows, bytes);
  return bytes;
}

async function refusal(content: Buffer, name = 'x.npy', member = ''): Promise<unknown> {
  const path = await write(name, content);
  return open(path + member).then(
    async (array) => {
      await array.close();
      return 'accepted';
    },
    (error) => ({ code: error.code, file: error.file === path, message: error.message, hint: error.hint }),
  );
}

function refused(message: RegExp, hint = /./): object {
  return {
    code: 'ERR_DATA',
    file: true,
    message: expect.stringMatching(message),
    hint: expect.stringMatching(hint),
  };
}

describe('an .npy file by NumPy', () => {
  it.each(['float32', 'float32V2', 'float32V3'] as const)('is read: %s', async (name) => {
    const array = await open(await write('x.npy', numpyFile(name)));
    expect(array).toMatchObject({ dtype: 'F32', shape: [3, 4], rowBytes: 16 });
    expect(array.member).toBeUndefined();
    expect([...new Float32Array(new Uint8Array(await readAll(array)).buffer)]).toEqual(arange);
    await array.close();
  });

  it.each([
    ['float16', 'F16', [3, 4]],
    ['float64', 'F64', [3, 4]],
    ['int64', 'I64', [3]],
    ['uint8', 'U8', [3]],
    ['bool', 'BOOL', [3]],
  ] as [NumpyFile, string, number[]][])('of %s has the dtype %s', async (name, dtype, shape) => {
    const array = await open(await write('x.npy', numpyFile(name)));
    expect(array).toMatchObject({ dtype, shape });
    await array.close();
  });

  it.each([
    ['bigEndian', /big-endian/, /astype/],
    ['fortran', /Fortran order/, /ascontiguousarray/],
    ['objects', /dtype is "\|O"/, /Python objects/],
    ['text', /dtype is "<U5"/, /csv/],
    ['records', /structured/, /plain array/],
  ] as [NumpyFile, RegExp, RegExp][])('that is %s is refused with a way out', async (name, message, hint) => {
    expect(await refusal(numpyFile(name))).toEqual(refused(message, hint));
  });
});

describe('an .npy file', () => {
  it('gives any range of its rows, in pieces and in one', async () => {
    const rows = 50;
    const data = Uint16Array.from({ length: rows * 3 }, (_, i) => i * 257);
    const array = await open(await write('x.npy', npy('<u2', [rows, 3], data)));
    const whole = Buffer.from(data.buffer);
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: rows }), fc.nat({ max: rows }), async (a, b) => {
        const [first, end] = [Math.min(a, b), Math.max(a, b)];
        const into = new Uint8Array(6 * (end - first));
        await array.readRows(first, end - first, into);
        expect(whole.subarray(6 * first, 6 * end).equals(into)).toBe(true);
      }),
      { numRuns: 40 },
    );
    for (const [first, count, bytes] of [
      [-1, 1, 6],
      [50, 1, 6],
      [0, 51, 306],
      [0, 1, 5],
      [0.5, 51, 306],
    ] as const) {
      await expect(array.readRows(first, count, new Uint8Array(bytes))).rejects.toMatchObject({
        code: 'ERR_INTERNAL_RANGE',
      });
    }
    await array.close();
  });

  it('in Fortran order is read where that is the same order', async () => {
    const dict = (shape: string): string => `{'descr': '<f4', 'fortran_order': True, 'shape': ${shape}, }`;
    for (const shape of ['(4,)', '(4, 1)', '(1, 4)']) {
      const path = await write('x.npy', npyBytes({ dict: dict(shape), data: f32(1, 2, 3, 4) }));
      const array = await open(path);
      expect(await readAll(array)).toEqual(Buffer.from(f32(1, 2, 3, 4).buffer));
      await array.close();
    }
    expect(await refusal(npyBytes({ dict: dict('(2, 2)'), data: f32(1, 2, 3, 4) }))).toEqual(
      refused(/Fortran/),
    );
  });

  const dict = (shape: string, descr = '<f4'): string =>
    `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`;
  const valid = npyBytes({ dict: dict('(2, 2)'), data: f32(1, 2, 3, 4) });
  const patched = (at: number, ...bytes: number[]): Buffer => {
    const copy = Buffer.from(valid);
    copy.set(bytes, at);
    return copy;
  };

  it.each([
    ['is empty', Buffer.alloc(0), /does not start/],
    ['has another magic', patched(1, 0x6e), /does not start/],
    ['ends in its magic', valid.subarray(0, 5), /does not start/],
    ['ends in its version', valid.subarray(0, 7), /version/],
    ['has version 4.0', patched(6, 4), /version is 4\.0/],
    ['has version 1.1', patched(7, 1), /version is 1\.1/],
    ['ends in its header length', valid.subarray(0, 9), /9 bytes/],
    ['ends in its header', valid.subarray(0, 40), /promises 118 bytes, and 30 are there/],
    ['ends in its data', valid.subarray(0, -1), /promises 16 bytes .* it has 15/],
    ['has more than its data', Buffer.concat([valid, Buffer.of(0)]), /promises 16 bytes .* it has 17/],
    [
      'declares a header of 4 GB',
      npyBytes({ version: [2, 0], dict: dict('(2, 2)'), data: f32(1, 2, 3, 4), declaredLength: 2 ** 32 - 1 }),
      /4294967295 bytes is longer/,
    ],
    ['has a call for its shape', npyBytes({ dict: dict("__import__('os')") }), /'\(' was expected/],
    ['has a negative size', npyBytes({ dict: dict('(-2, 2)'), data: f32(1, 2, 3, 4) }), /a size of at most/],
    ['has a size beyond 2^53', npyBytes({ dict: dict('(9999999999999999, 0)') }), /larger than any file/],
    [
      'has sizes whose product is beyond 2^64',
      npyBytes({ dict: dict('(4294967296, 4294967297)') }),
      /larger than any file/,
    ],
    ['has bfloat16 by its size only', npyBytes({ dict: dict('(1,)', '<V2') }), /dtype is "<V2"/],
    ['has complex numbers', npyBytes({ dict: dict('(1,)', '<c8') }), /dtype is "<c8"/],
    ['has a dtype named as a method', npyBytes({ dict: dict('(1,)', '<toString') }), /dtype is/],
  ])('that %s is refused', async (_, content, message) => {
    expect(await refusal(valid)).toBe('accepted');
    expect(await refusal(content)).toEqual(refused(message));
  });

  it('that is cut off after it was opened names the bytes', async () => {
    const path = await write('x.npy', valid);
    const array = await open(path);
    truncateSync(path, valid.length - 3);
    await expect(array.readRows(0, 2, new Uint8Array(16))).rejects.toMatchObject({
      code: 'ERR_DATA',
      file: path,
      details: { needed: valid.length, there: valid.length - 3 },
    });
    await array.close();
  });

  it('has no members, must exist, and must be a file', async () => {
    const path = await write('x.npy', valid);
    await expect(open(`${path}:features`)).rejects.toMatchObject({ code: 'ERR_DATA', file: path });
    await expect(open('/nowhere/x.npy')).rejects.toMatchObject({ code: 'ERR_IO', file: '/nowhere/x.npy' });
    await expect(open('/nowhere/x.pkl')).rejects.toMatchObject({ code: 'ERR_DATA' });
    await expect(open('/nowhere/x.csv')).rejects.toMatchObject({ code: 'ERR_DATA' });
  });
});

describe('an .npz file', () => {
  it.each(['stored', 'compressed'] as const)('by NumPy, %s, is read by role and by name', async (name) => {
    const path = await write('set:1.npz', numpyFile(name));
    const features = await open(path);
    expect(features).toMatchObject({ member: 'features', dtype: 'F32', shape: [3, 4] });
    expect([...new Float32Array(new Uint8Array(await readAll(features)).buffer)]).toEqual(arange);
    const middle = new Uint8Array(16);
    await features.readRows(1, 1, middle);
    expect([...new Float32Array(middle.buffer)]).toEqual(arange.slice(4, 8));
    const labels = await open(path, 'labels');
    expect(labels).toMatchObject({ member: 'labels', dtype: 'I64', shape: [3] });
    expect([...new BigInt64Array(new Uint8Array(await readAll(labels)).buffer)]).toEqual([2n, 0n, 1n]);
    const groups = await open(`${path}:g`, 'labels');
    expect(groups).toMatchObject({ member: 'g', dtype: 'I32' });
    await Promise.all([features.close(), labels.close(), groups.close()]);
  });

  const array = npy('<f4', [2, 2], f32(1, 2, 3, 4));

  it('takes the only array, whatever its name, and asks where there are several', async () => {
    const one = await open(await write('x.npz', zip([{ name: 'arr_0.npy', data: array }])));
    expect(one.member).toBe('arr_0');
    await one.close();
    const two = zip([
      { name: 'a.npy', data: array },
      { name: 'b.npy', data: array },
    ]);
    expect(await refusal(two, 'x.npz')).toEqual(refused(/several arrays/, /x\.npz:NAME; it has: a, b/));
    expect(await refusal(two, 'x.npz', ':c')).toEqual(refused(/has no array "c"/, /a, b/));
    expect(await refusal(two, 'x.npz', ':a')).toBe('accepted');
    expect(await refusal(zip([]), 'x.npz')).toEqual(refused(/empty/));
  });

  it('prefers the usual names in their order', async () => {
    const names = ['embeddings', 'x', 'X', 'features'];
    for (let left = names.length; left > 0; left--) {
      const members = ['other', ...names.slice(0, left)].map((name) => ({
        name: `${name}.npy`,
        data: array,
      }));
      const opened = await open(await write('x.npz', zip(members)));
      expect(opened.member).toBe(names[left - 1]);
      await opened.close();
    }
  });

  const member = { name: 'x.npy', data: array };
  const noise = Buffer.concat([array.subarray(0, 128), Buffer.alloc(16, 7)]);

  it.each([
    ['is no archive', array, /not a readable \.npz/],
    ['is cut off', zip([member]).subarray(0, -30), /not a readable \.npz/],
    ['has an array twice', zip([member, member]), /more than one array "x"/],
    ['is compressed otherwise', zip([{ ...member, declaredMethod: 12 }]), /not compressed by deflate/],
    ['has a wrong checksum', zip([{ ...member, data: noise, deflate: true, declaredCrc: 1 }]), /checksum/],
    ['unfolds into less', zip([{ ...member, deflate: true, declaredSize: 150 }]), /not enough bytes/],
    ['unfolds into more', zip([{ ...member, deflate: true, declaredSize: 100 }]), /too many bytes/],
    ['claims too much', zip([{ ...member, deflate: true, declaredSize: 2 ** 30 }]), /cannot unfold/],
    [
      'is compressed beyond the bound',
      zip([{ ...member, deflate: true, declaredSize: 2 ** 30 + 1 }]),
      /are read up to/,
    ],
    [
      'holds a damaged array',
      zip([{ ...member, data: array.subarray(0, 140) }]),
      /:x cannot be read: .* it has 12/,
    ],
  ])('that %s is refused', async (_, content, message) => {
    expect(await refusal(zip([{ ...member, deflate: true }]), 'x.npz')).toBe('accepted');
    expect(await refusal(content, 'x.npz')).toEqual(refused(message));
  });
});

describe('a .safetensors file', () => {
  it('is read by role and by name, with the bytes of its dtype', async () => {
    const path = await write('x.safetensors', '');
    const bf16 = Uint16Array.of(0x3f80, 0x4000, 0xbf80, 0x0001);
    writeStored(path, [
      tensor('labels', 'I64', [2], BigInt64Array.of(1n, 0n)),
      tensor('embeddings', 'BF16', [2, 2], bf16),
      tensor('other', 'F32', [1], f32(5)),
    ]);
    const features = await open(path);
    expect(features).toMatchObject({ member: 'embeddings', dtype: 'BF16', shape: [2, 2] });
    expect(await readAll(features)).toEqual(Buffer.from(bf16.buffer));
    const other = await open(`${path}:other`);
    expect(await readAll(other)).toEqual(Buffer.from(f32(5).buffer));
    await Promise.all([features.close(), other.close()]);
    await expect(open(`${path}:none`)).rejects.toMatchObject({ code: 'ERR_DATA', file: path });
    truncateSync(path, 300);
    await expect(open(path)).rejects.toMatchObject({ name: 'WisemergeError', file: path });
  });
});
