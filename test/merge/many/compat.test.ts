// `compat: mergekit` against the recipe of its roundings, carried out with exact rationals: p = R(R(w) · x), summed in
// f32 and rounded, divided by R(Σ R(w)).
import { describe, expect, it } from 'vitest';
import { planMergeFile } from '../../../lib/index.js';
import { codeAt, decode, encode, formats } from '../../support/exact.js';
import { f32, Workshop } from '../../support/merge-file.js';
import { readModel } from '../../support/models.js';
import { randomWeights } from '../../support/random.js';
import { type Tensor, tensor } from '../../support/safetensors.js';
import { tempDir } from '../../support/temp.js';

const count = 3000;

/** Rounds to a format, to nearest even. */
const rounder = (dtype: string) => (value: number) => decode(encode(value, formats[dtype]!), formats[dtype]!);
const values = ({ dtype, data }: Tensor) =>
  Array.from({ length: data.length / formats[dtype]!.bytes }, (_, i) =>
    decode(codeAt(data, i, formats[dtype]!.bytes), formats[dtype]!),
  );

function stored(dtype: string, numbers: ArrayLike<number>): Tensor {
  const { bytes } = formats[dtype]!;
  const data = Buffer.alloc(numbers.length * bytes);
  for (let i = 0; i < numbers.length; i++)
    data.writeUIntLE(Number(encode(numbers[i]!, formats[dtype]!)), bytes * i, bytes);
  return tensor('w', dtype, [numbers.length], data);
}

async function shop(dtype: string, names = ['base', 'a', 'b', 'c']): Promise<Workshop> {
  const made = new Workshop(await tempDir());
  for (const [i, name] of names.entries()) made.model(name, [stored(dtype, randomWeights(count, i + 1))]);
  return made;
}
const inputs = (made: Workshop, name: string): number[] => values(readModel(made.path(name)).get('w')!);

/** Sums of two f32 numbers, and products and quotients of two, rounded to f32 once from f64: the latter is innocuous. */
const { fround } = Math;

function linear(models: number[][], weights: number[], r: (x: number) => number, normalize = true): number[] {
  const w = weights.map(r);
  const total = r(w.reduce((sum, one) => fround(sum + one), 0));
  return models[0]!.map((_, e) => {
    let sum = r(w[0]! * models[0]![e]!);
    for (let i = 1; i < models.length; i++) sum = fround(sum + r(w[i]! * models[i]![e]!));
    return normalize ? r(fround(r(sum) / total)) : r(sum);
  });
}

describe('linear', () => {
  it.each(['BF16', 'F16', 'F32'])('in %s', async (dtype) => {
    const made = await shop(dtype);
    const models = ['a', 'b', 'c'].map((name) => inputs(made, name));
    const text = `merge_method: linear
models: [{model: $/a, parameters: {weight: 0.3}}, {model: $/b, parameters: {weight: 0.7}}, {model: $/c, parameters: {weight: -0.1}}]
`;
    const { warnings } = await made.merge(text, { compat: 'mergekit' });
    expect(warnings.join()).toMatch(/less exact, and weights that are equal in all models may change/);
    const out = made.output().get('w')!;
    expect(out.dtype).toBe(dtype);
    const expected = linear(models, [0.3, 0.7, -0.1], rounder(dtype));
    expect(values(out)).toEqual(expected);
    // Which is not what one rounding gives.
    await made.merge(text, { force: true });
    expect(values(made.output().get('w')!)).not.toEqual(expected);
  });

  it('casts to dtype before it computes, and to out_dtype at the end', async () => {
    const made = await shop('F32');
    const r = rounder('BF16');
    const models = ['a', 'b'].map((name) => inputs(made, name));
    const text = (rest: string) => `merge_method: linear
models: [{model: $/a}, {model: $/b}]
parameters: {weight: 0.9, normalize: false}
dtype: bfloat16
${rest}
`;
    const expected = linear(
      models.map((one) => one.map(r)),
      [0.9, 0.9],
      r,
      false,
    );
    await made.merge(text(''), { compat: 'mergekit' });
    expect(values(made.output().get('w')!)).toEqual(expected);
    await made.merge(text('out_dtype: float32'), { compat: 'mergekit', force: true });
    expect(made.output().get('w')!.dtype).toBe('F32');
    expect(values(made.output().get('w')!)).toEqual(expected);
  });
});

