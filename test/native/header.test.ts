import { expect, it } from 'vitest';
import { dtypes, HostBuffer, parseHeader } from '../../lib/native.js';

function hold(json: string): { buffer: HostBuffer; bytes: number } {
  const text = Buffer.from(json);
  const buffer = new HostBuffer(text.length);
  buffer.bytes(0, text.length).set(text);
  return { buffer, bytes: text.length };
}

it('gives back what a writer put in, in the order of the data', async () => {
  const header = {
    __metadata__: { format: 'pt', Ω: 'é\n"' },
    'b.weight': { dtype: 'BF16', shape: [2, 3], data_offsets: [8, 20] },
    'a.ß💡': { dtype: 'F64', shape: [], data_offsets: [0, 8] },
    empty: { dtype: 'I32', shape: [0, 7], data_offsets: [20, 20] },
  };
  const { buffer, bytes } = hold(JSON.stringify(header));
  const columns = await parseHeader(buffer, bytes, 20);
  buffer.release();
  expect(columns.count).toBe(3);
  expect(columns.names).toEqual(['a.ß💡', 'b.weight', 'empty']);
  expect(Array.from(columns.dtypes, (index) => dtypes[index]!.name)).toEqual(['F64', 'BF16', 'I32']);
  expect([...columns.dims]).toEqual([2, 3, 0, 7]);
  expect([...columns.dimEnds]).toEqual([0, 2, 4]);
  expect([...columns.begins]).toEqual([0, 8, 20]);
  expect([...columns.ends]).toEqual([8, 20, 20]);
  expect(columns.metadata).toEqual([
    ['format', 'pt'],
    ['Ω', 'é\n"'],
  ]);
});

it('knows the dtypes of the format by name', async () => {
  for (const { name, index, bits } of dtypes) {
    const data = { dtype: name, shape: [8], data_offsets: [0, bits] };
    const { buffer, bytes } = hold(JSON.stringify({ t: data }));
    const columns = await parseHeader(buffer, bytes, bits);
    buffer.release();
    expect(columns.dtypes[0]).toBe(index);
  }
});

it.each([
  ['{"a":', 0, 'ERR_SAFETENSORS_JSON'],
  ['{"a":{"dtype":"F31","shape":[],"data_offsets":[0,4]}}', 4, 'ERR_SAFETENSORS_DTYPE'],
  ['{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', 4, 'ERR_SAFETENSORS_OFFSETS'],
])('rejects %s with a typed error', async (json, dataBytes, code) => {
  const { buffer, bytes } = hold(json);
  await expect(parseHeader(buffer, bytes, dataBytes)).rejects.toMatchObject({ name: 'WisemergeError', code });
  buffer.release();
});

it('does not read past the buffer', async () => {
  const { buffer, bytes } = hold('{}');
  await expect(parseHeader(buffer, bytes + 1, 0)).rejects.toMatchObject({ code: 'ERR_INTERNAL_RANGE' });
  await expect(parseHeader(buffer, -1, 0)).rejects.toMatchObject({ code: 'ERR_INTERNAL_ARGUMENT' });
  buffer.release();
});
