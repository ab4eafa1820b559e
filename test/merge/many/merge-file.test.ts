// Merge files from end to end, apart from the methods themselves: adapters, rare dtypes, many models, several documents,
// hashes, and runs that do not finish.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { xxh3 } from '@node-rs/xxhash';
import { describe, expect, it } from 'vitest';
import { mergeFile } from '../../../lib/merge/many/merge-file.js';
import { decode, encode, formats } from '../../support/exact.js';
import { expectElements } from '../../support/merge-oracles/compare.js';
import { store } from '../../support/merge-oracles/floats.js';
import { oracles } from '../../support/merge-oracles/methods.js';
import { normal } from '../../support/merge-zoo.js';
import { readModel, writeModel } from '../../support/models.js';
import { type Numbers, numbers, runMerge, type Weights, writeWeights } from '../../support/number-merge.js';
import { tensor, writeStored } from '../../support/safetensors.js';
import { f32, merge, oracleOf } from '../../support/small-merge.js';
import { tempDir } from '../../support/temp.js';

describe('an adapter', () => {
  /** More than two chunks with little memory; rows do not divide them. */
  const [rows, columns, rank] = [601, 251, 3];
  const base = numbers('BF16', [rows, columns], normal(rows * columns, 1, 0.05));
  const a = normal(rank * columns, 2, 0.1).map(Math.fround);
  const b = normal(rows * rank, 3, 0.1).map(Math.fround);
  /** lora_alpha / r. */
  const scale = 4;
  const adapted = base.values.map((w, e) => {
    const [i, j] = [Math.floor(e / columns), e % columns];
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += b[i * rank + k]! * a[k * columns + j]!;
    return w + scale * sum;
  });

  async function setUp() {
    const root = await tempDir();
    const name = 'model.layers.0.q.weight';
    const path = writeWeights(join(root, 'base'), { [name]: base });
    const lora = join(root, 'lora');
    mkdirSync(lora);
    const factor = (part: string, shape: number[], values: Float64Array) => ({
      name: `base_model.model.model.layers.0.q.lora_${part}.weight`,
      dtype: 'F32',
      shape,
      data: store(values, 'F32'),
    });
    writeStored(join(lora, 'adapter_model.safetensors'), [
      factor('A', [rank, columns], a),
      factor('B', [rows, rank], b),
    ]);
    writeFileSync(
      join(lora, 'adapter_config.json'),
      JSON.stringify({
        peft_type: 'LORA',
        r: rank,
        lora_alpha: scale * rank,
        target_modules: ['q'],
        bias: 'none',
      }),
    );
    return { root, name, path, reference: `${path}+${lora}` };
  }

  it('is added to its base while that is read, whatever the chunks', async () => {
    const { root, name, reference } = await setUp();
    const text = { merge_method: 'passthrough', models: [{ model: reference }], out_dtype: 'float32' };
    const whole = await runMerge(root, text);
    const cut = await runMerge(root, text, { memory: 9 * 2 ** 20, readMode: 'direct' });
    const { data } = whole.tensors.get(name)!;
    expect(cut.tensors.get(name)!.data.equals(data)).toBe(true);
    const expected = { value: adapted, scale: adapted.map(() => 1) };
    expectElements('adapted', data, 'F32', expected, { models: 1, compute: 'F32' });
  });

  it('gives task vectors like those of the merged model', async () => {
    const { root, name, path, reference } = await setUp();
    const { tensors } = await runMerge(root, {
      merge_method: 'ties',
      base_model: path,
      models: [{ model: reference, parameters: { weight: 1, density: 0.3 } }],
    });
    const merged = writeWeights(join(root, 'adapted'), { [name]: numbers('F32', [rows, columns], adapted) });
    const direct = await runMerge(root, {
      merge_method: 'ties',
      base_model: path,
      models: [{ model: merged, parameters: { weight: 1, density: 0.3 } }],
    });
    // Sums in F32 may differ in the last place, and so may a threshold.
    const [got, want] = [tensors, direct.tensors].map((all) => all.get(name)!.data) as [Buffer, Buffer];
    let different = 0;
    for (let e = 0; e < got.length; e += 2) different += Number(got.readUInt16LE(e) !== want.readUInt16LE(e));
    expect(different).toBeLessThan(rows);
  });
});

