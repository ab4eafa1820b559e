// Labels and their errors, format by format.
import { describe, expect, it } from 'vitest';
import { type LabelOptions, readLabels } from '../../../lib/eval/data/labels.js';
import { tensor, writeStored } from '../../support/safetensors.js';
import { write } from './support/files.js';
import { npy } from './support/npy.js';
import { numpyFile } from './support/numpy-files.js';
import { parquet } from './support/parquet.js';
import { zip } from './support/zip.js';

async function read(
  name: string,
  content: string | Buffer,
  options?: LabelOptions,
  column = '',
): Promise<number[]> {
  return [...(await readLabels((await write(name, content)) + column, options))];
}

/** Rejects with the code, a message with `<path><at>` followed by `why`, and a hint. */
async function expectRefusal(
  [name, content, options]: readonly [string, string | Buffer, LabelOptions?],
  code: string,
  at: string,
  why: string,
): Promise<void> {
  const path = await write(name, content);
  const error = await readLabels(path, options).then(
    (labels) => `accepted ${labels}`,
    (reason) => reason,
  );
  expect(error).toMatchObject({ name: 'WisemergeError', code, file: path, hint: expect.any(String) });
  expect(error.message).toContain(`${path}${at}`);
  expect(error.message).toContain(why);
}

describe('labels from arrays', () => {
  const typed = [
    ['|b1', Uint8Array.of(1, 0, 1)],
    ['|i1', Int8Array.of(1, 0, 1)],
    ['|u1', Uint8Array.of(1, 0, 1)],
    ['<i2', Int16Array.of(1, 0, 1)],
    ['<u2', Uint16Array.of(1, 0, 1)],
    ['<i4', Int32Array.of(1, 0, 1)],
    ['<u4', Uint32Array.of(1, 0, 1)],
    ['<i8', BigInt64Array.of(1n, 0n, 1n)],
    ['<u8', BigUint64Array.of(1n, 0n, 1n)],
    ['<f2', Uint16Array.of(0x3c00, 0x8000, 0x3c00)],
    ['<f4', Float32Array.of(1, -0, 1)],
    ['<f8', Float64Array.of(1, 0, 1)],
  ] as const;

  it.each(typed)('of dtype %s', async (descr, data) => {
    expect(await read('y.npy', npy(descr, [3], data))).toEqual([1, 0, 1]);
    expect(await read('y.npy', npy(descr, [3, 1], data))).toEqual([1, 0, 1]);
  });

  it('by NumPy, from .npz and from .safetensors', async () => {
    expect(await read('y.npy', numpyFile('int64'))).toEqual([2, 0, 1]);
    expect(await read('y.npz', numpyFile('compressed'))).toEqual([2, 0, 1]);
    expect(await read('y.npz', zip([{ name: 'y.npy', data: numpyFile('uint8') }]), {}, ':y')).toEqual([
      2, 0, 1,
    ]);
    const path = await write('y.safetensors', '');
    writeStored(path, [
      tensor('features', 'F32', [1, 1]),
      tensor('targets', 'BF16', [3], Uint16Array.of(0x43e6, 0x3f80, 0)), // 460, 1, 0
    ]);
    expect([...(await readLabels(path))]).toEqual([460, 1, 0]);
  });

  it('of more rows than one chunk are all read', async () => {
    const count = 2 ** 19 + 3;
    const data = BigInt64Array.from({ length: count }, (_, i) => BigInt(i % 1000));
    const labels = await readLabels(await write('y.npy', npy('<i8', [count], data)), { classes: 1000 });
    expect(labels.length).toBe(count);
    expect(labels.every((label, i) => label === i % 1000)).toBe(true);
  });

  it('that cannot be class indices are refused by row', async () => {
    const i8 = (...values: bigint[]): Buffer => npy('<i8', [values.length], BigInt64Array.from(values));
    const f8 = (...values: number[]): Buffer => npy('<f8', [values.length], Float64Array.from(values));
    await expectRefusal(['y.npy', i8(0n, -1n)], 'ERR_DATA', ' row 1', 'label -1 is negative');
    await expectRefusal(['y.npy', i8(-(2n ** 63n))], 'ERR_DATA', ' row 0', 'is negative');
    await expectRefusal(['y.npy', f8(0, 1, 1.5)], 'ERR_DATA', ' row 2', 'label 1.5 is not a whole number');
    await expectRefusal(['y.npy', f8(Number.NaN)], 'ERR_DATA', ' row 0', 'NaN is not a whole number');
    await expectRefusal(['y.npy', i8(5n, 2n ** 31n)], 'ERR_DATA_MISMATCH', ' row 1', 'too large');
    await expectRefusal(
      ['y.npy', i8(2n ** 62n + 1n), { classes: 9 }],
      'ERR_DATA_MISMATCH',
      ' row 0',
      '4611686018427387905 is outside 0..8',
    );
    await expectRefusal(
      ['y.npy', i8(0n, 3n, 4n, 9n), { classes: 3 }],
      'ERR_DATA_MISMATCH',
      ' row 1',
      'label 3 is outside 0..2 (the head has 3 classes), and 2 more rows',
    );
    await expectRefusal(['y.npy', npy('<i8', [2, 2], new BigInt64Array(4))], 'ERR_DATA', '', 'shape [2, 2]');
    await expectRefusal(['y.npy', npy('<i8', [], new BigInt64Array(1))], 'ERR_DATA', '', 'shape []');
  });
});

