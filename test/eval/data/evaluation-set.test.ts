// Evaluation sets: what is checked when they are opened, and what their rows are.
import { describe, expect, it } from 'vitest';
import type { ArrayFile } from '../../../lib/eval/data/array-file.js';
import {
  type EvaluationSet,
  type HeadShape,
  openEvaluationSet,
  type SetSource,
} from '../../../lib/eval/data/evaluation-set.js';
import { fingerprintOf } from '../../../lib/eval/data/fingerprint.js';
import { tensor, writeStored } from '../../support/safetensors.js';
import { write } from './support/files.js';
import { npy } from './support/npy.js';
import { numpyFile } from './support/numpy-files.js';

type Files = Omit<SetSource, 'name' | 'role' | 'kind'>;

function open(files: Files, head?: HeadShape): Promise<EvaluationSet> {
  return openEvaluationSet({ name: 'sketch', role: 'report', kind: 'shift', ...files }, head);
}

const labels = (...values: number[]): Promise<string> => write('y.csv', `label\n${values.join('\n')}\n`);
const features = (shape: readonly number[], values: ArrayLike<number>, descr = '<f4'): Promise<string> =>
  write('x.npy', npy(descr, shape, descr === '<f8' ? Float64Array.from(values) : Float32Array.from(values)));

async function problems(files: Files, head?: HeadShape): Promise<unknown> {
  return open(files, head).then(
    async (set) => {
      await set.close();
      return 'accepted';
    },
    (error) => error.details?.problems ?? error,
  );
}

const problem = (code: string, message: RegExp): object =>
  expect.objectContaining({ code, message: expect.stringMatching(message), hint: expect.any(String) });

describe('a set', () => {
  it('has its samples, labels, groups and rows', async () => {
    const path = await write('set.npz', numpyFile('stored'));
    const set = await open({ features: path, labels: path, groups: path }, { dimension: 4, classes: 3 });
    expect(set).toMatchObject({
      name: 'sketch',
      role: 'report',
      kind: 'shift',
      samples: 3,
      dimension: 4,
      featureDtype: 'F32',
      labels: Int32Array.of(2, 0, 1),
      groups: { names: ['9', '10'], ids: Int32Array.of(1, 0, 1) },
    });
    const into = new Float32Array(8);
    await set.readFeatures(1, 2, new Uint8Array(into.buffer));
    expect([...into]).toEqual([0, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8]);
    for (const [first, count, bytes] of [
      [0, 1, 15],
      [2, 2, 32],
      [-1, 1, 16],
    ] as const) {
      await expect(set.readFeatures(first, count, new Uint8Array(bytes))).rejects.toMatchObject({
        code: 'ERR_INTERNAL_RANGE',
      });
    }
    await set.close();
  });

  it('of pictures has their shape, where pictures are wanted', async () => {
    const files = { features: await features([2, 1, 2, 3], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]) };
    const set = await open({ ...files, labels: await labels(0, 1) }, { pictures: true });
    expect(set).toMatchObject({ samples: 2, dimension: 6, shape: [1, 2, 3] });
    const into = new Float32Array(6);
    await set.readFeatures(1, 1, new Uint8Array(into.buffer));
    expect([...into]).toEqual([6, 7, 8, 9, 10, 11]);
    await set.close();
    const refused = [problem('ERR_DATA', /\[2, 1, 2, 3\]; features are \[samples, dimension\]$/)];
    expect(await problems({ ...files, labels: await labels(0, 1) })).toEqual(refused);
    const flat = { features: await features([2, 2, 3], new Float32Array(12)), labels: await labels(0, 1) };
    expect(await problems(flat, { pictures: true })).toEqual([
      problem('ERR_DATA', /pictures \[samples, channels/),
    ]);
  });

  it('of float64 gives float32, rounded to nearest even, aligned or not', async () => {
    const values = [1 + 2 ** -24, 1 + 3 * 2 ** -24, 0.1, -1e-46, 3.4028235677973362e38, 2 ** -149];
    const expected = [1, 1 + 2 ** -22, Math.fround(0.1), -0, 3.4028234663852886e38, 2 ** -149];
    const set = await open({
      features: await features([3, 2], values, '<f8'),
      labels: await labels(0, 1, 0),
    });
    expect(set.featureDtype).toBe('F32');
    for (const offset of [0, 1]) {
      const bytes = new Uint8Array(24 + offset).subarray(offset);
      await set.readFeatures(0, 3, bytes);
      expect([...new Float32Array(bytes.slice().buffer)]).toEqual(expected);
    }
    await set.close();
  });

  const bad = { nan: Number.NaN, plus: Number.POSITIVE_INFINITY, minus: Number.NEGATIVE_INFINITY };
  const codes = {
    F32: { nan: 0x7fc00000, plus: 0x7f800000, minus: 0xff800000, largest: 0x7f7fffff },
    F16: { nan: 0x7e00, plus: 0x7c00, minus: 0xfc00, largest: 0x7bff },
    BF16: { nan: 0x7fc0, plus: 0x7f80, minus: 0xff80, largest: 0x7f7f },
  } as const;

  it.each(['F32', 'F16', 'BF16'] as const)(
    'of %s refuses NaN and infinities by row and column',
    async (dtype) => {
      const [rows, dimension] = [4, 5];
      for (const kind of ['nan', 'plus', 'minus'] as const) {
        const data = new (dtype === 'F32' ? Uint32Array : Uint16Array)(20).fill(codes[dtype].largest);
        data[17] = codes[dtype][kind];
        const path = await write('x.safetensors', '');
        writeStored(path, [tensor('x', dtype, [rows, dimension], data)]);
        const set = await open({ features: path, labels: await labels(0, 0, 0, 0) });
        expect(set.featureDtype).toBe(dtype);
        const rowBytes = dimension * data.BYTES_PER_ELEMENT;
        await set.readFeatures(0, 3, new Uint8Array(3 * rowBytes));
        for (const offset of [0, 1]) {
          const into = new Uint8Array(2 * rowBytes + offset).subarray(offset);
          await expect(set.readFeatures(2, 2, into)).rejects.toMatchObject({
            code: 'ERR_DATA',
            file: path,
            message: expect.stringContaining(`row 3, column 2: the feature is ${bad[kind]}`),
            details: { row: 3, column: 2 },
          });
        }
        await set.close();
      }
    },
  );

  it('of float64 refuses what float32 cannot hold', async () => {
    for (const value of [Number.NaN, 1e39, Number.NEGATIVE_INFINITY]) {
      const set = await open({
        features: await features([2, 2], [0, 0, value, 0], '<f8'),
        labels: await labels(0, 0),
      });
      await expect(set.readFeatures(0, 2, new Uint8Array(16))).rejects.toMatchObject({
        code: 'ERR_DATA',
        details: { row: 1, column: 0 },
      });
      await set.close();
    }
  });
});

