import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { verify } from '../../lib/checkpoint/verify.js';
import { writeSafetensors } from '../../lib/checkpoint/write-safetensors.js';
import type { WisemergeError } from '../../lib/errors.js';
import { hostBufferBytes } from '../../lib/native.js';
import { type FinetuneRunOptions, finetune } from '../../lib/train/finetune.js';
import type { FinetuneOptions } from '../../lib/train/options.js';
import { openTrainingFeatures } from '../../lib/train/training-features.js';
import { contents, listFiles, readModel } from '../support/models.js';
import { tensor } from '../support/safetensors.js';
import { headTensors, mlpTensors, separable, trainingProject } from '../support/training.js';

type Project = Awaited<ReturnType<typeof trainingProject>>;

const run = (
  { root: _root, ...options }: Project,
  more: Partial<FinetuneOptions & FinetuneRunOptions> = {},
) => finetune({ ...options, ...more });

/** Every file of an output with its bytes. */
async function bytesOf(directory: string): Promise<Record<string, string>> {
  const files = listFiles(directory);
  const texts = await Promise.all(files.map((file) => readFile(join(directory, file), 'latin1')));
  return Object.fromEntries(files.map((file, i) => [file, texts[i]!]));
}

/** The same with manifests without their command, which names the output. */
async function resultOf(directory: string) {
  const files = await bytesOf(directory);
  for (const [name, text] of Object.entries(files)) {
    if (name.endsWith('wisemerge.json')) files[name] = text.replace(/"command": .*\n/, '');
  }
  return files;
}

describe('features in files', () => {
  test('train as those in memory do, and are named in the command', async () => {
    const project = await trainingProject(headTensors(4, 12));
    const file = join(project.root, 'train.safetensors');
    const { samples, dimension, labels } = project.train;
    const data = new Uint8Array(4 * samples * dimension);
    await project.train.readFeatures(0, samples, data);
    await writeSafetensors(file, [
      { name: 'features', dtype: 'F32', shape: [samples, dimension], data },
      {
        name: 'labels',
        dtype: 'I32',
        shape: [samples],
        data: new Uint8Array(Int32Array.from(labels).buffer),
      },
    ]);
    const train = await openTrainingFeatures({ features: `${file}:features`, labels: `${file}:labels` });
    const fromFiles = await run(project, { train, out: join(project.root, 'files'), epochs: 1 });
    await train.close();
    expect(fromFiles.epochs).toEqual((await run(project, { epochs: 1 })).epochs);
    const manifest = JSON.parse(await readFile(join(fromFiles.directory, 'wisemerge.json'), 'utf8'));
    expect(manifest.command).toContain(`--features ${file}:features --labels ${file}:labels`);
  });

  test.each([
    [{ features: 'x.npy' }, /^labels: is missing/],
    [{ features: 'x.npy', labels: 'y.npy', classnames: [] }, /^classnames: unknown option/],
    [{ features: 7, labels: 'y.npy' }, /^features: /],
  ])('with options %j are refused', async (options, message) => {
    await expect(openTrainingFeatures(options as never)).rejects.toMatchObject({
      code: 'ERR_USAGE',
      message: expect.stringMatching(message),
    });
  });
});