describe('task_arithmetic', () => {
  it.each(['BF16', 'F16', 'F32'])('in %s, with and without normalize', async (dtype) => {
    const made = await shop(dtype);
    const r = rounder(dtype);
    const [base, a, b] = ['base', 'a', 'b'].map((name) => inputs(made, name));
    for (const [normalize, lambda] of [
      [false, 1],
      [true, 0.7],
    ] as const) {
      await made.merge(
        `merge_method: task_arithmetic
base_model: $/base
models: [{model: $/a, parameters: {weight: 0.3}}, {model: $/b, parameters: {weight: 0.6}}]
parameters: {normalize: ${normalize}, lambda: ${lambda}}
`,
        { compat: 'mergekit', force: true },
      );
      const deltas = [a!, b!].map((model) => model.map((x, e) => r(x - base![e]!)));
      const mixed = linear(deltas, [0.3, 0.6], r, normalize).map((x) =>
        lambda === 1 ? x : r(fround(x * fround(lambda))),
      );
      expect(values(made.output().get('w')!)).toEqual(base!.map((x, e) => r(x + mixed[e]!)));
    }
  });

  it('keeps the base where no model has a weight, normalize or not', async () => {
    const made = await shop('BF16');
    const text = `merge_method: task_arithmetic
base_model: $/base
models: [{model: $/a}, {model: $/b}]
parameters: {weight: 0, normalize: true}
`;
    await made.merge(text, { compat: 'mergekit' });
    expect(values(made.output().get('w')!)).toEqual(inputs(made, 'base'));
  });
});

it('passthrough rounds a scaled tensor once, with the scale in f32', async () => {
  const made = await shop('F32');
  const r = rounder('BF16');
  await made.merge(
    'merge_method: passthrough\nmodels: [{model: $/a, parameters: {scale: 0.3}}]\ndtype: bfloat16\n',
    {
      compat: 'mergekit',
    },
  );
  const a = inputs(made, 'a');
  expect(values(made.output().get('w')!)).toEqual(a.map((x) => r(fround(r(x) * fround(0.3)))));
});

describe('what is not reproduced', () => {
  it('is refused with the place of the method', async () => {
    const made = await shop('F32');
    const text =
      'models: [{model: $/a}, {model: $/b}]\nbase_model: $/a\nparameters: {t: 0.5}\nmerge_method: slerp\n';
    const error = {
      code: 'ERR_MERGE_FILE',
      details: { problems: [{ line: 4, column: 1, message: /not offered for slerp: it is for linear/ }] },
    };
    await expect(made.merge(text, { compat: 'mergekit' })).rejects.toMatchObject(error);
    await expect(planMergeFile({ config: made.config(text), compat: 'mergekit' })).rejects.toMatchObject(
      error,
    );
  });

  it('and so are dtypes that differ, and float8', async () => {
    const made = await shop('F32', ['a']);
    made.model('b', [stored('BF16', randomWeights(count, 9))]);
    for (const name of ['e', 'f']) made.model(name, [tensor('w', 'F8_E4M3', [count])]);
    const text = (other: string) =>
      `merge_method: linear\nmodels: [{model: $/${other}}, {model: $/a}]\nparameters: {weight: 1}\n`;
    const fails = (content: string, error: object) =>
      expect(made.merge(content, { compat: 'mergekit' })).rejects.toMatchObject(error);
    await fails(text('b'), { code: 'ERR_DTYPE_MISMATCH', message: /BF16 in one model and F32 in another/ });
    await fails(text('e').replace('$/a', '$/f'), {
      code: 'ERR_DTYPE_MISMATCH',
      message: /computed in F8_E4M3/,
    });
    await made.merge(`${text('b')}dtype: float32\n`, { compat: 'mergekit' });
  });
});

it('non-finite results are counted', async () => {
  const made = new Workshop(await tempDir());
  made.model('a', [f32('w', [3], [3e38, Number.NaN, 1])]);
  made.model('b', [f32('w', [3], [3e38, 1, 1])]);
  const { documents } = await made.merge(
    'merge_method: linear\nmodels: [{model: $/a}, {model: $/b}]\nparameters: {weight: 1, normalize: false}\n',
    { compat: 'mergekit' },
  );
  expect(documents[0]!.nonFinite).toEqual({ w: 2 });
});
