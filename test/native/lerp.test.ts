import { describe, expect, it } from 'vitest';
import { dtypeByName, dtypes, Engine, type EngineOptions, HostBuffer } from '../../lib/native.js';

const F32 = dtypeByName('F32')!.index;
const F64 = dtypeByName('F64')!.index;
const BF16 = dtypeByName('BF16')!.index;

// Values from [1, 2) with alphas that are multiples of 1/64: the products and sums below are exact in f64, so
// Math.fround makes the one rounding that the fused operation makes.
function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.fround(1 + (state >>> 9) / 2 ** 23);
  };
}

const interpolate = (x: number, y: number, alpha: number) =>
  alpha === 1 ? y : Math.fround(x + alpha * Math.fround(y - x));

describe.each<EngineOptions>([{}, { threads: 1 }, { isa: 'baseline' }, { isa: 'avx2' }])(
  'Engine.lerp with %o',
  (options) => {
    it('equals float32 arithmetic in JavaScript, at every alignment', async () => {
      using engine = new Engine(options);
      const alphas = Float64Array.of(0, 1 / 64, 0.5, 47 / 64, 1, -0.25, 1.5);
      const count = 1003;
      const stride = 4 * count + 13; // outputs fall on every alignment
      using arena = new HostBuffer(stride * 9 + 16);
      const next = uniform(1);
      const x = Float32Array.from({ length: count }, next);
      const y = Float32Array.from({ length: count }, (_, i) => (i % 7 ? next() : x[i]!));
      arena.bytes(0, 4 * count).set(new Uint8Array(x.buffer));
      arena.bytes(stride, 4 * count).set(new Uint8Array(y.buffer));
      const outs = Array.from(alphas, (_, k) => stride * (k + 2));
      const nonFinite = await engine.lerp(
        arena,
        Float64Array.of(F32, F32, F32, count, 0, stride, ...outs),
        alphas,
      );
      expect([...nonFinite]).toEqual(Array.from(alphas, () => 0));
      outs.forEach((offset, k) => {
        const out = new Float32Array(arena.bytes(offset, 4 * count).slice().buffer);
        expect(out).toEqual(x.map((value, i) => interpolate(value, y[i]!, alphas[k]!)));
      });
      // Nothing beside the outputs was written.
      expect(new Float32Array(arena.bytes(0, 4 * count).slice().buffer)).toEqual(x);
      for (const offset of outs) expect(arena.bytes(offset + 4 * count, 13).every((b) => b === 0)).toBe(true);
    });

    it('copies the endpoints, NaN payloads and all', async () => {
      using engine = new Engine(options);
      using arena = new HostBuffer(64);
      const x = [0x7fa00001, 0xff800000, 0x80000000, 0x3f800000];
      const y = [0x7fc01234, 0x7f800000, 0x00000001, 0xffffffff];
      new Uint32Array(arena.buffer, 0, 8).set([...x, ...y]);
      const row = Float64Array.of(F32, F32, F32, 4, 0, 16, 32, 48);
      const nonFinite = await engine.lerp(arena, row, Float64Array.of(0, 1));
      expect([...new Uint32Array(arena.buffer, 32, 8)]).toEqual([...x, ...y]);
      expect([...nonFinite]).toEqual([2, 3]);
    });

    it('counts what is not finite by segment and alpha, and computes F64 in f64', async () => {
      using engine = new Engine(options);
      using arena = new HostBuffer(256);
      new Float64Array(arena.buffer, 0, 4).set([1, Number.POSITIVE_INFINITY, 1 / 3, 2 / 3]);
      new Float32Array(arena.buffer, 64, 2).set([3e38, -3e38]);
      const rows = [
        [F64, F64, F64, 2, 0, 16, 128, 144],
        [F32, F32, F32, 1, 64, 68, 160, 164],
        [F32, F32, BF16, 0, 0, 0, 0, 0],
      ];
      const nonFinite = await engine.lerp(arena, Float64Array.from(rows.flat()), Float64Array.of(0.25, 2));
      expect([...nonFinite]).toEqual([1, 1, 1, 1, 0, 0]);
      expect(new Float64Array(arena.buffer, 128, 1)[0]).toBe(1 + 0.25 * (1 / 3 - 1));
    });
  },
);

