// What one element becomes, for every dtype, against exact rational arithmetic.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type MergeOptions, type MergeResult, merge } from '../../lib/index.js';
import { codeAt, decode, formats, lerpData, putCode } from '../support/exact.js';
import { readModel, writeModel } from '../support/models.js';
import { randomBytes, randomWeights } from '../support/random.js';
import { type Tensor, tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const floats = ['F64', 'F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2'] as const;
type Float = (typeof floats)[number];
const alphas = [0, 0.1, 0.5, 1 / 3, 0.9999999, 1];

interface Merged {
  readonly result: MergeResult;
  /** Per alpha, by tensor name. */
  readonly models: ReturnType<typeof readModel>[];
}

async function mergeTensors(
  x: readonly Tensor[],
  y: readonly Tensor[],
  alpha: readonly number[],
  options: Partial<MergeOptions> = {},
): Promise<Merged> {
  const root = await tempDir();
  const zeroshot = writeModel(join(root, 'x'), x);
  const finetuned = writeModel(join(root, 'y'), y);
  const result = await merge({ zeroshot, finetuned, alpha, out: join(root, 'out'), ...options });
  return { result, models: result.outputs.map(({ directory }) => readModel(directory)) };
}

/** Random codes with NaN and infinities replaced by zero: all finite magnitudes, subnormals included. */
function finiteCodes(dtype: Float, count: number, seed: number): Buffer {
  const format = formats[dtype]!;
  const data = randomBytes(count * format.bytes, seed);
  for (let i = 0; i < count; i++) {
    if (!Number.isFinite(decode(codeAt(data, i, format.bytes), format))) putCode(data, i, format.bytes, 0n);
  }
  return data;
}

/** Weights of ordinary size, truncated to the dtype. */
function weights(dtype: Float, count: number, seed: number): Buffer {
  const values = randomWeights(count, seed);
  if (dtype === 'F64') return Buffer.from(Float64Array.from(values, (v, i) => v + i * 1e-12).buffer);
  if (dtype === 'F32') return Buffer.from(values.buffer);
  if (dtype === 'BF16')
    return Buffer.from(Uint16Array.from(new Uint32Array(values.buffer), (w) => w >>> 16).buffer);
  return finiteCodes(dtype, count, seed);
}

describe('one element', () => {
  it.each(floats)(
    'of %s is x + alpha (y - x) with the documented roundings, whatever its bits',
    async (dtype) => {
      const count = 1500;
      const pairs = [
        { name: 'any', x: finiteCodes(dtype, count, 1), y: finiteCodes(dtype, count, 2) },
        { name: 'ordinary', x: weights(dtype, count, 3), y: weights(dtype, count, 4) },
      ];
      const { models } = await mergeTensors(
        pairs.map(({ name, x }) => tensor(name, dtype, [count], x)),
        pairs.map(({ name, y }) => tensor(name, dtype, [count], y)),
        alphas,
      );
      for (const [k, alpha] of alphas.entries()) {
        for (const { name, x, y } of pairs) {
          const got = models[k]!.get(name)!.data;
          const expected = lerpData(x, y, alpha, { x: dtype, y: dtype, out: dtype });
          expect(firstDifference(got, expected, dtype), `${name} at alpha ${alpha}`).toBeUndefined();
        }
      }
    },
  );

  it.each(floats)(
    'of %s that is equal in both models keeps its bytes at every alpha, NaN and infinities too',
    async (dtype) => {
      const count = 4096;
      const data = randomBytes(count * formats[dtype]!.bytes, 7);
      const same = tensor('same', dtype, [count], data);
      const between = [0, 0.1, 0.3, 0.5, 0.77, 1];
      const { models } = await mergeTensors([same], [same], between);
      for (const model of models) expect(model.get('same')!.data.equals(data)).toBe(true);
    },
  );

  it.each(floats)('of %s is the input at alpha 0 and 1, whatever the other side holds', async (dtype) => {
    const count = 4096;
    const x = tensor('w', dtype, [count], randomBytes(count * formats[dtype]!.bytes, 8));
    const y = tensor('w', dtype, [count], randomBytes(count * formats[dtype]!.bytes, 9));
    const { models } = await mergeTensors([x], [y], [0, 1]);
    expect(models[0]!.get('w')!.data.equals(x.data)).toBe(true);
    expect(models[1]!.get('w')!.data.equals(y.data)).toBe(true);
  });

  it('keeps the sign of a zero that both models share, and gives +0 between zeros of two signs', async () => {
    const x = tensor('w', 'F32', [2], new Float32Array([-0, -0]));
    const y = tensor('w', 'F32', [2], new Float32Array([-0, 0]));
    const { models } = await mergeTensors([x], [y], [0.5]);
    const { data } = models[0]!.get('w')!;
    expect(data.readUInt32LE(0)).toBe(0x80000000);
    expect(data.readUInt32LE(4)).toBe(0);
  });

  it('spreads NaN and infinities only where an input has one, and counts what it wrote', async () => {
    const nan = Number.NaN;
    const inf = Number.POSITIVE_INFINITY;
    const x = tensor('w', 'F32', [6], new Float32Array([1, nan, 1, inf, -inf, 2]));
    const y = tensor('w', 'F32', [6], new Float32Array([2, 1, inf, inf, inf, 2]));
    const clean = tensor('clean', 'F32', [2], new Float32Array([1, 2]));
    const { models, result } = await mergeTensors([clean, x], [clean, y], [0, 0.5, 1]);
    const values = models.map((model) => [...new Float32Array(new Uint8Array(model.get('w')!.data).buffer)]);
    expect(values[0]).toEqual([1, nan, 1, inf, -inf, 2]);
    expect(values[1]).toEqual([1.5, nan, inf, inf, nan, 2]);
    expect(values[2]).toEqual([2, 1, inf, inf, inf, 2]);
    expect(result.outputs.map(({ nonFinite }) => nonFinite)).toEqual([{ w: 3 }, { w: 4 }, { w: 3 }]);
  });

  it('goes beyond the ends with extrapolation', async () => {
    const [x, y] = [weights('BF16', 512, 21), weights('BF16', 512, 22)];
    const outside = [-0.5, 1.5];
    const { models } = await mergeTensors(
      [tensor('w', 'BF16', [512], x)],
      [tensor('w', 'BF16', [512], y)],
      outside,
      { extrapolate: true },
    );
    for (const [k, alpha] of outside.entries()) {
      const expected = lerpData(x, y, alpha, { x: 'BF16', y: 'BF16', out: 'BF16' });
      expect(models[k]!.get('w')!.data.equals(expected)).toBe(true);
    }
  });
});

describe('converting the output', () => {
  const targets = { F64: 'float64', F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const;
  const f8 = { F8_E4M3: 'float8_e4m3fn', F8_E5M2: 'float8_e5m2' } as const;

  it.each(Object.entries({ ...targets, ...f8 }))(
    'to %s rounds once, from every float dtype',
    async (out, dtype) => {
      const count = 700;
      const inputs = floats.map((from, i) => ({
        from,
        x: weights(from, count, 30 + i),
        y: weights(from, count, 40 + i),
      }));
      const { models } = await mergeTensors(
        inputs.map(({ from, x }) => tensor(from, from, [count], x)),
        inputs.map(({ from, y }) => tensor(from, from, [count], y)),
        [0, 0.3, 1],
        { dtype },
      );
      for (const [k, alpha] of [0, 0.3, 1].entries()) {
        for (const { from, x, y } of inputs) {
          const got = models[k]!.get(from)!;
          expect(got.dtype).toBe(out);
          const expected = lerpData(x, y, alpha, { x: from, y: from, out });
          expect(firstDifference(got.data, expected, out as Float), `${from} at ${alpha}`).toBeUndefined();
        }
      }
    },
  );

  it('takes safetensors names of dtypes as well as those of torch', async () => {
    const w = tensor('w', 'F32', [3], new Float32Array([1, 2, 3]));
    const { models } = await mergeTensors([w], [w], [0.5], { dtype: 'BF16' });
    expect(models[0]!.get('w')!.dtype).toBe('BF16');
  });

  it('leaves integers as they are', async () => {
    const ids = tensor('ids', 'I64', [3], BigInt64Array.from([1n, -2n, 3n]));
    const w = tensor('w', 'F32', [1], new Float32Array([1]));
    const { models } = await mergeTensors([w, ids], [w, ids], [0.5], { dtype: 'float16' });
    expect(models[0]!.get('ids')).toMatchObject({ dtype: 'I64', data: ids.data });
  });
});

describe('two models of different float dtypes', () => {
  const mixtures: [Float, Float][] = floats.flatMap((x) =>
    floats.filter((y) => y !== x).map((y): [Float, Float] => [x, y]),
  );

  it('interpolate in f32, or f64 where one side has it, and are written as the zero-shot model', async () => {
    const count = 300;
    const inputs = mixtures.map(([from, to], i) => ({
      name: `${from}-${to}`,
      from,
      to,
      x: weights(from, count, 100 + i),
      y: weights(to, count, 200 + i),
    }));
    const { models } = await mergeTensors(
      inputs.map(({ name, from, x }) => tensor(name, from, [count], x)),
      inputs.map(({ name, to, y }) => tensor(name, to, [count], y)),
      [0, 0.3, 1],
    );
    for (const [k, alpha] of [0, 0.3, 1].entries()) {
      for (const { name, from, to, x, y } of inputs) {
        const got = models[k]!.get(name)!;
        expect(got.dtype).toBe(from);
        const expected = lerpData(x, y, alpha, { x: from, y: to, out: from });
        expect(firstDifference(got.data, expected, from), `${name} at ${alpha}`).toBeUndefined();
      }
    }
  });
});

describe('tensors of unusual kinds', () => {
  it('complex tensors interpolate as pairs of reals', async () => {
    const [x, y] = [weights('F32', 600, 51), weights('F32', 600, 52)];
    const { models } = await mergeTensors(
      [tensor('c', 'C64', [300], x)],
      [tensor('c', 'C64', [300], y)],
      [0.3],
    );
    const got = models[0]!.get('c')!;
    expect(got).toMatchObject({ dtype: 'C64', shape: [300] });
    expect(got.data.equals(lerpData(x, y, 0.3, { x: 'F32', y: 'F32', out: 'F32' }))).toBe(true);
  });

  it('equal integer and boolean tensors are copied', async () => {
    const kinds = ['BOOL', 'U8', 'I8', 'I16', 'U16', 'I32', 'U32', 'I64', 'U64'];
    const widths = [1, 1, 1, 2, 2, 4, 4, 8, 8];
    const tensors = kinds.map((dtype, i) =>
      tensor(`buffer_${dtype}`, dtype, [5], randomBytes(5 * widths[i]!, 60 + i)),
    );
    const { models } = await mergeTensors(tensors, tensors, [0.5]);
    for (const { name, dtype, data } of tensors) expect(models[0]!.get(name)).toMatchObject({ dtype, data });
  });

  it('scalars and empty tensors keep their shapes', async () => {
    const of = (value: number) => [
      tensor('scalar', 'F32', [], new Float32Array([value])),
      tensor('empty', 'F32', [0]),
      tensor('empty of rank 3', 'BF16', [2, 0, 3]),
      tensor('one', 'F32', [1, 1], new Float32Array([value])),
    ];
    const { models } = await mergeTensors(of(1), of(2), [0.25]);
    const shapes = Object.fromEntries([...models[0]!].map(([name, { shape }]) => [name, shape]));
    expect(shapes).toEqual({ scalar: [], empty: [0], 'empty of rank 3': [2, 0, 3], one: [1, 1] });
    expect(models[0]!.get('scalar')!.data.readFloatLE()).toBe(1.25);
  });

  it('a model of nothing but empty tensors, or of none, merges', async () => {
    const { models } = await mergeTensors([tensor('e', 'F32', [0])], [tensor('e', 'F32', [0])], [0.5]);
    expect([...models[0]!.keys()]).toEqual(['e']);
    const none = await mergeTensors([], [], [0.5]);
    expect(none.models[0]!.size).toBe(0);
  });

  it('names that JavaScript treats specially are names like any other', async () => {
    const names = [
      '__proto__',
      'constructor',
      '10',
      '2',
      '0',
      'b',
      '',
      'toString',
      '温度',
      '\u{1f600}',
      'a"b\\c',
      '../../etc',
    ];
    const of = (add: number) => names.map((name, i) => tensor(name, 'F32', [1], new Float32Array([i + add])));
    const { models, result } = await mergeTensors(of(0), of(1), [0.5]);
    expect(result.outputs[0]!.files).toHaveLength(1);
    for (const [i, name] of names.entries())
      expect(models[0]!.get(name)?.data.readFloatLE(), name).toBe(i + 0.5);
    expect(models[0]!.size).toBe(names.length);
  });

  it('counts non-finite elements of a tensor named __proto__', async () => {
    const w = tensor('__proto__', 'F32', [1], new Float32Array([Number.NaN]));
    const { result } = await mergeTensors([w], [w], [0.5]);
    expect(Object.entries(result.outputs[0]!.nonFinite)).toEqual([['__proto__', 1]]);
  });
});

/** The first element whose bits differ, for a readable failure. */
function firstDifference(got: Buffer, expected: Buffer, dtype: Float): string | undefined {
  if (got.equals(expected)) return undefined;
  const { bytes } = formats[dtype]!;
  if (got.length !== expected.length) return `${got.length} bytes for ${expected.length}`;
  for (let i = 0; i < got.length / bytes; i++) {
    const [is, should] = [codeAt(got, i, bytes), codeAt(expected, i, bytes)];
    if (is !== should) return `element ${i}: 0x${is.toString(16)} for 0x${should.toString(16)}`;
  }
  return undefined;
}