describe('training', () => {
  test('a linear head learns what can be separated', async () => {
    const project = await trainingProject(headTensors(4, 12));
    const seen: number[] = [];
    const result = await run(project, { epochs: 15, lr: 0.05, onEpoch: ({ epoch }) => seen.push(epoch) });
    expect(seen).toEqual(Array.from({ length: 15 }, (_, i) => i + 1));
    expect(result.epochs.at(-1)).toMatchObject({ epoch: 15, top1: 1, heldOut: { top1: 1 } });
    expect(result.initial!.top1).toBeLessThan(0.6);
    expect(result.epochs.at(-1)!.heldOut!.loss).toBeLessThan(0.5 * result.initial!.loss);
    expect(result).toMatchObject({
      trained: ['head.weight'],
      parameters: 48,
      frozen: 0,
      resumed: 0,
      warnings: [],
    });
    expect(result.directory).toBe(join(project.out, 'epoch_0015'));
  });

  test('a linear head follows the method worked out in f64', async () => {
    const [samples, classes, dimension] = [50, 4, 12];
    const project = await trainingProject(headTensors(classes, dimension));
    const train = separable(samples, classes, dimension);
    const features = new Float32Array(samples * dimension);
    await train.readFeatures(0, samples, new Uint8Array(features.buffer));
    // One batch of all samples a step: their order does not matter.
    const options = { epochs: 20, batchSize: 64, lr: 0.05, weightDecay: 0.2, labelSmoothing: 0.1, clip: 0.3 };
    const result = await run(project, { ...options, train, warmup: 5 });

    const stored = readModel(project.zeroshot).get('head.weight')!.data;
    const w = Float64Array.from(
      new Float32Array(stored.buffer.slice(stored.byteOffset, stored.byteOffset + 192)),
    );
    const [m, v] = [new Float64Array(48), new Float64Array(48)];
    for (let t = 1; t <= 20; t++) {
      const gradient = new Float64Array(48);
      let loss = 0;
      for (let i = 0; i < samples; i++) {
        const x = features.subarray(i * dimension, (i + 1) * dimension);
        const z = Float64Array.from({ length: classes }, (_, c) =>
          x.reduce((sum, value, d) => sum + value * w[c * dimension + d]!, 0),
        );
        const total = z.reduce((sum, value) => sum + Math.exp(value), 0);
        for (let c = 0; c < classes; c++) {
          const target = 0.1 / classes + (train.labels[i] === c ? 0.9 : 0);
          const p = Math.exp(z[c]!) / total;
          loss -= (target * Math.log(p)) / samples;
          for (let d = 0; d < dimension; d++)
            gradient[c * dimension + d]! += ((p - target) * x[d]!) / samples;
        }
      }
      const norm = Math.hypot(...gradient);
      expect(result.epochs[t - 1]!.loss).toBeCloseTo(loss, 5);
      expect(result.epochs[t - 1]!.largestGradientNorm).toBeCloseTo(norm, 5);
      const rate = t <= 5 ? 0.05 * (t / 5) : 0.025 * (1 + Math.cos((Math.PI * (t - 6)) / 15));
      for (let j = 0; j < 48; j++) {
        const g = gradient[j]! * Math.min(1, 0.3 / (norm + 1e-6));
        m[j] = 0.9 * m[j]! + 0.1 * g;
        v[j] = 0.999 * v[j]! + 0.001 * g * g;
        w[j]! *= 1 - rate * 0.2;
        w[j]! -= (rate * m[j]!) / (1 - 0.9 ** t) / (Math.sqrt(v[j]! / (1 - 0.999 ** t)) + 1e-8);
      }
    }
    const data = readModel(result.directory).get('head.weight')!.data;
    const found = new Float32Array(data.buffer.slice(data.byteOffset, data.byteOffset + 192));
    for (const [j, value] of found.entries()) expect(value).toBeCloseTo(w[j]!, 4);
  });

  test.each([false, true])('an MLP learns it end to end, balanced: %s', async (balanced) => {
    const project = await trainingProject(mlpTensors([12, 20, 4]));
    const result = await run(project, { epochs: 15, balanced, labelSmoothing: 0.1 });
    expect(result.epochs.at(-1)).toMatchObject({ heldOut: { top1: 1 } });
    expect(result.trained).toHaveLength(6);
    const { loss, learningRate, largestGradientNorm } = result.epochs[0]!;
    expect(loss).toBeGreaterThan(result.epochs.at(-1)!.loss);
    expect(learningRate).toBeGreaterThan(0);
    expect(largestGradientNorm).toBeGreaterThan(0);
  });

  test('the outputs are checkpoints like the input, which verify', async () => {
    const tensors = mlpTensors([12, 20, 4], 'BF16');
    const project = await trainingProject(tensors, {
      config: { activation: 'gelu', width: 20 },
      metadata: { format: 'pt' },
      files: { 'tokenizer.json': '{}' },
    });
    await run(project);
    const before = readModel(project.zeroshot);
    for (let epoch = 1; epoch <= 4; epoch++) {
      const directory = join(project.out, `epoch_000${epoch}`);
      const after = readModel(directory);
      const shapes = (model: typeof before) =>
        [...model.values()].map(({ name, dtype, shape }) => `${name} ${dtype} ${shape}`);
      expect(shapes(after)).toEqual(shapes(before));
      expect(contents(after)).not.toEqual(contents(before));
      expect(listFiles(directory)).toEqual([
        ...[
          'config.json',
          'model.safetensors',
          'tokenizer.json',
          'training/optimizer.safetensors',
          'wisemerge.json',
        ],
      ]);
    }
    const verified = await verify(project.out);
    expect(verified.map(({ problems }) => problems)).toEqual([[], [], [], []]);
  });

  test('a head of a larger model leaves the rest byte for byte', async () => {
    const rest = [tensor('conv', 'F16', [3, 2, 2, 2], Buffer.alloc(48, 7)), tensor('steps', 'I64', [])];
    const project = await trainingProject([...rest, ...headTensors(4, 12)]);
    const result = await run(project, { epochs: 1 });
    expect(result).toMatchObject({ trained: ['head.weight'], frozen: 2 });
    const after = readModel(result.directory);
    for (const { name, data } of rest) expect(after.get(name)!.data).toEqual(data);
  });

  test.each(['F32', 'BF16'] as const)(
    'at a learning rate of 0 every byte of %s weights stays',
    async (dtype) => {
      const project = await trainingProject(mlpTensors([12, 20, 4], dtype));
      const { directory } = await run(project, { lr: 0, epochs: 2 });
      expect(contents(readModel(directory))).toEqual(contents(readModel(project.zeroshot)));
    },
  );

  test('memory is given back', async () => {
    const project = await trainingProject(headTensors(4, 12));
    const before = hostBufferBytes();
    await run(project, { epochs: 1 });
    await expect(run(project, { epochs: 1 })).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' });
    expect(hostBufferBytes()).toBe(before);
  });
});