describe('labels from .csv', () => {
  it('come from the usual column or the named one, quoted or not, with any line ends', async () => {
    expect(await read('y.csv', 'path,label\n"a,b.jpg",3\nc.jpg,0\n')).toEqual([3, 0]);
    expect(await read('y.csv', '\ufeffy , path\r\n 3 , "two\r\nlines"\r\n\r\n0,x')).toEqual([3, 0]);
    expect(await read('y.csv', 'fine,label\n5,3\n6,0\n', {}, ':fine')).toEqual([5, 6]);
    expect(await read('y.csv', 'whatever\n7\n2.0\n')).toEqual([7, 2]);
    expect(await read('y.csv', 'label\n')).toEqual([]);
  });

  it('of 100 000 rows are all read', async () => {
    const rows = Array.from({ length: 100_000 }, (_, i) => `image ${i}.jpg,${i % 1000}`);
    const labels = await read('y.csv', `path,label\n${rows.join('\n')}\n`);
    expect(labels.length).toBe(rows.length);
    expect(labels.every((label, i) => label === i % 1000)).toBe(true);
  });

  it('are refused by line, blank lines and lines within quotes counted', async () => {
    const lines = ['path,label', ...Array.from({ length: 15 }, (_, i) => `${i}.jpg,${i}`), 'z.jpg,1003', ''];
    await expectRefusal(
      ['y.csv', lines.join('\n'), { classes: 1000 }],
      'ERR_DATA_MISMATCH',
      ' line 17',
      'label 1003 is outside 0..999 (the head has 1000 classes)',
    );
    await expectRefusal(['y.csv', 'p,label\n\n"a\nb",1\n\nc,-1\n'], 'ERR_DATA', ' line 6', 'negative');
    await expectRefusal(['y.csv', 'p,label\na,\n'], 'ERR_DATA', ' line 2', 'missing');
    await expectRefusal(['y.csv', 'p,label\na,dog\n'], 'ERR_DATA', ' line 2', 'no class names were given');
    await expectRefusal(['y.csv', 'label\n1e3\n'], 'ERR_DATA', ' line 2', '"1e3" is text');
  });

  it('are refused where the file is no table of them', async () => {
    await expectRefusal(['y.csv', '3\n0\n'], 'ERR_DATA', ' line 1', 'no names of columns');
    await expectRefusal(['y.csv', ''], 'ERR_DATA', '', 'is empty');
    await expectRefusal(['y.csv', 'a,b\n1,2\n'], 'ERR_DATA', '', 'several columns');
    await expectRefusal(['y.csv', 'label,label\n1,2\n'], 'ERR_DATA', '', 'more than one column "label"');
    await expectRefusal(['y.csv', 'p,label\na,1\nb\n'], 'ERR_DATA', '', 'line 3');
    await expectRefusal(['y.csv', 'p,label\n"a,1\n'], 'ERR_DATA', '', 'not a CSV file');
    await expect(readLabels('/nowhere/y.csv')).rejects.toMatchObject({
      code: 'ERR_IO',
      file: '/nowhere/y.csv',
    });
    const path = await write('y.csv', 'label\n1\n');
    await expect(readLabels(`${path}:fine`)).rejects.toMatchObject({
      code: 'ERR_DATA',
      hint: 'It has: label.',
    });
  });
});