describe('a set that cannot be used', () => {
  const two = (): Promise<string> => features([2, 3], [1, 2, 3, 4, 5, 6]);

  it('names the set, the counts and the files', async () => {
    const files = { features: await two(), labels: await labels(0, 1, 1) };
    await expect(open(files)).rejects.toMatchObject({
      name: 'WisemergeError',
      code: 'ERR_DATA_MISMATCH',
      file: files.labels,
      message: `set "sketch": ${files.labels} has 3 labels for 2 rows of features (${files.features})`,
    });
  });

  it('has one problem for each check', async () => {
    const good = { features: await two(), labels: await labels(0, 1) };
    const head = { dimension: 3, classes: 2 };
    expect(await problems(good, head)).toBe('accepted');
    expect(await problems(good, { dimension: 4 })).toEqual([
      problem('ERR_DATA_MISMATCH', /has 3 .* head takes 4/),
    ]);
    expect(await problems(good, { classes: 1 })).toEqual([
      problem('ERR_DATA_MISMATCH', /line 3: label 1 is outside 0\.\.0/),
    ]);
    expect(await problems({ ...good, groups: await write('g.csv', 'g\n1\n') }, head)).toEqual([
      problem('ERR_DATA_MISMATCH', /1 groups for 2 rows of features/),
    ]);
    expect(await problems({ ...good, features: await features([2, 1, 1, 3], new Float32Array(6)) })).toEqual([
      problem('ERR_DATA', /shape \[2, 1, 1, 3\]; features are \[samples, dimension\]/),
    ]);
    expect(await problems({ ...good, features: await features([2], [1, 2]) })).toEqual([
      problem('ERR_DATA', /shape \[2\]/),
    ]);
    expect(
      await problems({ features: await features([0, 3], []), labels: await write('y.csv', 'label\n') }),
    ).toEqual([problem('ERR_DATA', /is empty/)]);
    expect(await problems({ ...good, features: await features([2, 0], []) })).toEqual([
      problem('ERR_DATA', /is empty/),
    ]);
    const integers = await write('x.npy', npy('<i8', [2, 3], new BigInt64Array(6)));
    expect(await problems({ ...good, features: integers })).toEqual([
      problem('ERR_DATA', /dtype I64; features are/),
    ]);
  });

  it('lists everything that is wrong at once', async () => {
    const files = {
      features: await features([2, 3], new Float32Array(6)),
      labels: await labels(0, 7, 1),
      groups: await write('g.csv', 'group\na\nb\n\nc\n'),
    };
    const expected = [
      problem('ERR_DATA_MISMATCH', /label 7 is outside 0\.\.1/),
      problem('ERR_DATA_MISMATCH', /has 3 features per sample, and the head takes 8/),
      problem('ERR_DATA_MISMATCH', /3 groups for 2 rows/),
    ];
    expect(await problems(files, { dimension: 8, classes: 2 })).toEqual(expected);
    await expect(open(files, { dimension: 8, classes: 2 })).rejects.toThrow(/set "sketch" has 3 problems/);
  });

  it('lists files that cannot be read among them', async () => {
    const files = { features: '/nowhere/x.npy', labels: await labels(0, -1), groups: '/nowhere/g.csv' };
    expect(await problems(files)).toEqual([
      expect.objectContaining({ code: 'ERR_IO', file: '/nowhere/x.npy' }),
      problem('ERR_DATA', /-1 is negative/),
      expect.objectContaining({ code: 'ERR_IO', file: '/nowhere/g.csv' }),
    ]);
    await expect(open(files)).rejects.toMatchObject({ code: 'ERR_IO' });
    const other = {
      features: '/nowhere/x.npy',
      labels: await labels(0, 1),
      groups: await write('g.csv', 'g\n1\n'),
    };
    expect(await problems(other)).toEqual([
      expect.objectContaining({ code: 'ERR_IO' }),
      problem('ERR_DATA_MISMATCH', /1 groups for 2 rows of labels/),
    ]);
  });
});