describe('a run is a function of its options', () => {
  test('the same seed gives the same bytes with any threads, another seed others', async () => {
    const project = await trainingProject(mlpTensors([12, 20, 4]));
    const out = (name: string) => join(project.root, name);
    await run(project, { out: out('a'), threads: 1, seed: 5 });
    await run(project, { out: out('b'), threads: 2, seed: 5 });
    await run(project, { out: out('c'), seed: 6 });
    const [a, b, c] = [await resultOf(out('a')), await resultOf(out('b')), await resultOf(out('c'))];
    expect(b).toEqual(a);
    const weights = 'epoch_0004/model.safetensors';
    expect(c[weights]).not.toBe(a[weights]);
  });

  test.each(['F32', 'BF16'] as const)(
    'a run of %s that was stopped goes on to the same bytes',
    async (dtype) => {
      const project = await trainingProject(mlpTensors([12, 20, 4], dtype));
      const whole = join(project.root, 'whole');
      await run(project, { out: whole, balanced: true });
      const controller = new AbortController();
      const reason = new Error('enough');
      const stopped = run(project, {
        balanced: true,
        signal: controller.signal,
        onEpoch: ({ epoch }) => epoch === 2 && controller.abort(reason),
      });
      await expect(stopped).rejects.toBe(reason);
      expect(listFiles(project.out).filter((file) => file.includes('tmp'))).toEqual([]);
      const result = await run(project, { balanced: true, resume: true, threads: 1 });
      expect(result.resumed).toBe(2);
      expect(result.epochs.map(({ epoch }) => epoch)).toEqual([1, 2, 3, 4]);
      const files = await resultOf(project.out);
      expect(files).toEqual(await resultOf(whole));
      // A finished run has nothing to do.
      const again = await run(project, { balanced: true, resume: true });
      expect(again).toMatchObject({ resumed: 4, epochs: result.epochs, initial: result.initial });
      expect(await resultOf(project.out)).toEqual(files);
    },
  );

  test('resuming what has not begun begins it', async () => {
    const project = await trainingProject(headTensors(4, 12));
    expect((await run(project, { resume: true, epochs: 1 })).resumed).toBe(0);
  });
});

