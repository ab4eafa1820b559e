// Fine-tuning of networks that take pictures, on fixtures whose forward pass transformers has confirmed.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { NetworkModel } from '../../lib/eval/network.js';
import { devices } from '../../lib/native.js';
import type { FinetuneRunOptions } from '../../lib/train/finetune.js';
import { finetune } from '../../lib/train/finetune.js';
import type { FinetuneOptions, TrainingSet } from '../../lib/train/options.js';
import { noise } from '../support/heads.js';
import { listFiles, readModel, writeModel } from '../support/models.js';
import { asFloats, fixture, floats } from '../support/networks.js';
import { openClip, timm, toOpenClip, toTimm } from '../support/other-names.js';
import { randomF32 } from '../support/random.js';
import { readTensors, type Tensor, tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';
import { headTensors, mlpTensors } from '../support/training.js';

const gpu = devices().find(({ backend, available }) => backend === 'cuda' && available);
const shape = [3, 32, 32];
const pixels = 3 * 32 * 32;
const vit = fixture('vit-tiny/zeroshot');

/** Noise in which the class lights up a quarter of one channel. */
function pictures(samples: number, classes: number, seed = 1): TrainingSet & { data: Float32Array } {
  const random = noise(seed);
  const labels = Int32Array.from({ length: samples }, (_, i) => i % classes);
  const data = Float32Array.from({ length: samples * pixels }, (_, at) => {
    const place = at % pixels;
    const quarter = 4 * Math.floor(place / 1024) + 2 * Number(place % 1024 >= 512) + Number(place % 32 >= 16);
    return 0.3 * random() + Number(quarter === labels[Math.floor(at / pixels)]!);
  });
  const bytes = new Uint8Array(data.buffer);
  return {
    ...{ samples, dimension: pixels, shape, featureDtype: 'F32', labels, data },
    readFeatures: async (first, count, into) => {
      into.set(bytes.subarray(4 * first * pixels, 4 * (first + count) * pixels));
    },
  };
}

/** The vision tower of CLIP's fixture with a head of five classes. */
function clipWithHead(root: string, changed = new Map<string, Float32Array>()): string {
  const head = tensor('classifier.weight', 'F32', [5, 24], randomF32(5 * 24, 4));
  const stored = [...readModel(fixture('clip-tiny/zeroshot')).values()].filter(
    ({ name }) => !name.startsWith('text_') && name !== 'logit_scale',
  );
  const tensors = [...stored.map(({ name, dtype, shape, data }) => ({ name, dtype, shape, data })), head];
  return writeModel(join(root, 'clip'), withChanges(tensors, changed), {
    config: { model_type: 'clip', vision_config: visionConfig },
  });
}
const visionConfig = JSON.parse(
  await readFile(join(fixture('clip-tiny/zeroshot'), 'config.json'), 'utf8'),
).vision_config;

function withChanges(tensors: readonly Tensor[], changed: ReadonlyMap<string, Float32Array>): Tensor[] {
  return tensors.map((one) => {
    const data = changed.get(one.name);
    return data ? { ...one, data: Buffer.from(new Uint8Array(data.buffer.slice(0))) } : one;
  });
}

/** Mean cross-entropy in f64 of the logits of the forward pass. */
async function lossOf(model: string, set: ReturnType<typeof pictures>, head?: Float32Array): Promise<number> {
  await using network = await NetworkModel.open(model);
  const inputs = new Map([['pixel_values', floats([set.samples, ...shape], set.data)]]);
  const [outputs] = await network.forward(inputs, [0]);
  const logits = outputs!.get('logits')?.data ?? product(outputs!.get('image_embeds')!.data, head!, 24);
  const classes = logits.length / set.samples;
  let total = 0;
  for (let i = 0; i < set.samples; i++) {
    const row = Float64Array.from(logits.subarray(i * classes, (i + 1) * classes));
    total += Math.log(row.reduce((sum, z) => sum + Math.exp(z), 0)) - row[set.labels[i]!]!;
  }
  return total / set.samples;
}

/** x w^T. */
function product(x: Float32Array, w: Float32Array, depth: number): Float32Array {
  const [rows, columns] = [x.length / depth, w.length / depth];
  return Float32Array.from({ length: rows * columns }, (_, at) => {
    let sum = 0;
    for (let l = 0; l < depth; l++)
      sum += x[Math.floor(at / columns) * depth + l]! * w[(at % columns) * depth + l]!;
    return sum;
  });
}

const run = async (options: Partial<FinetuneOptions & FinetuneRunOptions> = {}) => {
  const out = options.out ?? join(await tempDir(), 'out');
  const train = options.train ?? pictures(50, 10);
  return await finetune({ zeroshot: vit, train, epochs: 3, batchSize: 16, lr: 1e-3, ...options, out });
};

/** What the first step saw: AdamW's first moment is a tenth of the gradient. */
async function firstGradient(directory: string): Promise<Map<string, Float64Array>> {
  const state = readTensors(join(directory, 'training', 'optimizer.safetensors'));
  return new Map(
    [...state.values()]
      .filter(({ name }) => name.startsWith('exp_avg.'))
      .map((one) => [one.name.slice('exp_avg.'.length), Float64Array.from(asFloats(one), (m) => 10 * m)]),
  );
}

describe('training on pictures', () => {
  test('a ViT learns, and its checkpoint is what the forward pass says of it', async () => {
    const heldOut = pictures(37, 10, 2);
    const result = await run({ heldOut, train: pictures(120, 10), epochs: 8, lr: 3e-3, threads: 2 });
    expect(result.trained).toHaveLength(readModel(vit).size);
    expect(result.frozen).toBe(0);
    expect(result.initial!.loss).toBeCloseTo(await lossOf(vit, heldOut), 5);
    const last = result.epochs.at(-1)!;
    expect(last.heldOut!.loss).toBeLessThan(0.6 * result.initial!.loss);
    expect(last.heldOut!.top1).toBeGreaterThan(0.6);
    expect(last.heldOut!.loss).toBeCloseTo(await lossOf(result.directory, heldOut), 5);
  });

  test('threads and interruptions change no byte', async () => {
    const whole = await run({ threads: 1, epochs: 2 });
    const out = join(await tempDir(), 'out');
    const controller = new AbortController();
    const stopped = run({
      ...{ out, threads: 2, epochs: 2, signal: controller.signal },
      onEpoch: () => controller.abort(),
    });
    await expect(stopped).rejects.toMatchObject({ name: 'AbortError' });
    const resumed = await run({ out, threads: 2, epochs: 2, resume: true });
    expect(resumed).toMatchObject({ resumed: 1, epochs: whole.epochs });
    for (const file of listFiles(whole.directory).filter((name) => name.endsWith('.safetensors'))) {
      const [a, b] = await Promise.all(
        [whole, resumed].map(({ directory }) => readFile(join(directory, file))),
      );
      expect(a!.equals(b!), file).toBe(true);
    }
  });

  test('a device is named, or the first that there is', async () => {
    expect((await run({ device: 'cpu' })).device).toBe('cpu');
    expect((await run({})).device).toBe(gpu ? `cuda:${gpu.ordinal}` : 'cpu');
    await expect(run({ device: 'tpu' })).rejects.toMatchObject({ code: 'ERR_USAGE' });
  });

  test.skipIf(gpu)('a GPU that is not there is told before any output is made', async () => {
    const out = join(await tempDir(), 'out');
    await expect(run({ out, device: 'cuda' })).rejects.toMatchObject({ code: 'ERR_DEVICE_UNAVAILABLE' });
    expect(existsSync(out)).toBe(false);
  });

  test.runIf(gpu)('a GPU makes the same bytes, and goes on with what the CPU began', async () => {
    const options = { epochs: 2, train: pictures(21, 10), heldOut: pictures(5, 10, 2) };
    const cpu = await run({ ...options, device: 'cpu' });
    const cuda = await run({ ...options, device: 'cuda' });
    expect(cuda.epochs).toEqual(cpu.epochs);
    const out = join(await tempDir(), 'out');
    const controller = new AbortController();
    const onEpoch = () => controller.abort();
    const stopped = run({ ...options, out, device: 'cpu', signal: controller.signal, onEpoch });
    await expect(stopped).rejects.toMatchObject({ name: 'AbortError' });
    const resumed = await run({ ...options, out, device: 'cuda', resume: true });
    for (const file of listFiles(cpu.directory).filter((name) => name.endsWith('.safetensors'))) {
      const [a, b, c] = await Promise.all(
        [cpu, cuda, resumed].map(({ directory }) => readFile(join(directory, file))),
      );
      expect(a!.equals(b!) && a!.equals(c!), file).toBe(true);
    }
  });

  test.each(['vit', 'clip'] as const)('%s: the gradient is the slope of the loss', async (family) => {
    const root = await tempDir();
    const train = pictures(6, 5);
    const zeroshot = family === 'vit' ? vit : clipWithHead(root);
    // One step of the whole set, unclipped; its rate does not matter.
    const { directory, trained } = await run({
      zeroshot,
      train,
      epochs: 1,
      clip: 0,
      warmup: 0,
      batchSize: 8,
    });
    const gradient = await firstGradient(directory);
    expect([...gradient.keys()].sort()).toEqual([...trained].sort());
    if (family === 'clip') expect(trained).toContain('classifier.weight');
    const tensors = [...readModel(zeroshot).values()];
    const square = [...gradient.values()].reduce((sum, g) => sum + g.reduce((a, x) => a + x * x, 0), 0);
    // Along the gradient, so that f32 rounding of the loss is small beside the change.
    const step = 0.01 / square;
    const at = async (sign: number): Promise<number> => {
      const changed = new Map(
        [...gradient].map(([name, g]) => {
          const stored = asFloats(tensors.find((one) => one.name === name)!);
          return [name, stored.map((x, i) => x + sign * step * g[i]!)] as const;
        }),
      );
      const where = join(root, String(sign));
      const model =
        family === 'clip'
          ? clipWithHead(where, changed)
          : writeModel(join(where, 'vit'), withChanges(tensors, changed), {
              config: JSON.parse(await readFile(join(vit, 'config.json'), 'utf8')),
            });
      return await lossOf(model, train, changed.get('classifier.weight'));
    };
    const slope = ((await at(1)) - (await at(-1))) / (2 * step);
    expect(Math.abs(slope / square - 1)).toBeLessThan(2e-3);
  });
});

describe('other names of the same networks', () => {
  /** Three epochs, to what f32 leaves of another order of summation. */
  const losses = async (zeroshot: string) => {
    const { epochs, trained } = await run({ zeroshot, train: pictures(40, 5), heldOut: pictures(20, 5, 2) });
    return { trained, epochs: epochs.flatMap(({ loss, heldOut }) => [loss, heldOut!.loss]) };
  };

  test('timm: queries, keys and values in one matrix', async () => {
    const own = await losses(vit);
    const other = await losses(
      writeModel(join(await tempDir(), 'timm'), toTimm('vit-tiny/zeroshot'), { config: timm }),
    );
    expect(other.trained).toContain('blocks.2.attn.qkv.weight');
    for (const [i, loss] of own.epochs.entries()) expect(other.epochs[i]).toBeCloseTo(loss, 3);
  });

  test('open_clip: a projection that is transposed', async () => {
    const own = await losses(clipWithHead(await tempDir()));
    const head = tensor('classifier.weight', 'F32', [5, 24], randomF32(5 * 24, 4));
    const files = { 'open_clip_config.json': JSON.stringify(openClip) };
    const tensors = [...toOpenClip('clip-tiny/zeroshot'), head];
    const other = await losses(writeModel(join(await tempDir(), 'open-clip'), tensors, { files }));
    expect(other.trained).toContain('visual.proj');
    expect(other.trained).not.toContain('text_projection');
    for (const [i, loss] of own.epochs.entries()) expect(other.epochs[i]).toBeCloseTo(loss, 3);
  });
});

describe('what cannot be trained on pictures', () => {
  const refused = async (options: Partial<FinetuneOptions>, code: string, text: RegExp) => {
    await expect(run(options)).rejects.toMatchObject({ code, message: expect.stringMatching(text) });
  };

  test('pictures of another size', async () => {
    const train = { ...pictures(8, 4), shape: [3, 16, 64] };
    await refused({ train }, 'ERR_DATA_MISMATCH', /\[N, 3, 32, 32\]/);
  });

  test('a held-out set of rows', async () => {
    const { shape: _shape, ...heldOut } = pictures(8, 4);
    await refused({ heldOut }, 'ERR_DATA_MISMATCH', /features of 3072 numbers.*pictures of \[3, 32, 32\]/);
  });

  test('a label beyond the classifier', async () => {
    await refused(
      { train: { ...pictures(8, 4), labels: new Int32Array(8).fill(10) } },
      'ERR_DATA_MISMATCH',
      /0\.\.9/,
    );
  });

  test('an MLP, the head of a ViT alone, and CLIP without a head', async () => {
    const root = await tempDir();
    const train = pictures(8, 4);
    const mlp = writeModel(join(root, 'mlp'), mlpTensors([12, 6, 4]));
    await refused({ zeroshot: mlp, train }, 'ERR_DATA_MISMATCH', /takes no pictures/);
    await refused({ train, head: 'classifier.weight' }, 'ERR_USAGE', /head/);
    await refused({ train, activation: 'relu' }, 'ERR_USAGE', /activation/);
    const clip = fixture('clip-tiny/zeroshot');
    await refused({ zeroshot: clip, train }, 'ERR_NO_SUCH_TENSOR', /classifier/);
    await expect(run({ zeroshot: clip, train })).rejects.toMatchObject({
      hint: expect.stringContaining('wisemerge head --in-model'),
    });
    const bare = writeModel(join(root, 'head'), headTensors(4, 12));
    await refused({ zeroshot: bare, train }, 'ERR_DATA_MISMATCH', /takes no pictures/);
  });

  test('rows train the classifier of a ViT alone', async () => {
    const { shape: _shape, data: _data, ...rows } = pictures(8, 4);
    const train = { ...rows, dimension: 48 };
    const result = await run({
      train: { ...train, readFeatures: async (_first, _count, into) => void into.fill(0) },
    });
    expect(result.trained).toEqual(['classifier.weight', 'classifier.bias']);
    expect(result.device).toBe('cpu');
  });
});