describe('Engine.lerp refuses', () => {
  const row = [F32, F32, F32, 4, 0, 16, 32];
  const changed = (column: number, value: number) => row.with(column, value);
  it.each([
    ['an input behind the end', changed(4, 61), 'ERR_INTERNAL_RANGE'],
    ['an input far behind the end', changed(5, Number.MAX_SAFE_INTEGER), 'ERR_INTERNAL_RANGE'],
    ['an output behind the end', changed(6, 52), 'ERR_INTERNAL_RANGE'],
    ['more elements than there are', changed(3, 2 ** 40), 'ERR_INTERNAL_RANGE'],
    ['a count that overflows in bytes', changed(3, Number.MAX_SAFE_INTEGER), 'ERR_INTERNAL_RANGE'],
    ['an output over an input', changed(6, 12), 'ERR_INTERNAL_RANGE'],
    ['two rows with one output', [...row, ...row], 'ERR_INTERNAL_RANGE'],
    ['a negative offset', changed(4, -4), 'ERR_INTERNAL_ARGUMENT'],
    ['a fractional offset', changed(4, 0.5), 'ERR_INTERNAL_ARGUMENT'],
    ['NaN', changed(3, Number.NaN), 'ERR_INTERNAL_ARGUMENT'],
    ['an unknown dtype', changed(0, dtypes.length), 'ERR_INTERNAL_ARGUMENT'],
    ['an integer dtype', changed(2, dtypeByName('I32')!.index), 'ERR_INTERNAL_ARGUMENT'],
    ['half a row', row.slice(1), 'ERR_INTERNAL_ARGUMENT'],
  ])('%s', async (_, numbers, code) => {
    using engine = new Engine();
    using arena = new HostBuffer(64);
    const job = engine.lerp(arena, Float64Array.from(numbers), Float64Array.of(0.5));
    await expect(job).rejects.toMatchObject({ name: 'WisemergeError', code });
    expect(arena.bytes(0, 64).every((byte) => byte === 0)).toBe(true);
  });

  it.each([[[]], [[Number.NaN]], [[0.5, Number.POSITIVE_INFINITY]]])('alphas %j', async (alphas) => {
    using engine = new Engine();
    using arena = new HostBuffer(64);
    const job = engine.lerp(arena, new Float64Array(), Float64Array.from(alphas));
    await expect(job).rejects.toMatchObject({ code: 'ERR_INTERNAL_ARGUMENT' });
  });

  it('what is not a HostBuffer, and arrays of another type', async () => {
    using engine = new Engine();
    using arena = new HostBuffer(64);
    const alphas = Float64Array.of(0.5);
    for (const impostor of [undefined, null, {}, new ArrayBuffer(64), Object.create(HostBuffer.prototype)]) {
      await expect(engine.lerp(impostor, Float64Array.from(row), alphas)).rejects.toThrow(TypeError);
    }
    const wrong = Float32Array.from(row) as unknown as Float64Array;
    await expect(engine.lerp(arena, wrong, alphas)).rejects.toMatchObject({ code: 'ERR_INTERNAL_ARGUMENT' });
  });

  it('work after close', async () => {
    const engine = new Engine();
    using arena = new HostBuffer(64);
    const started = engine.lerp(arena, Float64Array.from(row), Float64Array.of(0.5));
    engine.close();
    engine.close();
    await expect(started).resolves.toEqual(Float64Array.of(0));
    const refused = engine.lerp(arena, Float64Array.from(row), Float64Array.of(0.5));
    await expect(refused).rejects.toMatchObject({ code: 'ERR_ENGINE_CLOSED' });
  });
});