describe('labels from .jsonl', () => {
  it('come from the usual key or the named one', async () => {
    expect(await read('y.jsonl', '{"label": 3, "p": "a"}\n\n  \r\n{"p": "b", "label": 0}')).toEqual([3, 0]);
    expect(await read('y.jsonl', '{"fine": 4}\n', {}, ':fine')).toEqual([4]);
    expect(await read('y.jsonl', '{"p": "a\u2028b", "y": 1}\n{"p": "c", "y": 2}\n')).toEqual([1, 2]);
  });

  it('are whole where characters and lines lie across chunks of the file', async () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => `{"p":"${'é💡'.repeat(i % 7)}","label":${i % 10}}`);
    expect(await read('y.jsonl', rows.join('\n'))).toEqual(rows.map((_, i) => i % 10));
  });

  it('are refused by line', async () => {
    await expectRefusal(['y.jsonl', '{"label":1}\n\n{"label":2'], 'ERR_DATA', ' line 3', 'not JSON');
    await expectRefusal(['y.jsonl', '{"label":1}\n[2]'], 'ERR_DATA', ' line 2', 'not a JSON object');
    await expectRefusal(['y.jsonl', '{"label":1}\n{"lable":2}'], 'ERR_DATA', ' line 2', 'no key "label"');
    await expectRefusal(['y.jsonl', '{"label":1}\n{"label":null}'], 'ERR_DATA', ' line 2', 'missing');
    await expectRefusal(
      ['y.jsonl', '{"label":1}\n{"label":true}'],
      'ERR_DATA',
      ' line 2',
      'neither a number',
    );
    await expectRefusal(['y.jsonl', '\n{"label":0.5}'], 'ERR_DATA', ' line 2', '0.5 is not a whole');
    await expectRefusal(['y.jsonl', '\n\n'], 'ERR_DATA', '', 'is empty');
    await expectRefusal(['y.jsonl', Buffer.of(0x7b, 0xff, 0x0a)], 'ERR_DATA', '', 'not UTF-8');
    const key = await write('y.jsonl', '{"a":1}\n');
    await expect(readLabels(`${key}:toString`)).rejects.toMatchObject({ code: 'ERR_DATA' });
  });
});