describe('rare dtypes', () => {
  it.each(['F8_E4M3', 'F8_E5M2'])('%s: means rounded once', async (dtype) => {
    const root = await tempDir();
    const format = formats[dtype]!;
    const codes = (seed: number) => Buffer.from(normal(500, seed, 1).map((v) => Number(encode(v, format))));
    const data = [1, 2].map(codes);
    const paths = data.map((stored, i) =>
      writeModel(join(root, `m${i}`), [{ name: 'w', dtype, shape: [500], data: stored }]),
    );
    const text = { merge_method: 'uniform_soup', models: paths.map((model) => ({ model })) };
    const { tensors } = await runMerge(root, text);
    const value = (buffer: Buffer, e: number) => decode(BigInt(buffer[e]!), format);
    const expected = Buffer.from(
      data[0]!.map((_, e) => Number(encode((value(data[0]!, e) + value(data[1]!, e)) / 2, format))),
    );
    expect(tensors.get('w')!.dtype).toBe(dtype);
    expect(tensors.get('w')!.data.equals(expected)).toBe(true);
  });

  it('C64: pairs of reals, also where rows count', async () => {
    const root = await tempDir();
    const [rows, columns] = [20, 15];
    const all = [1, 2, 3].map((seed) =>
      numbers('F32', [rows, 2 * columns], normal(2 * rows * columns, seed, 1)),
    );
    const paths = all.map(({ values }, i) =>
      writeModel(join(root, `m${i}`), [tensor('w', 'C64', [rows, columns], Float32Array.from(values))]),
    );
    for (const [method, parameters] of [
      ['ties', { density: 0.4, weight: 0.5 }],
      ['model_stock', { filter_wise: true }],
      ['slerp', { t: 0.4 }],
    ] as const) {
      const models = method === 'slerp' ? all.slice(1, 2) : all.slice(1);
      const { tensors } = await runMerge(root, {
        merge_method: method,
        base_model: paths[0]!,
        models: paths.slice(1, 1 + models.length).map((model) => ({ model })),
        parameters,
      });
      const numeric = Object.fromEntries(Object.entries(parameters).map(([k, v]) => [k, Number(v)]));
      const own = method === 'ties' ? models.map(() => numeric) : [];
      const given = { method, base: all[0]!, models, own, parameters: numeric };
      expect(tensors.get('w')).toMatchObject({ dtype: 'C64', shape: [rows, columns] });
      const expected = oracles[method]!(oracleOf(given));
      expectElements(method, tensors.get('w')!.data, 'F32', expected, { models: 2, compute: 'F32' });
    }
  });
});

describe('many models', () => {
  const n = 33;
  const count = 3001;
  const base = numbers('F32', [count], normal(count, 1, 0.05));
  const models = Array.from({ length: n }, (_, i): Numbers => {
    const change = normal(count, 10 + i, 0.01);
    return numbers(
      'F32',
      [count],
      base.values.map((b, e) => b + change[e]!),
    );
  });
  const own = models.map((_, i) => ({ weight: 0.1 + Math.sin(i + 1) ** 2, density: 0.3 + 0.02 * i }));
  const plain = own.map(({ weight }) => ({ weight }));

  it.each<[string, boolean, Record<string, number>[], Record<string, number>]>([
    ['linear', false, plain, {}],
    ['multislerp', true, plain, {}],
    ['karcher', false, [], {}],
    ['ties', true, own, {}],
    ['dare_ties', true, own, {}],
    ['breadcrumbs', true, own, {}],
    ['model_stock', true, [], {}],
    ['sce', true, [], { select_topk: 0.5 }],
    ['ramplus_tl', true, [], { epsilon: 0.01 }],
    ['ema', true, [], { rate: 0.1 }],
    ['warp', true, [], {}],
  ])('%s of 33', async (method, based, parametersOfModels, parameters) => {
    const given = { method, models, own: parametersOfModels, parameters, ...(based && { base }) };
    const { tensors } = await merge(given);
    const expected = oracles[method]!(oracleOf(given));
    expectElements(method, tensors.w!.data, 'F32', expected, { models: n, compute: 'F32' });
  });
});

