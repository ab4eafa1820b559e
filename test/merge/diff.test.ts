import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ProgressMeter } from '../../lib/checkpoint/progress.js';
import { type DiffOptions, type DiffResult, diff, merge } from '../../lib/index.js';
import { runCli } from '../support/cli.js';
import { codeAt, decode, formats } from '../support/exact.js';
import { readModel, writeModel, writeShards } from '../support/models.js';
import { randomBf16, randomBytes, randomF32 } from '../support/random.js';
import { type Tensor, tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

/** Of F32: both sides of four slots, each with a span of 2^18 elements and what alignment takes. */
const least = 8 * (2 ** 20 + 2 ** 14);

const fixtures = fileURLToPath(new URL('../fixtures/llama-tiny', import.meta.url));

async function diffTensors(
  x: readonly Tensor[],
  y: readonly Tensor[],
  options: DiffOptions = {},
): Promise<DiffResult> {
  const root = await tempDir();
  return diff(writeModel(join(root, 'x'), x), writeModel(join(root, 'y'), y), options);
}

/** The figures of one pair of tensors, in plain float64. */
function oracle(x: Tensor, y: Tensor): Omit<DiffResult['tensors'][number], 'name' | 'shape' | 'dtypes'> {
  const [fx, fy] = [formats[x.dtype]!, formats[y.dtype]!];
  const count = x.data.length / fx.bytes;
  let [xx, yy, xy, dd, maxAbs, unchanged] = [0, 0, 0, 0, 0, 0];
  const [nan, inf]: [[number, number], [number, number]] = [
    [0, 0],
    [0, 0],
  ];
  for (let i = 0; i < count; i++) {
    const codes = [codeAt(x.data, i, fx.bytes), codeAt(y.data, i, fy.bytes)] as const;
    const [a, b] = [decode(codes[0], fx), decode(codes[1], fy)];
    if (x.dtype === y.dtype ? codes[0] === codes[1] : Object.is(a, b)) unchanged++;
    for (const [side, value] of [a, b].entries()) {
      if (Number.isNaN(value)) nan[side]!++;
      else if (!Number.isFinite(value)) inf[side]!++;
    }
    if (!Number.isFinite(a) || !Number.isFinite(b)) continue;
    xx += a * a;
    yy += b * b;
    xy += a * b;
    dd += (b - a) ** 2;
    maxAbs = Math.max(maxAbs, Math.abs(b - a));
  }
  return {
    parameters: count,
    relativeL2: xx > 0 ? Math.sqrt(dd) / Math.sqrt(xx) : dd === 0 ? 0 : null,
    cosine: xx > 0 && yy > 0 ? xy / Math.sqrt(xx) / Math.sqrt(yy) : null,
    norms: [Math.sqrt(xx), Math.sqrt(yy)] as const,
    maxAbs,
    unchanged: count > 0 ? unchanged / count : 1,
    nan,
    inf,
  };
}

function expectClose(got: DiffResult['total'], expected: ReturnType<typeof oracle>): void {
  const { relativeL2, cosine, norms, ...exact } = expected;
  expect(got).toMatchObject(exact);
  for (const [is, should] of [
    [got.relativeL2, relativeL2],
    [got.cosine, cosine],
    [got.norms[0], norms[0]],
    [got.norms[1], norms[1]],
  ] as const) {
    if (should === null) expect(is).toBeNull();
    // Sums of the same products in another order.
    else expect(Math.abs(is! - should)).toBeLessThanOrEqual(1e-12 * Math.max(1, Math.abs(should)));
  }
}

describe('the figures of a comparison', () => {
  it('of the reference checkpoints are those of float64 arithmetic', async () => {
    const [base, b] = [join(fixtures, 'base'), join(fixtures, 'b')];
    const [x, y] = [readModel(base), readModel(b)];
    const { tensors, total, exact, onlyInFirst, onlyInSecond, incomparable } = await diff(base, b);
    expect(tensors).toHaveLength(x.size);
    for (const { name, shape, dtypes, ...figures } of tensors) {
      expect({ shape, dtypes }).toEqual({ shape: x.get(name)!.shape, dtypes: ['BF16', 'BF16'] });
      expectClose(figures, oracle(x.get(name)!, y.get(name)!));
    }
    const all = (model: typeof x): Tensor => {
      const data = Buffer.concat([...x.keys()].map((name) => model.get(name)!.data));
      return { name: 'all', dtype: 'BF16', shape: [data.length / 2], data };
    };
    expectClose(total, oracle(all(x), all(y)));
    expect({ exact, onlyInFirst, onlyInSecond, incomparable }).toEqual({
      exact: [],
      onlyInFirst: [],
      onlyInSecond: [],
      incomparable: [],
    });
  });

  it.each(['F64', 'F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2'])(
    'of %s are those of float64 arithmetic, over all bits',
    async (dtype) => {
      // 8-bit exponents overflow the squares of wild F64 values; tame ones have their own line.
      const count = 3000;
      const { bytes } = formats[dtype]!;
      const data = (seed: number) =>
        dtype === 'F64'
          ? Buffer.from(Float64Array.from(new Float32Array(randomF32(count, seed).buffer)).buffer)
          : randomBytes(count * bytes, seed);
      const [x, y] = [tensor('w', dtype, [count], data(1)), tensor('w', dtype, [count], data(2))];
      x.data.copy(y.data, 0, 0, 500 * bytes);
      const { tensors } = await diffTensors([x], [y]);
      expectClose(tensors[0]!, oracle(x, y));
      expect(tensors[0]!.unchanged).toBeGreaterThanOrEqual(500 / 3000);
    },
  );

  it('of two dtypes compare values', async () => {
    const x = tensor('w', 'BF16', [2000], randomBf16(2000, 1));
    const widened = Buffer.alloc(8000);
    for (let i = 0; i < 2000; i++) widened.writeUInt16LE(x.data.readUInt16LE(2 * i), 4 * i + 2);
    const y = tensor('w', 'F32', [2000], widened);
    const { tensors } = await diffTensors([x], [y]);
    expect(tensors[0]).toMatchObject({
      relativeL2: 0,
      cosine: 1,
      unchanged: 1,
      maxAbs: 0,
      dtypes: ['BF16', 'F32'],
    });
  });

  it('leave NaN and infinities out of the norms, and count them', async () => {
    const [nan, inf] = [Number.NaN, Number.POSITIVE_INFINITY];
    const x = tensor('w', 'F32', [6], new Float32Array([3, nan, inf, 1, -inf, 0]));
    const y = tensor('w', 'F32', [6], new Float32Array([3, 1, 1, nan, -inf, 4]));
    const { tensors, total } = await diffTensors([x], [y]);
    const figures = {
      relativeL2: 4 / 3,
      norms: [3, 5],
      maxAbs: 4,
      unchanged: 2 / 6,
      nan: [1, 1],
      inf: [2, 1],
    };
    expect(tensors[0]).toMatchObject({ ...figures, cosine: expect.closeTo(0.6, 14) });
    expect(total).toMatchObject({ ...figures, cosine: expect.closeTo(0.6, 14), parameters: 6 });
  });

  it('of zeros have no angle, and no distance relative to nothing', async () => {
    const [zero, one] = [tensor('w', 'F32', [2]), tensor('w', 'F32', [2], new Float32Array([0, 2]))];
    expect((await diffTensors([zero], [zero])).tensors[0]).toMatchObject({
      relativeL2: 0,
      cosine: null,
      unchanged: 1,
    });
    expect((await diffTensors([zero], [one])).tensors[0]).toMatchObject({
      relativeL2: null,
      cosine: null,
      unchanged: 0.5,
    });
    expect((await diffTensors([one], [zero])).tensors[0]).toMatchObject({
      relativeL2: 1,
      cosine: null,
      maxAbs: 2,
    });
  });

  it('of a model and itself are nothing', async () => {
    const model = join(fixtures, 'base');
    const { total } = await diff(model, model);
    expect(total).toMatchObject({ relativeL2: 0, maxAbs: 0, unchanged: 1, cosine: expect.closeTo(1, 14) });
  });

  it('of empty tensors and scalars are finite', async () => {
    const model = [tensor('e', 'F32', [0]), tensor('s', 'F32', [], new Float32Array([2]))];
    const { tensors } = await diffTensors(model, model);
    expect(tensors).toMatchObject([
      { name: 'e', parameters: 0, unchanged: 1, relativeL2: 0 },
      { name: 's', parameters: 1, unchanged: 1, shape: [] },
    ]);
  });

  it('over no float parameters are none', async () => {
    const integers = [tensor('i', 'I64', [2])];
    const nothing = { parameters: 0, unchanged: null, relativeL2: null, cosine: null };
    expect(await diffTensors(integers, integers)).toMatchObject({ total: nothing, exact: [{ equal: true }] });
    const [x, y] = [[tensor('w', 'F32', [2])], [tensor('w', 'F32', [3])]];
    expect(await diffTensors(x, y)).toMatchObject({ total: nothing, incomparable: [{ name: 'w' }] });
    const root = await tempDir();
    const paths = [writeModel(join(root, 'x'), integers), writeModel(join(root, 'y'), integers)];
    expect((await runCli(['diff', ...paths])).stdout).toMatch(/^all +– +– +0 +– /m);
  });

  it('of models without a tensor in common are refused', async () => {
    const [x, y] = [['a', 'b'], ['c']].map((names) => names.map((name) => tensor(name, 'F32', [2])));
    await expect(diffTensors(x!, y!)).rejects.toMatchObject({
      code: 'ERR_INCOMPATIBLE',
      message: expect.stringMatching(
        /^no tensor of .*x \("a" and 1 more\) has the name of one of .*y \("c"\)$/,
      ),
      hint: expect.any(String),
    });
    await expect(diffTensors([], [])).rejects.toMatchObject({ code: 'ERR_INCOMPATIBLE' });
  });

  it('are plain JSON', async () => {
    const result = await diff(join(fixtures, 'base'), join(fixtures, 'a'));
    expect(JSON.parse(JSON.stringify(result))).toEqual(result);
  });
});

describe('a comparison', () => {
  it('lists what is in one model only, and what cannot be compared', async () => {
    const x = [
      tensor('a', 'F32', [2]),
      tensor('shape', 'F32', [2]),
      tensor('kind', 'F32', [2]),
      tensor('width', 'I32', [1]),
    ];
    const y = [
      tensor('b', 'F32', [2]),
      tensor('shape', 'F32', [3]),
      tensor('kind', 'I32', [2]),
      tensor('width', 'I64', [1]),
    ];
    const { onlyInFirst, onlyInSecond, incomparable, tensors } = await diffTensors(x, y);
    expect({ onlyInFirst, onlyInSecond, tensors }).toEqual({
      onlyInFirst: ['a'],
      onlyInSecond: ['b'],
      tensors: [],
    });
    expect(incomparable).toEqual([
      { name: 'shape', first: 'F32 [2]', second: 'F32 [3]' },
      { name: 'kind', first: 'F32 [2]', second: 'I32 [2]' },
      { name: 'width', first: 'I32 [1]', second: 'I64 [1]' },
    ]);
  });

  it('of integers, booleans, complex and packed tensors is exact', async () => {
    const of = (value: number) => [
      tensor('same', 'I64', [2], Buffer.alloc(16, 3)),
      tensor('ids', 'U8', [2_500_000], Buffer.alloc(2_500_000, 1).fill(value, 2_499_999)),
      tensor('mask', 'BOOL', [1], Buffer.from([value & 1])),
      tensor('c', 'C64', [1], new Float32Array([1, value])),
      tensor('scale', 'F8_E8M0', [1], Buffer.from([value])),
    ];
    const { exact } = await diffTensors(of(1), of(2));
    expect(exact).toEqual([
      { name: 'same', dtype: 'I64', equal: true },
      { name: 'ids', dtype: 'U8', equal: false },
      { name: 'mask', dtype: 'BOOL', equal: false },
      { name: 'c', dtype: 'C64', equal: false },
      { name: 'scale', dtype: 'F8_E8M0', equal: false },
    ]);
  });

  it('does not depend on memory, threads or the layout of the files, to the last bit', async () => {
    const root = await tempDir();
    const model = (seed: number): Tensor[] => [
      tensor('large', 'F32', [700_001], randomF32(700_001, seed)),
      ...Array.from({ length: 60 }, (_, i) =>
        tensor(`t${i}`, 'BF16', [30_001], randomBf16(30_001, seed + i)),
      ),
      tensor('last', 'F32', [300_000], randomF32(300_000, seed + 99)),
    ];
    const x = writeModel(join(root, 'x'), model(1));
    const y = writeModel(join(root, 'y'), model(1000));
    const expected = await diff(x, y);
    for (const options of [
      { memory: least },
      { memory: 2 ** 24, threads: 1 },
      { memory: 2 ** 28, threads: 5 },
    ]) {
      expect(await diff(x, y, options)).toEqual(expected);
    }
    const odd = [tensor('odd', 'U8', [1]), ...model(1000).reverse()];
    const scattered = writeShards(join(root, 'z'), [odd.slice(20), odd.slice(0, 20)], { pad: 1 });
    expect(await diff(x, scattered, { memory: least })).toEqual({ ...expected, onlyInSecond: ['odd'] });
  });

  it('is exact where many small neighbours fill the buffers to the last byte', async () => {
    const count = 1500;
    const model = (seed: number) =>
      Array.from({ length: count }, (_, i) => tensor(`t${i}`, 'F32', [499], randomF32(499, seed + i)));
    const [x, y] = [model(1), model(5000)];
    const { tensors } = await diffTensors(x, y, { memory: least });
    for (const [i, { name, shape: _shape, dtypes: _dtypes, ...figures }] of tensors.entries()) {
      expect(name).toBe(`t${i}`);
      if (i % 10 === 0) expectClose(figures, oracle(x[i]!, y[i]!));
      expect(figures.unchanged).toBe(0);
      expect(figures.relativeL2).toBeGreaterThan(0.1);
    }
  });

  it('measures what a merge did', async () => {
    const out = join(await tempDir(), 'out');
    await merge({ zeroshot: join(fixtures, 'base'), finetuned: join(fixtures, 'a'), alpha: 0.25, out });
    const whole = (await diff(join(fixtures, 'base'), join(fixtures, 'a'))).total.relativeL2!;
    expect((await diff(join(fixtures, 'base'), out)).total.relativeL2! / whole).toBeCloseTo(0.25, 2);
  });

  it('stops on an abort with its reason', async () => {
    const reason = new Error('enough');
    const model = join(fixtures, 'base');
    await expect(diff(model, model, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const onProgress = () => controller.abort(reason);
    await expect(diff(model, model, { signal: controller.signal, onProgress })).rejects.toBe(reason);
  });

  it('stops on an abort between the tensors that are compared exactly, and within one', async () => {
    const bytes = 2 ** 20;
    const small = Array.from({ length: 8 }, (_, i) => tensor(`ids${i}`, 'U8', [bytes]));
    for (const model of [small, [tensor('packed', 'U8', [8 * bytes])]]) {
      const reason = new Error('enough');
      const controller = new AbortController();
      let last = 0;
      vi.spyOn(ProgressMeter.prototype, 'add').mockImplementation(() => {
        last++;
        controller.abort(reason);
      });
      onTestFinished(() => void vi.restoreAllMocks());
      await expect(diffTensors(model, model, { signal: controller.signal })).rejects.toBe(reason);
      expect(last).toBe(1);
      vi.restoreAllMocks();
    }
  });

  it('refuses a memory budget that it would exceed, as a merge does', async () => {
    const model = writeModel(join(await tempDir(), 'm'), [tensor('w', 'F32', [10], randomF32(10, 1))]);
    await expect(diff(model, model, { memory: 1 })).rejects.toMatchObject({
      code: 'ERR_USAGE',
      details: { option: 'memory' },
    });
    await expect(diff(model, model, { memory: least - 1 })).rejects.toMatchObject({
      code: 'ERR_MEMORY',
      message: expect.stringContaining(String(least)),
      hint: expect.any(String),
    });
    await diff(model, model, { memory: least });
  });

  it('takes the devices that a merge takes, and refuses options it does not know', async () => {
    const model = join(fixtures, 'base');
    expect(await diff(model, model, { device: 'auto' })).toEqual(await diff(model, model));
    await expect(diff(model, model, { device: 'cuda:99' })).rejects.toMatchObject({
      code: 'ERR_DEVICE_UNAVAILABLE',
    });
    for (const [option, wrong] of Object.entries({ device: 'tpu', threads: 0, memory: 0.5, thread: 1 })) {
      await expect(diff(model, model, { [option]: wrong })).rejects.toMatchObject({
        code: 'ERR_USAGE',
        details: { option },
      });
    }
  });
});