describe('what goes wrong', () => {
  test('divergence names epoch and step, and earlier epochs stay', async () => {
    const project = await trainingProject(headTensors(4, 12));
    // The decay alone multiplies the weights by -299 a step.
    const wild = { lr: 1, weightDecay: 300, warmup: 0 };
    const epochs: number[] = [];
    const failure = run(project, { ...wild, onEpoch: ({ epoch }) => epochs.push(epoch) });
    const error = await failure.then(
      () => undefined,
      (reason: WisemergeError) => reason,
    );
    expect(error).toMatchObject({ code: 'ERR_DIVERGED', hint: expect.stringContaining('--lr') });
    const { epoch, step } = error!.details as { epoch: number; step: number };
    expect(epoch).toBeGreaterThan(1);
    expect(error!.message).toContain(`epoch ${epoch}, step ${step} `);
    expect(epochs).toEqual(Array.from({ length: epoch - 1 }, (_, i) => i + 1));
    const directories = new Set(listFiles(project.out).map((file) => file.split('/')[0]));
    expect([...directories]).toEqual(epochs.map((n) => `epoch_000${n}`));
    // It diverges again in the same place.
    await expect(run(project, { ...wild, resume: true })).rejects.toMatchObject({ details: { epoch, step } });
  });

  test('a run goes on only with the same options and data', async () => {
    const project = await trainingProject(headTensors(4, 12));
    await run(project, { epochs: 2 });
    const kept = await bytesOf(project.out);
    const changed: [Partial<FinetuneOptions>, string][] = [
      [{ epochs: 3 }, 'other epochs'],
      [{ epochs: 2, lr: 1e-3, seed: 1 }, 'other lr, seed'],
      [{ epochs: 2, train: separable(203, 4, 12, 9) }, 'other train'],
    ];
    for (const [options, message] of changed) {
      await expect(run(project, { ...options, resume: true })).rejects.toMatchObject({
        code: 'ERR_TRAINING_CHANGED',
        message: expect.stringContaining(message),
      });
    }
    expect(await bytesOf(project.out)).toEqual(kept);
  });

  test('features that are not finite are named as the likely cause', async () => {
    const project = await trainingProject(headTensors(4, 12));
    const train = {
      ...separable(20, 4, 12),
      readFeatures: async (_f: number, _c: number, into: Uint8Array) => void into.fill(255),
    };
    await expect(run(project, { train })).rejects.toMatchObject({
      code: 'ERR_DIVERGED',
      hint: expect.stringContaining('features'),
      details: { epoch: 1, step: 1 },
    });
    await expect(run(project, { heldOut: train })).rejects.toMatchObject({ code: 'ERR_DIVERGED' });
  });

  test('weights that are not finite are refused by name', async () => {
    const weight = new Float32Array(48);
    weight[5] = Number.NaN;
    const project = await trainingProject([tensor('head.weight', 'F32', [4, 12], weight)]);
    await expect(run(project)).rejects.toMatchObject({ code: 'ERR_DATA', tensor: 'head.weight' });
    expect(existsSync(project.out)).toBe(false);
  });

  test('a state that is damaged, or a manifest that is none', async () => {
    const project = await trainingProject(headTensors(4, 12));
    await run(project, { epochs: 2 });
    const state = join(project.out, 'epoch_0002/training/optimizer.safetensors');
    const bytes = await readFile(state);
    bytes[bytes.length - 1]! ^= 1;
    await writeFile(state, bytes);
    const resumed = () => run(project, { epochs: 2, resume: true });
    await expect(resumed()).rejects.toMatchObject({ code: 'ERR_TRAINING_STATE', file: state });
    await writeFile(join(project.out, 'epoch_0002/wisemerge.json'), '{}');
    await expect(resumed()).rejects.toMatchObject({
      code: 'ERR_TRAINING_STATE',
      hint: expect.stringContaining('Remove'),
    });
    await rm(join(project.out, 'epoch_0002'), { recursive: true });
    expect((await resumed()).resumed).toBe(1);
  });

  test('an output is replaced only when asked to, and only at the end of the first epoch', async () => {
    const project = await trainingProject(headTensors(4, 12));
    await run(project, { epochs: 2 });
    const before = await bytesOf(project.out);
    await expect(run(project, { force: true, lr: 1e38, weightDecay: 1e3 })).rejects.toMatchObject({
      code: 'ERR_DIVERGED',
    });
    expect(await bytesOf(project.out)).toEqual(before);
    await run(project, { force: true, epochs: 1 });
    expect(listFiles(project.out).every((file) => file.startsWith('epoch_0001/'))).toBe(true);
    await expect(run(project, { out: project.zeroshot })).rejects.toMatchObject({
      code: 'ERR_OUTPUT_IS_INPUT',
    });
  });

  const set = separable(10, 4, 12);
  const wrong: [string, Partial<FinetuneOptions>, string, RegExp][] = [
    ['epochs', { epochs: 0 }, 'ERR_USAGE', /epochs: must be a whole number from 1/],
    ['batchSize', { batchSize: 1.5 }, 'ERR_USAGE', /batchSize/],
    ['lr', { lr: Number.NaN }, 'ERR_USAGE', /lr: must be a number from 0/],
    ['labelSmoothing', { labelSmoothing: 1 }, 'ERR_USAGE', /labelSmoothing/],
    ['seed', { seed: -1 }, 'ERR_USAGE', /seed/],
    ['warmup', { warmup: 28 }, 'ERR_USAGE', /28 steps of warm-up leave nothing of the 28 steps/],
    ['activation', { activation: 'silu' as 'relu' }, 'ERR_USAGE', /one of gelu, relu/],
    ['activation of a head', { activation: 'relu' }, 'ERR_USAGE', /no two linear layers/],
    ['an unknown option', { epoch: 3 } as object, 'ERR_USAGE', /epoch: unknown option/],
    [
      'the dimension',
      { train: separable(10, 4, 11) },
      'ERR_DATA_MISMATCH',
      /features of 11 numbers; head.weight takes 12/,
    ],
    [
      'labels',
      { train: { ...set, labels: set.labels.map(() => 4) } },
      'ERR_DATA_MISMATCH',
      /label 4 of row 0 is outside 0..3/,
    ],
    [
      'half a label',
      { train: { ...set, labels: Array.from(set.labels, () => 1.5) as never } },
      'ERR_DATA_MISMATCH',
      /label 1.5 of row 0 is not a whole number/,
    ],
    [
      'rows',
      { heldOut: { ...set, samples: 11 } },
      'ERR_DATA_MISMATCH',
      /the held-out set has 11 samples and 10 labels/,
    ],
    ['the head', { head: 'nothing' }, 'ERR_NO_SUCH_TENSOR', /no matrix nothing/],
  ];
  test.each(wrong)('%s is refused before any work', async (_name, options, code, message) => {
    const project = await trainingProject(headTensors(4, 12));
    await expect(run(project, options)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    expect(existsSync(project.out)).toBe(false);
  });
});