describe('several documents', () => {
  const weights = (value: number): Weights => ({ w: f32(value, 2 * value), other: f32(value) });

  it('are directories by name, and inputs of each other', async () => {
    const root = await tempDir();
    const [a, b, c] = [1, 3, 10].map((value) =>
      writeWeights(join(root, `m${value}`), weights(value)),
    ) as string[];
    const config = join(root, 'merge.yml');
    const soup = (...models: string[]) => ({
      merge_method: 'uniform_soup',
      models: models.map((model) => ({ model })),
    });
    const documents = [soup('first', c!), { name: 'first', ...soup(a!, b!) }];
    writeFileSync(config, documents.map((one) => JSON.stringify(one)).join('\n---\n'));
    const out = join(root, 'out');
    const { documents: made } = await mergeFile({ config, out });
    expect(made.map(({ name, directory }) => [name, directory])).toEqual([
      ['first', join(out, 'first')],
      [undefined, join(out, 'final')],
    ]);
    const numbersOf = (name: string) => [
      ...new Float32Array(new Uint8Array(readModel(join(out, name)).get('w')!.data).buffer),
    ];
    expect(numbersOf('first')).toEqual([2, 4]);
    expect(numbersOf('final')).toEqual([6, 12]);
  });
});

it('any budget will do, whole pages or not', async () => {
  const models = [1, 2].map((seed) => numbers('F32', [300_001], normal(300_001, seed, 1)));
  const given = { method: 'uniform_soup', models };
  const expected = (await merge(given)).tensors.w!.data;
  for (const memory of [10_000_001, 33_333_333]) {
    const { tensors } = await merge({ ...given, options: { memory } });
    expect(tensors.w!.data.equals(expected)).toBe(true);
  }
});

describe('what is written', () => {
  it('shards as large as asked for, with the hashes of their bytes', async () => {
    const root = await tempDir();
    const names = Array.from({ length: 12 }, (_, i) => `t${i}`);
    const weights = (seed: number): Weights =>
      Object.fromEntries(
        names.map((name, i) => [name, numbers('F32', [100 + i], normal(100 + i, seed + i, 1))]),
      );
    const paths = [1, 50].map((seed) => writeWeights(join(root, `m${seed}`), weights(seed)));
    const text = { merge_method: 'uniform_soup', models: paths.map((model) => ({ model })) };
    const { tensors, result } = await runMerge(root, text, { shardSize: 1000 });
    const { files, directory } = result.documents[0]!;
    expect(files).toHaveLength(6);
    expect(tensors.size).toBe(12);
    for (const { name, bytes, xxh3: hash } of files) {
      const content = readFileSync(join(directory, name));
      expect(content.length).toBe(bytes);
      expect(hash).toBe(xxh3.xxh64(content).toString(16).padStart(16, '0'));
    }
  });
});

