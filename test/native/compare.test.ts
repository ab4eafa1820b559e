import { expect, it } from 'vitest';
import { compareSpan, compareSumColumns, dtypeByName, Engine, HostBuffer } from '../../lib/native.js';

const F32 = dtypeByName('F32')!.index;

it('gives one row of sums per span, the same at any alignment and thread count', async () => {
  const count = compareSpan + 5;
  const stride = 4 * count + 64;
  using arena = new HostBuffer(2 * stride);
  const results: Float64Array[] = [];
  for (const threads of [1, 2]) {
    using engine = new Engine({ threads });
    for (const skew of [0, 1]) {
      const x = Float32Array.from({ length: count }, (_, i) => (i % 1000) / 8);
      const y = x.map((value, i) => (i % 3 ? value : value + 0.5));
      y[compareSpan + 1] = Number.NaN;
      arena.bytes(skew, 4 * count).set(new Uint8Array(x.buffer));
      arena.bytes(stride + skew, 4 * count).set(new Uint8Array(y.buffer));
      results.push(await engine.compare(arena, Float64Array.of(F32, F32, count, skew, stride + skew)));
    }
  }
  const [first, ...others] = results;
  expect(first!.length).toBe(2 * compareSumColumns);
  for (const other of others) expect(other).toEqual(first);
  // Every third element differs, by 0.5.
  const changed = Math.ceil(compareSpan / 3);
  expect([...first!.subarray(3, 6)]).toEqual([changed * 0.25, 0.5, compareSpan - changed]);
  // Of the five behind the first span, index 262144 + 1 is NaN in y and left out; 262146 is changed.
  const tail = first!.subarray(compareSumColumns);
  expect([...tail.subarray(5)]).toEqual([3, 0, 0, 1, 0]);
  expect(tail[3]).toBe(0.25);
});

it.each([
  ['behind the end', [F32, F32, 4, 52, 0], 'ERR_INTERNAL_RANGE'],
  ['an integer dtype', [F32, dtypeByName('I64')!.index, 4, 0, 0], 'ERR_INTERNAL_ARGUMENT'],
  ['half a row', [F32, F32, 4], 'ERR_INTERNAL_ARGUMENT'],
])('refuses %s', async (_, row, code) => {
  using engine = new Engine();
  using arena = new HostBuffer(64);
  await expect(engine.compare(arena, Float64Array.from(row))).rejects.toMatchObject({ code });
});