describe('labels from .parquet', () => {
  const values = Array.from({ length: 10 }, (_, i) => BigInt((7 * i) % 10));
  const names = values.map((value) => `class ${value}`);
  const columns = [
    { name: 'path', values: names },
    { name: 'label', values },
  ];

  it('come from the column, over row groups, plain and compressed', async () => {
    const expected = values.map(Number);
    expect(await read('y.parquet', parquet(columns))).toEqual(expected);
    expect(await read('y.parquet', parquet(columns, { rowsPerGroup: 3 }))).toEqual(expected);
    expect(await read('y.parquet', parquet(columns, { rowsPerGroup: 4, codec: 'gzip' }))).toEqual(expected);
    const double = parquet([{ name: 'x', values: [2, 0, 1] }]);
    expect(await read('y.parquet', double)).toEqual([2, 0, 1]);
    const classNames = Array.from({ length: 10 }, (_, i) => `class ${i}`);
    expect(await read('y.parquet', parquet(columns), { classNames }, ':path')).toEqual(expected);
  });

  it('are refused by row, and where the file is damaged', async () => {
    await expectRefusal(
      ['y.parquet', parquet([{ name: 'y', values: [0n, -1n] }])],
      'ERR_DATA',
      ' row 1',
      'negative',
    );
    await expectRefusal(['y.parquet', parquet(columns, { codec: 'zstd' })], 'ERR_DATA', '', 'ZSTD');
    await expectRefusal(['y.parquet', parquet(columns, { declaredRows: 11 })], 'ERR_DATA', '', '11 rows');
    await expectRefusal(
      ['y.parquet', parquet(columns, { declaredRows: 2 ** 40 })],
      'ERR_DATA',
      '',
      'declares',
    );
    await expectRefusal(['y.parquet', ''], 'ERR_DATA', '', 'not a readable .parquet');
    await expectRefusal(['y.parquet', parquet(columns).subarray(0, -9)], 'ERR_DATA', '', 'not a readable');
    await expectRefusal(['y.parquet', Buffer.from('PAR1label,1')], 'ERR_DATA', '', 'not a readable');
    const whole = parquet(columns);
    await expectRefusal(['y.parquet', whole.subarray(200)], 'ERR_DATA', '', 'not a readable');
  });

  it('are read or refused with a typed error, whichever byte is damaged', async () => {
    const whole = parquet([{ name: 'label', values }], { rowsPerGroup: 5 });
    let refused = 0;
    for (let at = 0; at < whole.length; at++) {
      const damaged = Buffer.from(whole);
      damaged[at] = damaged[at]! ^ 0xff;
      await readLabels(await write('y.parquet', damaged)).catch((error) => {
        expect(error, `byte ${at}`).toMatchObject({ name: 'WisemergeError' });
        refused++;
      });
    }
    expect(refused).toBeGreaterThan(whole.length / 4);
  });
});

describe('labels as names of classes', () => {
  const classNames = ['cat', 'dog', 'crane', 'crane'];

  it('are indices into the names; numbers stay indices', async () => {
    expect(await read('y.csv', 'label\ndog\ncat\n1\n', { classNames })).toEqual([1, 0, 1]);
    expect(await read('y.jsonl', '{"label":"dog"}\n{"label":2}', { classNames })).toEqual([1, 2]);
  });

  it('that are numbers are names in text, and indices as numbers', async () => {
    const years = ['2001', '1', '0'];
    expect(await read('y.csv', 'label\n0\n1\n2001\n', { classNames: years })).toEqual([2, 1, 0]);
    expect(await read('y.jsonl', '{"label":"0"}\n{"label":0}', { classNames: years })).toEqual([2, 0]);
  });

  it('are refused where no class or two classes have the name', async () => {
    await expectRefusal(
      ['y.csv', 'label\ndog\ncow\n', { classNames }],
      'ERR_DATA',
      ' line 3',
      '"cow" is none',
    );
    await expectRefusal(['y.csv', 'label\nDog\n', { classNames }], 'ERR_DATA', ' line 2', '"Dog" is none');
    await expectRefusal(
      ['y.csv', 'label\ncrane\n', { classNames }],
      'ERR_DATA',
      ' line 2',
      'both class 2 and class 3',
    );
    await expectRefusal(
      ['y.csv', 'label\n4\n', { classNames }],
      'ERR_DATA_MISMATCH',
      ' line 2',
      '4 class names were given',
    );
    await expectRefusal(
      ['y.csv', 'label\ncrown\n', { classNames: ['cat', 'crown'], classes: 1 }],
      'ERR_DATA_MISMATCH',
      ' line 2',
      'outside 0..0 (the head has 1 class)',
    );
  });
});