describe('a run that does not finish', () => {
  const large = (seed: number) => numbers('F32', [200_000], normal(200_000, seed, 1));

  it('leaves nothing behind: aborted, and with a tensor that has no result', async () => {
    const root = await tempDir();
    const values = large(1);
    const opposite = { ...values, values: values.values.map((v) => -v) };
    const soft = large(2);
    const [a, b] = [
      writeWeights(join(root, 'a'), { first: soft, second: values }),
      writeWeights(join(root, 'b'), { first: large(3), second: opposite }),
    ];
    const config = join(root, 'merge.yml');
    const out = join(root, 'out');
    writeFileSync(config, JSON.stringify({ merge_method: 'karcher', models: [{ model: a }, { model: b }] }));
    await expect(mergeFile({ config, out })).rejects.toMatchObject({
      code: 'ERR_MERGE',
      message: expect.stringMatching(/^second: /),
    });
    const controller = new AbortController();
    const reason = new Error('enough');
    writeFileSync(
      config,
      JSON.stringify({ merge_method: 'uniform_soup', models: [{ model: a }, { model: b }] }),
    );
    const onPlan = () => controller.abort(reason);
    await expect(mergeFile({ config, out, signal: controller.signal, onPlan })).rejects.toBe(reason);
    expect(readdirSync(root).sort()).toEqual(['a', 'b', 'merge.yml']);
  });

  it('says which input became shorter', async () => {
    const root = await tempDir();
    const paths = [1, 2].map((seed) => writeWeights(join(root, `m${seed}`), { w: large(seed) }));
    const config = join(root, 'merge.yml');
    const file = join(paths[1]!, 'model.safetensors');
    writeFileSync(
      config,
      JSON.stringify({ merge_method: 'uniform_soup', models: paths.map((model) => ({ model })) }),
    );
    const content = readFileSync(file);
    const onPlan = () => writeFileSync(file, content.subarray(0, 100_000));
    await expect(
      mergeFile({ config, out: join(root, 'out'), onPlan, readMode: 'cached' }),
    ).rejects.toMatchObject({
      code: 'ERR_INPUT_CHANGED',
      file,
    });
  });

  it('names a tensor whose Gram matrices do not determine it', async () => {
    const gram = numbers('F32', [2, 2], [1, 1, 1, 1]);
    const models = [numbers('F32', [1, 2], [1, 2]), numbers('F32', [1, 2], [3, 5])];
    const given = { method: 'regmean', models, statistics: { key: 'gram', of: [gram, gram] } } as const;
    await expect(merge({ ...given, parameters: { alpha: 1 } })).rejects.toMatchObject({
      code: 'ERR_MERGE',
      message: expect.stringMatching(/^w: its Gram matrices .*alpha below 1/),
    });
    // An input that never was anything but 0 says nothing of its weight, which is averaged.
    const still = numbers('F32', [2, 2], [4, 0, 0, 0]);
    const { w } = await merge({
      ...given,
      statistics: { key: 'gram', of: [still, still] },
      parameters: { alpha: 1 },
    });
    expect(w).toEqual([2, 3.5]);
  });
});

describe('a merge file', () => {
  it('is read once: a pipe is merged, and written down as it was', async () => {
    const root = await tempDir();
    for (const name of ['a', 'b']) writeWeights(join(root, name), { w: numbers('F32', [2], [1, 2]) });
    const text = `merge_method: uniform_soup # of two\nmodels: [{model: ${root}/a}, {model: ${root}/b}]\n`;
    const [pipe, out] = [join(root, 'pipe'), join(root, 'out')];
    execFileSync('mkfifo', [pipe]);
    const writer = spawn('sh', ['-c', 'printf %s "$1" > "$2"', '-', text, pipe]);
    await mergeFile({ config: pipe, out });
    expect(writer.exitCode ?? 0).toBe(0);
    expect(readFileSync(join(out, 'mergekit_config.yml'), 'utf8')).toBe(text);
    expect(JSON.parse(readFileSync(join(out, 'wisemerge.json'), 'utf8')).config).toBe(text);
  });

  it('that is a directory is an error of use, which tells how two models are merged', async () => {
    const root = await tempDir();
    await expect(mergeFile({ config: root, out: join(root, 'out') })).rejects.toMatchObject({
      code: 'ERR_USAGE',
      file: root,
      message: expect.stringMatching(/is a directory and no YAML file/),
      hint: expect.stringMatching(/--zeroshot, --finetuned, --alpha and --out/),
    });
  });
});