describe('the fingerprint of a set', () => {
  const base = Float32Array.from({ length: 12 }, (_, i) => i);
  const fingerprint = async (files: Files): Promise<string> => {
    const set = await open(files);
    await set.close();
    return set.fingerprint;
  };
  const small = async (
    values: Float32Array,
    shape: number[],
    y: readonly number[],
    groups?: string,
  ): Promise<string> =>
    fingerprint({
      features: await features(shape, values),
      labels: await labels(...y),
      ...(groups !== undefined && {
        groups: await write('g.csv', `group\n${groups.split('').join('\n')}\n`),
      }),
    });

  it('is the same for the same content in another format and place', async () => {
    const path = await write('x.safetensors', '');
    writeStored(path, [
      tensor('features', 'F32', [3, 4], base),
      tensor('y', 'U8', [3], Uint8Array.of(1, 0, 2)),
    ]);
    const one = await fingerprint({ features: path, labels: path });
    expect(one).toMatch(/^[0-9a-f]{16}$/);
    expect(await small(base, [3, 4], [1, 0, 2])).toBe(one);
  });

  it('changes with any feature, label, group, shape or dtype', async () => {
    const changed = base.with(11, -1);
    const all = [
      await small(base, [3, 4], [1, 0, 2]),
      await small(changed, [3, 4], [1, 0, 2]),
      await small(base, [3, 4], [1, 1, 2]),
      await small(base, [4, 3], [1, 0, 2, 0]),
      await small(base, [3, 4], [1, 0, 2], 'aab'),
      await small(base, [3, 4], [1, 0, 2], 'aba'),
      await small(base, [3, 4], [1, 0, 2], 'aac'),
      await fingerprint({ features: await features([3, 4], base, '<f8'), labels: await labels(1, 0, 2) }),
    ];
    expect(new Set(all).size).toBe(all.length);
  });

  it('sees every feature of a few MiB', async () => {
    const rows = 3 * 2 ** 18;
    const y = await write('y.npy', npy('|u1', [rows], new Uint8Array(rows)));
    const of = async (at: number): Promise<string> => {
      const values = new Float32Array(rows);
      if (at >= 0) values[at] = 1;
      return fingerprint({ features: await features([rows, 1], values), labels: y });
    };
    const places = [-1, 0, 2 ** 18 - 1, 2 ** 18 + 1, rows / 2, 2 ** 19, rows - 1];
    const all: string[] = [];
    for (const at of places) all.push(await of(at));
    expect(new Set(all).size).toBe(all.length);
  });

  it('sees both ends of 10 GB and a part of the whole between, and reads little', async () => {
    const size = 10e9;
    let bytesRead = 0;
    const of = (from: number, to: number): Promise<string> => {
      bytesRead = 0;
      const read = async (into: Uint8Array, position: number): Promise<void> => {
        bytesRead += into.length;
        for (let i = Math.max(0, from - position); i < into.length && position + i < to; i++) into[i] = 1;
      };
      const file = { dtype: 'F32', shape: [size / 4, 1], data: { size, read } } as unknown as ArrayFile;
      return fingerprintOf(file, new Int32Array(1), undefined);
    };
    const share = size / 64;
    const all = [await of(0, 0), await of(0, 1), await of(2 ** 20 - 1, 2 ** 20), await of(size - 1, size)];
    for (const k of [0, 20, 63]) all.push(await of(k * share + 2 ** 20, (k + 1) * share - 2 ** 20));
    expect(new Set(all).size).toBe(all.length);
    expect(bytesRead).toBe(6 * 2 ** 20);
  });
});
